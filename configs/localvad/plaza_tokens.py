# LocalVAD on the built-in synthetic dataset with visual tokens of a COCO detector.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/plaza.py',
    '../_base_/models/localvad_tokens.py',
    '../_base_/schedules/localvad_tokens.py',
    '../_base_/inputs/plaza_tokens.py',
]
