# The paper's schedules (section 4.2) and the pipelines of the stages.
crop_size = (224, 224)

stages = dict(
    tubes=dict(train_stride=1),
    # The strides at which tubes are shown to the captioner and to the branches: fast-forwarded,
    # normal video shows more than normal speeds, and gets words for them.
    captions=dict(fit_frames=200, strides=(1,)),
    spatial=dict(
        train_dataloader=dict(
            batch_size=120,
            num_workers=8,
            persistent_workers=True,
            drop_last=True,
            collate_fn=dict(type='default_collate'),
            # An epoch is 1000 steps, whatever the size of the dataset.
            sampler=dict(type='EpochSubsetSampler', num_samples=120 * 1000),
            dataset=dict(
                type='TubeDataset',
                # The runner fills in the strides and the folder.
                pipeline=[
                    dict(type='LoadTubeFrames', depth=1),
                    dict(type='CropTubes', size=crop_size),
                    dict(type='LoadTubeCaptions', folder=''),
                    dict(type='TokenizeCaptions', context_length=32),
                    dict(type='PackTubeInputs', single=True),
                ],
            ),
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
    features=dict(
        batch_size=16,
        num_workers=1,
        pipeline=[
            dict(type='CropTubes', size=crop_size),
            dict(type='PackTubeInputs'),
        ],
    ),
    temporal=dict(
        # Training tubes that the features' mean and standard deviation are taken from.
        statistics_tubes=5000,
        train_dataloader=dict(
            batch_size=64,
            num_workers=4,
            persistent_workers=True,
            drop_last=True,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(type='FeatureDataset'),
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=5),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-5)),
        param_scheduler=[dict(type='ExponentialLR', gamma=0.99, by_epoch=True)],
        custom_hooks=[dict(type='CalibrateHook', num_tubes=10000)],
    ),
    test=dict(
        batch_size=8,
        annotate=1,
        evaluator=dict(type='VADMetric', score='both', smoothing=dict(type='gaussian', sigma=3)),
    ),
)
