# The stages of LocalVAD, with the paper's schedules (section 4.2).
stages = dict(
    tubes=dict(type='TubesStage', train_stride=1),
    captions=dict(type='CaptionsStage', fit_frames=200),
    spatial=dict(
        type='SpatialStage',
        train_dataloader=dict(
            batch_size=120,
            num_workers=8,
            persistent_workers=True,
            drop_last=True,
            collate_fn=dict(type='default_collate'),
            # An epoch is 1000 steps, whatever the size of the dataset.
            sampler=dict(type='EpochSubsetSampler', num_samples=120 * 1000),
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=60),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
            clip_grad=dict(max_norm=1.0),
        ),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=5000),
            dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=5000, end=60000),
        ],
    ),
    features=dict(type='LocalVADFeaturesStage', batch_size=16, num_workers=1),
    temporal=dict(
        type='TemporalStage',
        # Training tubes that the features' mean and standard deviation are taken from.
        statistics_tubes=5000,
        train_dataloader=dict(
            batch_size=64,
            num_workers=4,
            persistent_workers=True,
            drop_last=True,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=20),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-5)),
        param_scheduler=[dict(type='ExponentialLR', gamma=0.99, by_epoch=True)],
    ),
    calibrate=dict(
        type='LocalVADCalibrateStage', model_file='localvad.pth', num_tubes=10000, held_out=0.2
    ),
    test=dict(
        type='TestStage',
        batch_size=8,
        annotate=1,
        evaluator=dict(type='VADMetric', score='both', smoothing=dict(type='gaussian', sigma=3)),
    ),
)
