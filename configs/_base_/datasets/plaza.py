data_root = 'data/plaza'
plaza = dict(train_videos=24)
train_dataset = dict(
    type='PlazaDataset',
    plaza=plaza,
    data_root=data_root,
    data_prefix=dict(img='training/frames'),
)
test_dataset = dict(
    type='PlazaDataset',
    plaza=plaza,
    data_root=data_root,
    data_prefix=dict(img='testing/frames'),
    labels=dict(format='frame_masks', path='testing/test_frame_mask'),
    pixel_masks='testing/test_pixel_mask/{video}.npy',
)
