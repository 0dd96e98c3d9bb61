# As tools/dataset_converters/ucf_crime.py leaves it; training videos are normal ones.
data_root = 'data/ucf_crime'
train_dataset = dict(type='VideoDataset', data_root=data_root, ann_file='training.json')
test_dataset = dict(type='VideoDataset', data_root=data_root, ann_file='testing.json')
