# Foreground boxes of the built-in synthetic dataset, which no detector knows, and visual tokens
# of a COCO detector.
_base_ = './plaza.py'
tokens = dict(
    type='MeasureTokens',
    config='mmdet::yolox/yolox_nano_8xb8-300e_coco.py',
    checkpoint='checkpoints/yolox_nano_coco.pth',
    runtime='torch',
    cfg_options={
        'test_dataloader.dataset.pipeline.1.scale': (640, 640),
        'test_dataloader.dataset.pipeline.2.pad_to_square': False,
        'test_dataloader.dataset.pipeline.2.size_divisor': 32,
    },
)
