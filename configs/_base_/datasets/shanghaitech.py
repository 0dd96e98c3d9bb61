data_root = 'data/shanghaitech'
train_dataset = dict(
    type='VideoDataset', data_root=data_root, data_prefix=dict(video='training/videos')
)
test_dataset = dict(
    type='VideoDataset',
    data_root=data_root,
    data_prefix=dict(img='testing/frames'),
    labels=dict(format='frame_masks', path='testing/test_frame_mask'),
)
