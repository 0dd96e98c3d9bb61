# What can be measured on objects where no detector is at hand, far from the nearest training
# objects': nothing is trained.
_base_ = './measured.py'
tokens = None
model = dict(
    type='ObjectVAD',
    tube=dict(
        window=5,
        horizon=1,
        measure=dict(
            speed=_base_.measure.speed,
            motion=_base_.measure.motion,
            place=_base_.measure.place,
            cut=_base_.measure.cut,
        ),
    ),
    scorer=dict(
        type='ObjectScorer',
        context='place',
        stratum='cut',
        terms=dict(speed=_base_.terms.speed, motion=_base_.terms.motion),
    ),
)
