# Measured attributes of objects, far from the nearest training objects': nothing is trained.
model = dict(
    type='ObjectVAD',
    tube=dict(
        window=5,
        horizon=1,
        measure=dict(
            attributes=dict(
                type='MeasureAttributes', quantities=('speed', 'peak_speed', 'width', 'height')
            ),
        ),
    ),
    scorer=dict(
        type='ObjectScorer',
        terms=dict(
            attributes=dict(
                type='NearestDistance', of='attributes', num_reference=2500, neighbours=3
            ),
        ),
    ),
)
