# Schedules for two CPU cores where the branches learn from stored tokens: a step is cheap.
_base_ = './localvad_cpu.py'
stages = dict(
    tokens=dict(type='TokensStage'),
    spatial=dict(
        _delete_=True,
        type='TokenSpatialStage',
        train_dataloader=dict(
            batch_size=128,
            num_workers=0,
            drop_last=True,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='EpochSubsetSampler', num_samples=128 * 60),
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=20),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05, fused=True),
            clip_grad=dict(max_norm=1.0),
        ),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=60),
            dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=60, end=1200),
        ],
    ),
    anomalies=dict(type='LocalVADAnomaliesStage', moments=120),
    calibrate=dict(self_check=True),
    test=dict(evaluator=dict(tracking=dict(_delete_=True, sigma=5.0, min_iou=0.1))),
)
