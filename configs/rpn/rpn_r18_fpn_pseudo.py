# A small class-agnostic RPN, trained from scratch on two CPU cores on what
#     python tools/pseudo_boxes.py configs/localvad/ped2_cpu.py
# writes: no labels and no downloaded weights. An ordinary mmdet config.
default_scope = 'mmdet'
data_root = 'data/ped2'
ann_file = 'work_dirs/ped2_cpu/pseudo_boxes.json'
batch_size = 4
max_iters = 320
# Half as large again as the frames of Ped2, whose people are 10 to 20 pixels wide.
scale = (540, 360)

model = dict(
    type='RPN',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[110.0, 110.0, 110.0],
        std=[50.0, 50.0, 50.0],
        bgr_to_rgb=True,
        pad_size_divisor=16,
    ),
    # ResNet-18 at half the width, without the last stage, whose stride is wider than a person.
    backbone=dict(
        type='ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(type='FPN', in_channels=[32, 64, 128], out_channels=64, num_outs=3),
    rpn_head=dict(
        type='RPNHead',
        in_channels=64,
        feat_channels=64,
        # Of 32, 64 and 128 pixels a side, square and upright: people are about 23 x 45.
        anchor_generator=dict(
            type='AnchorGenerator', scales=[8], ratios=[1.0, 2.0], strides=[4, 8, 16]
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[0.2, 0.2, 0.2, 0.2],
        ),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
    ),
    train_cfg=dict(
        rpn=dict(
            # What is mostly inside of a blob marked as crowd is neither learned nor background.
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.6,
                neg_iou_thr=0.5,
                min_pos_iou=0.3,
                ignore_iof_thr=0.5,
            ),
            sampler=dict(
                type='RandomSampler',
                num=256,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=False,
            ),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        )
    ),
    test_cfg=dict(
        rpn=dict(
            nms_pre=500, max_per_img=200, nms=dict(type='nms', iou_threshold=0.5), min_bbox_size=0
        )
    ),
)

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='MultiImageMixDataset',
        # Once: CopyPaste may ask for one image more than there are, which this takes for the first.
        dataset=dict(
            type='RepeatDataset',
            times=1,
            dataset=dict(
                type='CocoDataset',
                ann_file=ann_file,
                data_prefix=dict(img=data_root),
                metainfo=dict(classes=('object',)),
                filter_cfg=dict(filter_empty_gt=False),
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=True),
                ],
            ),
        ),
        # Objects of two more frames, at their own places in front of the same still background,
        # make crowds whose members are known.
        pipeline=[
            dict(type='CopyPaste', bbox_occluded_thr=4, mask_occluded_thr=80),
            dict(type='CopyPaste', bbox_occluded_thr=4, mask_occluded_thr=80),
            dict(type='PhotoMetricDistortion'),
            dict(type='Resize', scale=scale, keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
    ),
)
# The pipeline is that of everything that runs the detector. There are no true boxes to test by: the
# figures would say how many of the pseudo boxes are found.
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        ann_file=ann_file,
        data_prefix=dict(img=data_root),
        metainfo=dict(classes=('object',)),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=scale, keep_ratio=True),
            dict(
                type='PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
            ),
        ],
    ),
)

test_evaluator = dict(type='CocoMetric', ann_file=ann_file, metric='proposal_fast')

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=35.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=30, end=max_iters),
]

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=160,
        max_keep_ckpts=1,
        save_optimizer=False,
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
custom_hooks = [dict(type='mmvad.SafeCheckpointHook')]
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=1),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
