# Measured attributes on the built-in synthetic dataset: no training, nothing to download.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/plaza.py',
    '../_base_/models/attributes.py',
    '../_base_/schedules/objects.py',
    '../_base_/inputs/plaza.py',
]
model = dict(
    tube=dict(measure=dict(attributes=dict(quantities=('velocity', 'width', 'height', 'foot'))))
)
stages = dict(
    tubes=dict(train_stride=10),
    test=dict(evaluator=dict(tracking=dict(sigma=5.0, prior=4.0))),
)
