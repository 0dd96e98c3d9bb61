# LocalVAD on UCSD Ped1, whose annotation files tools/dataset_converters/ucsd.py writes.
_base_ = './ped2.py'
data_root = 'data/ped1'
train_dataset = dict(
    _delete_=True, type='VideoDataset', data_root=data_root, ann_file='training.json'
)
test_dataset = dict(
    _delete_=True, type='VideoDataset', data_root=data_root, ann_file='testing.json'
)
