# LocalVAD at sizes for two CPU cores: 48 x 48 crops, 37 x 128 tokens, 8 queries, 128, 64, O = 64.
# Both branches also see how the crop changed over the last frames: on small images without
# colour, a single crop does not tell how fast somebody is.
_base_ = './localvad.py'
branch = dict(
    type='SpatialBranch',
    backbone=dict(type='BranchBackbone', reading='two_stage', channels=128, grid=6, token_dim=128),
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
    motion=(1, 3),
)
model = dict(
    spatial=dict(
        branches=dict(_delete_=True, action=branch, appearance=dict(branch, motion=())),
        data_preprocessor=dict(brightness=10.0, contrast=0.1),
    ),
    temporal=dict(num_queries=8, embed_dim=64),
    # Novelty says more here than the prediction error; all are reported apart.
    # Beside what is learned, attributes measured without learning are weighed.
    scorer=dict(
        dims=32,
        num_reference=10000,
        weights=dict(smm=0.25, nearest=1.0, centre=1.0, attributes=8.0),
    ),
    novelty_step='mean',
)
