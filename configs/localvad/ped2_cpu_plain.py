# The method without what was added to it, at the sizes of ped2_cpu.py: both branches see one RGB
# image at its own speed, Eq. 1 has a one-hot diagonal, and SMM's prediction error alone is the
# score. It differs from the paper all the same: sizes and schedules are small, boxes are of the
# foreground and not an RPN's, captions are measured and not CLIP's, queries are of unit norm, the
# predictor's target is the standardised patterns of the frozen branches, and training leaves out a
# fifth of the videos, on which the scale of the scores is taken.
_base_ = './ped2_cpu.py'
branch = dict(loss=dict(targets='diagonal'), in_channels=3)
model = dict(
    tube=dict(flow=None, strides=(1,), measure=dict(_delete_=True)),
    spatial=dict(branches=dict(action=branch, appearance=branch)),
    scorer=dict(
        terms=dict(
            _delete_=True,
            smm=dict(type='PredictionError'),
            action=dict(type='NearestDistance', of='action', dims=32, neighbours=100),
            appearance=dict(type='NearestDistance', of='appearance', dims=32, neighbours=100),
        ),
    ),
)
stages = dict(test=dict(evaluator=dict(score='smm', tracking=None)))
