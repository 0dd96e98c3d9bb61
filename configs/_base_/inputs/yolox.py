# Boxes and visual tokens of a detector of COCO's classes; one pass over a frame gives both.
proposer = dict(
    type='MMDetProposer',
    config='mmdet::yolox/yolox_nano_8xb8-300e_coco.py',
    checkpoint='checkpoints/yolox_nano_coco.pth',
    score_thr=0.3,
    nms_iou=0.45,
    min_side=6,
    merge='none',
    # 'onnx' is several times as fast on a CPU (pip install 'mmvad[onnx]').
    runtime='torch',
    # Frames of 640 pixels as they are, padded to what the network's strides need and no further.
    cfg_options={
        'test_dataloader.dataset.pipeline.1.scale': (640, 640),
        'test_dataloader.dataset.pipeline.2.pad_to_square': False,
        'test_dataloader.dataset.pipeline.2.size_divisor': 32,
        # Boxes below are dropped anyway, but would cost the suppression a tenth of a frame's time.
        'model.test_cfg.score_thr': '${proposer.score_thr}',
    },
)
tokens = dict(
    type='MeasureTokens',
    config='${proposer.config}',
    checkpoint='${proposer.checkpoint}',
    cfg_options='${proposer.cfg_options}',
    runtime='${proposer.runtime}',
)
captioner = dict(type='AttributeCaptioner')
