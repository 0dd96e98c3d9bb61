# LocalVAD on ShanghaiTech at the paper's sizes and schedules (section 4.2).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/shanghaitech.py',
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
# OpenAI's weights were trained with the quick GELU; open_clip's own, such as laion2b, without.
captioner = dict(
    type='CLIPCaptioner',
    model='ViT-B-16-quickgelu',
    pretrained='checkpoints/clip_vit_b_16.pt',
)
