# LocalVAD at the paper's sizes: 257 x 1408 tokens, 32 queries, 768, 256, O = 64.
branch = dict(
    type='SpatialBranch',
    backbone=dict(
        type='BranchBackbone', reading='two_stage', channels=512, grid=16, token_dim=1408
    ),
    itam=dict(
        type='ITAM',
        image=dict(
            type='ImageAttention',
            token_dim=1408,
            num_queries=32,
            hidden_dim=768,
            embed_dim=256,
            num_layers=12,
            num_heads=12,
            cross_every=2,
        ),
        text=dict(
            type='TextAttention',
            max_length=32,
            hidden_dim=768,
            embed_dim=256,
            num_layers=12,
            num_heads=12,
        ),
    ),
    loss=dict(type='ImageTextContrastiveLoss', targets='shared'),
    in_channels=3,
)
model = dict(
    type='LocalVAD',
    spatial=dict(
        type='SpatialModel',
        data_preprocessor=dict(type='TubeDataPreprocessor'),
        branches=dict(action=branch, appearance=branch),
        sentences=dict(
            action=('action',),
            appearance=('appearance', 'background', 'object'),
        ),
    ),
    temporal=dict(
        type='TemporalModel',
        num_queries=32,
        embed_dim=256,
        fusion=dict(type='CrossAttentionFusion', num_heads=8),
        smm=dict(type='SMM', num_components=64, window=5, horizon=1, drive='sum'),
    ),
    scorer=dict(
        type='ObjectScorer',
        weights=dict(smm=1.0, action=0.5, appearance=0.5),
        dims=64,
        num_reference=4000,
        neighbours=100,
    ),
)
