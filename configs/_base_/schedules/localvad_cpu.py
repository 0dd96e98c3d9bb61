# Schedules for two CPU cores.
_base_ = './localvad.py'
stages = dict(
    # Neighbouring frames hold nearly the same objects.
    tubes=dict(train_stride=4),
    spatial=dict(
        cache_mb=4096,
        train_dataloader=dict(
            batch_size=64,
            num_workers=0,
            persistent_workers=False,
            sampler=dict(num_samples=64 * 60),
        ),
        train_cfg=dict(max_epochs=10),
        # Fused: one pass over the text side's large table of words in place of ten.
        optim_wrapper=dict(optimizer=dict(lr=5e-4, fused=True)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=60),
            dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=60, end=600),
        ],
    ),
    features=dict(batch_size=64, num_workers=0),
    temporal=dict(
        train_dataloader=dict(batch_size=128, num_workers=0, persistent_workers=False),
        train_cfg=dict(max_epochs=10),
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
    ),
    test=dict(
        evaluator=dict(
            score='all',
            tracking=dict(sigma=8.0, min_iou=0.1, prior=8.0),
        ),
    ),
)
