# LocalVAD on CUHK Avenue for two CPU cores, with boxes and visual tokens of a COCO detector.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avenue.py',
    '../_base_/models/localvad_tokens.py',
    '../_base_/schedules/localvad_tokens.py',
    '../_base_/inputs/yolox.py',
]
