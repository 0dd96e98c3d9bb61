# What is measured on objects and what a frozen detector sees in them, and how far both are from the
# training objects': what models below take.
measure = dict(
    speed=dict(type='MeasureAttributes', quantities=('speed',)),
    # How large, where and how it moves, in one distance.
    motion=dict(type='MeasureAttributes', quantities=('velocity', 'width', 'height', 'foot')),
    place=dict(type='MeasurePlace'),
    cut=dict(type='MeasureCut'),
    tokens='${tokens}',
)
terms = dict(
    speed=dict(type='NearestDistance', of='speed'),
    motion=dict(type='NearestDistance', of='motion'),
    # How far from the training object that is most like it, and whether that is far for the place.
    tokens=dict(
        type='NearestDistance',
        of='tokens',
        standardize=True,
        dims=128,
        neighbours=1,
        num_reference=8000,
    ),
)
