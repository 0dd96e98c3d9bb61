# The stages of methods that score objects by what is measured on them.
stages = dict(
    tubes=dict(type='TubesStage', train_stride=4),
    features=dict(type='FeaturesStage', batch_size=64, num_workers=0),
    calibrate=dict(
        type='CalibrateStage', model_file='attributes.pth', num_tubes=10000, held_out=0.2
    ),
    test=dict(
        type='TestStage',
        batch_size=8,
        annotate=1,
        evaluator=dict(
            type='VADMetric',
            score='all',
            smoothing=dict(type='gaussian', sigma=3),
            tracking=dict(sigma=8.0, min_iou=0.1, prior=8.0),
        ),
    ),
)
