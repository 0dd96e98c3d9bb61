# LocalVAD on UBnormal at the paper's sizes and schedules (section 4.2). The paper trains
# its spatial part on abnormal training videos too; here both parts see normal ones only.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/ubnormal.py',
    '../_base_/models/localvad.py',
    '../_base_/schedules/localvad.py',
    '../_base_/inputs/rpn_clip.py',
]
