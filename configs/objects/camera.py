# One's own camera without a detector: what differs from the background, by what is measured on it.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/camera.py',
    '../_base_/models/objects_measured.py',
    '../_base_/schedules/objects_checked.py',
    '../_base_/inputs/foreground.py',
]
