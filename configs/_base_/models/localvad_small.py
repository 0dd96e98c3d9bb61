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
    spatial=dict(
        branches=dict(_delete_=True, action=branch, appearance=dict(branch, in_channels=3)),
        data_preprocessor=dict(brightness=10.0, contrast=0.1),
    ),
    temporal=dict(num_queries=8, embed_dim=64),
    # Beside what is learned, attributes measured without learning are weighed; all are reported
    # apart.
    scorer=dict(
        dims=32,
        num_reference=2500,
        weights=dict(smm=0.25, action=1.0, appearance=0.25, attributes=2.0),
    ),
)
