# LocalVAD on CUHK Avenue with the settings of ped2_cpu.py, for two CPU cores and without weights.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/avenue.py',
    '../_base_/models/localvad_small.py',
    '../_base_/schedules/localvad_cpu.py',
    '../_base_/inputs/foreground.py',
]
