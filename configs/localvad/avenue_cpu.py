# LocalVAD on CUHK Avenue with the settings of ped2_cpu.py, for two CPU cores and without weights.
_base_ = './ped2_cpu.py'
data_root = 'data/avenue'
train_dataset = dict(data_root=data_root, data_prefix=dict(_delete_=True, video='training_videos'))
test_dataset = dict(
    data_root=data_root,
    data_prefix=dict(_delete_=True, video='testing_videos'),
    labels=dict(format='avenue_volumes', path='ground_truth_demo/testing_label_mask'),
    pixel_masks=None,
)
