# LocalVAD at the sizes of localvad_small.py, whose branches look at tokens of a detector's feature
# maps in place of pixels: the detector is frozen, ITAM learns from the captions on top of it.
# What can be measured, and what the detector sees, is weighed as well.
_base_ = ['./localvad_small.py', './measured.py']
# Channels of the levels below, 64 + 128 + 64; the action branch also sees the optical flow.
channels = 256
backbone = dict(_delete_=True, type='TokenBackbone', grid=4, token_dim=128)
model = dict(
    tube=dict(
        crop_size=None,
        tokens=dict(
            type='CutTubeTokens',
            config='${tokens.config}',
            checkpoint='${tokens.checkpoint}',
            cfg_options='${tokens.cfg_options}',
            runtime='${tokens.runtime}',
            levels=('backbone.0', 'backbone.1', 'neck.0'),
            grid=4,
        ),
        measure=dict(_delete_=True, **_base_.measure),
    ),
    spatial=dict(
        data_preprocessor=None,
        branches=dict(
            action=dict(backbone=backbone, in_channels=channels + 2),
            appearance=dict(backbone=backbone, in_channels=channels),
        ),
    ),
    scorer=dict(
        context='place',
        stratum='cut',
        terms=dict(
            _delete_=True,
            **_base_.terms,
            smm=dict(type='PredictionError', by_place=False),
            action=dict(
                type='NearestDistance', of='action', by_place=False, dims=32, neighbours=100
            ),
            appearance=dict(
                type='NearestDistance', of='appearance', by_place=False, dims=32, neighbours=100
            ),
        ),
        channels=dict(
            measured=('speed', 'motion', 'tokens'), learned=('smm', 'action', 'appearance')
        ),
    ),
)
