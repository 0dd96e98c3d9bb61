# What can be measured on objects, and what a frozen detector sees in them, far from the nearest
# training objects': nothing is trained.
_base_ = './measured.py'
model = dict(
    type='ObjectVAD',
    tube=dict(window=5, horizon=1, measure=_base_.measure),
    scorer=dict(type='ObjectScorer', context='place', stratum='cut', terms=_base_.terms),
)
