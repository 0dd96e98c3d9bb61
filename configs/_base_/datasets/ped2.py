data_root = 'data/ped2'
train_dataset = dict(
    type='VideoDataset', data_root=data_root, data_prefix=dict(img='training/frames')
)
test_dataset = dict(
    type='VideoDataset',
    data_root=data_root,
    data_prefix=dict(img='testing/frames'),
    labels=dict(format='interval_mat', path='ped2.mat'),
    pixel_masks='testing/Test0{video}_gt',
)
