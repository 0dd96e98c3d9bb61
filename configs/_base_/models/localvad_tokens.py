# LocalVAD at the sizes of localvad_small.py, whose branches look at tokens of a detector's feature
# maps in place of pixels: the detector is frozen, ITAM learns from the captions on top of it.
_base_ = './localvad_small.py'
# Channels of the levels below, 64 + 128 + 64; the action branch also sees the optical flow.
channels = 256
backbone = dict(_delete_=True, type='TokenBackbone', grid=4, token_dim=128)
model = dict(
    tube=dict(
        crop_size=None,
        tokens=dict(
            type='CutTubeTokens',
            config='mmdet::yolox/yolox_nano_8xb8-300e_coco.py',
            checkpoint='checkpoints/yolox_nano_coco.pth',
            levels=('backbone.0', 'backbone.1', 'neck.0'),
            grid=4,
        ),
    ),
    spatial=dict(
        data_preprocessor=None,
        branches=dict(
            action=dict(backbone=backbone, in_channels=channels + 2),
            appearance=dict(backbone=backbone, in_channels=channels),
        ),
    ),
    scorer=dict(
        terms=dict(
            smm=dict(weight=1.0),
            appearance=dict(weight=1.0),
            attributes=dict(weight=1.0),
        ),
    ),
)
