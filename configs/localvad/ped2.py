# LocalVAD on UCSD Ped2 at the paper's sizes; no downloaded weights needed.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ped2.py',
    '../_base_/models/localvad.py',
    '../_base_/schedules/localvad.py',
    '../_base_/inputs/foreground.py',
]
