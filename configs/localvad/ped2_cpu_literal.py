# The paper to the letter, at the sizes of ped2_cpu.py: both branches see one RGB image at its own
# speed, a one-hot diagonal in Eq. 1, and SMM's prediction error alone is the score.
_base_ = './ped2_cpu.py'
crop_size = (32, 32)
branch = dict(loss=dict(targets='diagonal'), in_channels=3)
model = dict(
    spatial=dict(branches=dict(action=branch, appearance=branch)),
    scorer=dict(weights=dict(_delete_=True, smm=1.0, action=0.5, appearance=0.5)),
)
stages = dict(
    captions=dict(strides=(1,)),
    spatial=dict(
        train_dataloader=dict(
            dataset=dict(
                pipeline=[
                    dict(type='LoadTubeFrames', depth=1),
                    dict(type='CropTubes', size=crop_size),
                    dict(type='LoadTubeCaptions', folder=''),
                    dict(type='TokenizeCaptions', context_length=32),
                    dict(type='PackTubeInputs', single=True),
                ],
            ),
        ),
    ),
    features=dict(
        pipeline=[
            dict(type='CropTubes', size=crop_size),
            dict(type='PackTubeInputs'),
        ],
    ),
    test=dict(
        evaluator=dict(
            score='smm',
            channels=('smm', 'action', 'appearance', 'spatial', 'both'),
            tracking=None,
        ),
    ),
)
