# The paper's inputs: boxes of a class-agnostic RPN, captions by CLIP. Both need weights.
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
