# LocalVAD on the built-in synthetic dataset: two CPU cores, minutes, nothing to download.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/plaza.py',
    '../_base_/models/localvad_small.py',
    '../_base_/schedules/localvad_cpu.py',
    '../_base_/inputs/plaza.py',
]
model = dict(
    tube=dict(
        strides=(1, 3),
        # Place and direction count too: training shows every way people use here.
        measure=dict(attributes=dict(quantities=('velocity', 'width', 'height', 'foot'))),
    ),
    # After a minute of training, what is measured says more than what is learned.
    scorer=dict(terms=dict(attributes=dict(weight=8.0))),
)
stages = dict(
    tubes=dict(train_stride=10),
    spatial=dict(
        train_dataloader=dict(batch_size=32, sampler=dict(num_samples=32 * 60)),
        train_cfg=dict(max_epochs=3),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
            dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=180),
        ],
    ),
    # Its people are in view for a second or two.
    test=dict(evaluator=dict(tracking=dict(sigma=5.0, prior=4.0))),
)
