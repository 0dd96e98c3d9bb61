# LocalVAD on UCSD Ped2 for two CPU cores, with boxes and visual tokens of a COCO detector.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ped2.py',
    '../_base_/models/localvad_tokens.py',
    '../_base_/schedules/localvad_tokens.py',
    '../_base_/inputs/yolox.py',
]
# People are 30 pixels tall there: frames are enlarged.
proposer = dict(cfg_options={'test_dataloader.dataset.pipeline.1.scale': (832, 832)})
