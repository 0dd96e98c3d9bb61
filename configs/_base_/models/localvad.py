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
    # From this the pipelines, their depths and the windows of the temporal part follow.
    tube=dict(window=5, horizon=1, crop_size=(224, 224)),
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
        smm=dict(type='SMM', num_components=64, drive='sum'),
    ),
    scorer=dict(
        type='ObjectScorer',
        terms=dict(
            smm=dict(type='PredictionError', weight=1.0),
            action=dict(type='NearestDistance', of='action', weight=0.5, dims=64, neighbours=100),
            appearance=dict(
                type='NearestDistance', of='appearance', weight=0.5, dims=64, neighbours=100
            ),
        ),
        channels=dict(spatial=('action', 'appearance'), both=('smm', 'action', 'appearance')),
    ),
)
