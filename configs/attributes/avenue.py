# Measured attributes on CUHK Avenue: no training, no weights, minutes.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avenue.py',
    '../_base_/models/attributes.py',
    '../_base_/schedules/objects.py',
    '../_base_/inputs/foreground.py',
]
