# Temporal Shift Module: steps meet in the backbone, which adds no parameters.
_base_ = './base.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNetTSM',
        pretrained=None,
        pretrained2d=False,
        depth=18,
        norm_eval=False,
        num_segments=_base_.num_segs,
        shift_div=8,
    )
)
