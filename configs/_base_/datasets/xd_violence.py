# As tools/dataset_converters/xd_violence.py leaves it; training videos are normal ones.
data_root = 'data/xd_violence'
train_dataset = dict(type='VideoDataset', data_root=data_root, ann_file='training.json')
test_dataset = dict(type='VideoDataset', data_root=data_root, ann_file='testing.json')
