# Objects of a COCO detector on CUHK Avenue, by what is measured and what the detector sees.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avenue.py',
    '../_base_/models/objects.py',
    '../_base_/schedules/objects_checked.py',
    '../_base_/inputs/yolox.py',
]
