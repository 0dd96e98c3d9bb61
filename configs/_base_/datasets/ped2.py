data_root = 'data/ped2'
frame_rate = 10  # the camera's; images do not tell
train_dataset = dict(
    type='VideoDataset',
    data_root=data_root,
    data_prefix=dict(img='training/frames'),
    frame_rate=frame_rate,
)
test_dataset = dict(
    type='VideoDataset',
    data_root=data_root,
    data_prefix=dict(img='testing/frames'),
    frame_rate=frame_rate,
    labels=dict(format='interval_mat', path='ped2.mat'),
    pixel_masks='testing/Test0{video}_gt',
)
