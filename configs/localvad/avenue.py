# LocalVAD on CUHK Avenue at the paper's sizes and schedules (section 4.2).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avenue.py',
    '../_base_/models/localvad.py',
    '../_base_/schedules/localvad.py',
    '../_base_/inputs/rpn_clip.py',
]
