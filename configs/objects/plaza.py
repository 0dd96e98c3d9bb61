# Objects of the built-in synthetic dataset, by what is measured and what a COCO detector sees.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/plaza.py',
    '../_base_/models/objects.py',
    '../_base_/schedules/objects_checked.py',
    '../_base_/inputs/plaza_tokens.py',
]
