data_root = 'data/avenue'
train_dataset = dict(
    type='VideoDataset', data_root=data_root, data_prefix=dict(video='training_videos')
)
test_dataset = dict(
    type='VideoDataset',
    data_root=data_root,
    data_prefix=dict(video='testing_videos'),
    labels=dict(format='avenue_volumes', path='ground_truth_demo/testing_label_mask'),
)
