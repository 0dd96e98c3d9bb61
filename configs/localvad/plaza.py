# LocalVAD on the built-in synthetic dataset: two CPU cores, minutes, nothing to download.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/plaza.py',
    '../_base_/models/localvad_small.py',
    '../_base_/schedules/localvad_cpu.py',
]
proposer = dict(type='ForegroundProposer', threshold=25, min_overlap=0.3)
captioner = dict(type='AttributeCaptioner')
stages = dict(
    spatial=dict(
        train_cfg=dict(max_epochs=3),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
            dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=300),
        ],
    ),
    temporal=dict(train_cfg=dict(max_epochs=5)),
)
