# One's own camera: objects of a COCO detector, by what is measured and what the detector sees.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/camera.py',
    '../_base_/models/objects.py',
    '../_base_/schedules/objects_checked.py',
    '../_base_/inputs/yolox.py',
]
