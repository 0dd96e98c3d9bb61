# As tools/dataset_converters/ubnormal.py leaves it; training videos are normal ones.
data_root = 'data/ubnormal'
train_dataset = dict(type='VideoDataset', data_root=data_root, ann_file='training.json')
test_dataset = dict(type='VideoDataset', data_root=data_root, ann_file='testing.json')
