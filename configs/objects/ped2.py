# Objects of a COCO detector on UCSD Ped2, by what is measured and what the detector sees.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ped2.py',
    '../_base_/models/objects.py',
    '../_base_/schedules/objects_checked.py',
    '../_base_/inputs/yolox.py',
]
# People are 30 pixels tall there: frames are enlarged.
proposer = dict(cfg_options={'test_dataloader.dataset.pipeline.1.scale': (832, 832)})
