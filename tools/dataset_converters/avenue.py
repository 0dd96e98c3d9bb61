"""Annotation files of CUHK Avenue.

    python tools/dataset_converters/avenue.py data/avenue

writes training.json and testing.json into data/avenue. Videos stay where they are, in the first of

    training_videos/<NN>.avi             testing_videos/<NN>.avi
    training/frames/<NN>/*.jpg           testing/frames/<NN>/*.jpg

Labels are the pixel masks ground_truth_demo/testing_label_mask/<N>_label.mat; without these, the
intervals of avenue.mat. The two are different labellings: all frames with a mask are 3,712, and
another published count is 3,867. --labels picks one, and testing.json says which was used.
"""

from __future__ import annotations

from pathlib import Path

from mmvad.datasets import FrameSource
from mmvad.datasets.frames import is_hidden
from mmvad.datasets.ground_truth.labels import read_labels
from mmvad.preparation.converting import annotate, find, find_videos, finish, main, match, numbered

TRAINING = ('training_videos', 'training/frames')
TESTING = ('testing_videos', 'testing/frames')
LABELS = dict(masks='ground_truth_demo/testing_label_mask', intervals='avenue.mat')


def convert(root: Path, labels: str | None = None) -> None:
    """Write both annotation files.

    Args:
        root: The dataset's folder.
        labels: A key of :data:`LABELS`; None: the first that is there.
    """
    training = find_videos(find(root, 'training videos', TRAINING))
    testing = find_videos(find(root, 'test videos', TESTING))
    source = find(root, 'labels', [LABELS[labels]] if labels else list(LABELS.values()))
    lengths = {video: len(FrameSource(path)) for video, path in testing.items()}
    where = source.relative_to(root).as_posix()
    if where == LABELS['masks']:
        numbers = {video: str(number) for number, video in numbered(testing).items()}
        files = [path for path in source.glob('*_label.mat') if not is_hidden(path)]
        match(source, list(numbers.values()), (path.name.split('_')[0] for path in files))
        values = read_labels('avenue_volumes', source, lengths)
        masks = {video: source / f'{number}_label.mat' for video, number in numbers.items()}
        ground_truth = f'pixel masks in {where}: frames with any masked pixel'
    else:
        numbered(testing, first_to_last=str(source))
        values = read_labels('interval_mat', source, lengths)
        masks = {}
        ground_truth = f'intervals of {where}'
    finish(
        root,
        'avenue',
        dict(
            training=(
                'none: training videos are normal',
                [annotate(root, video, path, scene='avenue') for video, path in training.items()],
            ),
            testing=(
                ground_truth,
                [
                    annotate(
                        root,
                        video,
                        path,
                        values[video],
                        scene='avenue',
                        pixel_masks=masks.get(video),
                    )
                    for video, path in testing.items()
                ],
            ),
        ),
    )


if __name__ == '__main__':
    main(
        convert,
        __doc__,
        {
            '--labels': dict(
                choices=list(LABELS), help='which labels to use; by default masks where there are'
            )
        },
    )
