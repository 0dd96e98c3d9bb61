# Recordings of one camera, in which nothing happens: files and folders of frames, however deep.
train_dataset = dict(
    type='VideoDataset',
    data_root='data/camera',
    data_prefix=dict(any=''),
    # One recording that is cut short or damaged does not end it; it is told.
    least_frames=10,
    on_error='skip',
)
test_dataset = None
