# LocalVAD at sizes for two CPU cores: 32 x 32 crops, 17 x 128 tokens, 8 queries, 128, 64, O = 64.
# The action branch also sees the optical flow: one small grey image does not tell how fast somebody
# is.
_base_ = './localvad.py'
branch = dict(
    type='SpatialBranch',
    backbone=dict(type='BranchBackbone', reading='two_stage', channels=128, grid=4, token_dim=128),
    itam=dict(
        type='ITAM',
        image=dict(
            type='ImageAttention',
            token_dim=128,
            num_queries=8,
            hidden_dim=128,
            embed_dim=64,
            num_layers=2,
            num_heads=4,
        ),
        text=dict(
            type='TextAttention',
            max_length=32,
            hidden_dim=128,
            embed_dim=64,
            num_layers=2,
            num_heads=4,
        ),
    ),
    loss=dict(type='ImageTextContrastiveLoss', targets='shared'),
    in_channels=5,
)
model = dict(
    tube=dict(
        crop_size=(32, 32),
        flow=dict(type='ComputeTubeFlow', pairs=2, short_side=240),
        # Fast-forwarded, normal video shows more than normal speeds, and gets words for them.
        strides=(1, 2, 3),
        measure=dict(
            attributes=dict(
                type='MeasureAttributes', quantities=('speed', 'peak_speed', 'width', 'height')
            ),
        ),
    ),
    spatial=dict(
        branches=dict(_delete_=True, action=branch, appearance=dict(branch, in_channels=3)),
        data_preprocessor=dict(brightness=10.0, contrast=0.1),
    ),
    temporal=dict(num_queries=8, embed_dim=64),
    # Beside what is learned, attributes measured without learning are weighed; all are reported
    # apart.
    scorer=dict(
        terms=dict(
            smm=dict(weight=0.25),
            action=dict(weight=1.0, dims=32, num_reference=2500),
            appearance=dict(weight=0.25, dims=32, num_reference=2500),
            attributes=dict(
                type='NearestDistance', of='attributes', weight=2.0, num_reference=2500
            ),
        ),
    ),
)
