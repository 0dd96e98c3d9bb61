# LocalVAD on UCSD Ped2 for two CPU cores, with boxes and visual tokens of a COCO detector. People
# are small there, so frames are enlarged.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ped2.py',
    '../_base_/models/localvad_tokens.py',
    '../_base_/schedules/localvad_tokens.py',
]
proposer = dict(
    type='MMDetProposer',
    config='mmdet::yolox/yolox_nano_8xb8-300e_coco.py',
    checkpoint='checkpoints/yolox_nano_coco.pth',
    score_thr=0.3,
    nms_iou=0.45,
    min_side=6,
    merge='none',
    cfg_options={'test_dataloader.dataset.pipeline.1.scale': (832, 832)},
)
captioner = dict(type='AttributeCaptioner')
model = dict(
    tube=dict(
        tokens=dict(
            # Of the same size, but not padded to a square.
            cfg_options={
                'test_dataloader.dataset.pipeline.1.scale': (832, 832),
                'test_dataloader.dataset.pipeline.2.pad_to_square': False,
                'test_dataloader.dataset.pipeline.2.size_divisor': 32,
            },
        ),
    ),
)
