# LocalVAD on the built-in synthetic dataset: two CPU cores, minutes, nothing to download.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/plaza.py',
    '../_base_/models/localvad_small.py',
    '../_base_/schedules/localvad_cpu.py',
]
proposer = dict(type='ForegroundProposer', threshold=25, min_overlap=0.3)
captioner = dict(type='AttributeCaptioner')
