# Measured attributes on UCSD Ped2: no training, no weights, minutes.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ped2.py',
    '../_base_/models/attributes.py',
    '../_base_/schedules/objects.py',
    '../_base_/inputs/foreground.py',
]
