# LocalVAD on UBnormal at the paper's sizes and schedules (section 4.2). The paper trains
# its spatial part on abnormal training videos too; here both parts see normal ones only.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ubnormal.py',
    '../_base_/models/localvad.py',
    '../_base_/schedules/localvad.py',
]
proposer = dict(
    type='MMDetProposer',
    config='mmdet::rpn/rpn_r50_fpn_1x_coco.py',
    checkpoint='checkpoints/rpn_r50_fpn_1x_coco.pth',
    score_thr=0.7,
    nms_iou=0.3,
)
captioner = dict(
    type='CLIPCaptioner',
    model='ViT-B-16-quickgelu',
    pretrained='checkpoints/clip_vit_b_16.pt',
)
