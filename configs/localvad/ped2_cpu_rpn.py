# LocalVAD on UCSD Ped2 as in ped2_cpu.py, with boxes of an RPN that was trained from scratch:
#     python tools/pseudo_boxes.py configs/localvad/ped2_cpu.py
#     python tools/train.py configs/rpn/rpn_r18_fpn_pseudo.py
_base_ = './ped2_cpu.py'
proposer = dict(
    _delete_=True,
    type='MMDetProposer',
    config='configs/rpn/rpn_r18_fpn_pseudo.py',
    checkpoint='work_dirs/rpn_r18_fpn_pseudo/iter_320.pth',
    score_thr=0.95,
    nms_iou=0.5,
    min_side=5,
    min_overlap=0.5,
)
