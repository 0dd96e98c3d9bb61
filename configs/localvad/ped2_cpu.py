# LocalVAD on UCSD Ped2 at sizes for two CPU cores, without any downloaded weights.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ped2.py',
    '../_base_/models/localvad_small.py',
    '../_base_/schedules/localvad_cpu.py',
    '../_base_/inputs/foreground.py',
]
