# LocalVAD on CUHK Avenue at the paper's sizes.
_base_ = './shanghaitech.py'
data_root = 'data/avenue'
train_dataset = dict(data_root=data_root, data_prefix=dict(_delete_=True, video='training_videos'))
test_dataset = dict(
    data_root=data_root,
    data_prefix=dict(_delete_=True, video='testing_videos'),
    labels=dict(format='avenue_volumes', path='ground_truth_demo/testing_label_mask'),
)
