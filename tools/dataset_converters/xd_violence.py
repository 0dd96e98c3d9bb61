"""Annotation files for XD-Violence: training.json, testing.json.

    python tools/dataset_converters/xd_violence.py data/xd_violence

reads annotations.txt, which has the violent test videos. Normal ones are those whose names end
in _label_A; the split for training has only these. Videos, or folders of frames with their
names, are found in

    testing:   test_videos/, videos/, test/, or a folder videos in these
    training:  1-1004/, 1005-2004/, 2005-2804/, ..., train/, training/, train_videos/, or folders
               1-1004/, ... in these

Where only a part of the videos is there, --subset converts that part. Labels that go beyond the
end of a video are an error; --clip cuts them, as the authors' evaluation does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmvad.datasets.frames import by_number
from mmvad.preparation.converting import find, main, some
from mmvad.preparation.interval_files import XD_VIOLENCE_NORMAL, read_xd_violence, xd_violence_label
from mmvad.preparation.interval_videos import (
    OPTIONS,
    LabelledVideo,
    annotate_split,
    finish_found,
    index_videos,
    print_notes,
)

# No list names the normal videos, so how many there should be is all that can be checked.
NORMAL = dict(training=2049, testing=300)
TEST_FOLDERS = ('test_videos', 'videos', 'test')
TRAIN_FOLDERS = ('train', 'training', 'train_videos')


def convert(root: Path, subset: bool = False, clip: bool = False) -> None:
    """Write the annotation files of both splits.

    Args:
        root: The dataset's folder.
        subset: Convert the videos that are there.
        clip: Cut labels that go beyond the end of a video.
    """
    labels = find(root, 'labels', ['annotations.txt', 'annotations/annotations.txt'])
    rows = read_xd_violence(labels)
    print_notes(labels, rows)

    test_videos = _labelled(index_videos(_test_folders(root)))
    train_videos = _labelled(index_videos(_train_folders(root)))
    if both := sorted(set(train_videos) & set(test_videos)):
        raise ValueError(
            f'{root}: {len(both)} videos are in folders of both splits: {some(both)} '
            f'(as {train_videos[both[0]]} and {test_videos[both[0]]})'
        )
    named = {row.video for row in rows}
    normal = [video for video in test_videos if _is_normal(video)]
    if unlabelled := sorted(set(test_videos) - named - set(normal)):
        raise ValueError(
            f'{labels}: no row for {len(unlabelled)} videos with violence: {some(unlabelled)} '
            f'(first is {test_videos[unlabelled[0]]})'
        )
    wanted = [LabelledVideo(row.video, row.intervals, _fields(row.video)) for row in rows]
    wanted += [LabelledVideo(video, (), _fields(video)) for video in normal]
    ground_truth = (
        'annotations.txt, whose frames count from 0 and whose ends are exclusive, as in the '
        'evaluation of its authors; normal by name (label_A)'
    )
    unnamed = _missing_normal(root, 'testing', normal)
    testing = annotate_split(
        root, 'testing', wanted, test_videos, ground_truth, subset, clip, unnamed
    )
    normal = [video for video in train_videos if _is_normal(video)]
    wanted = [LabelledVideo(video, (), _fields(video)) for video in normal]
    unnamed = _missing_normal(root, 'training', normal)
    training = annotate_split(
        root, 'training', wanted, train_videos, 'normal by name (label_A)', subset, clip, unnamed
    )
    finish_found(root, 'XD-Violence', dict(training=training, testing=testing))


def _labelled(videos: dict[str, Path]) -> dict[str, Path]:
    """The videos in the order of the numbers in their names; other folders are left out, other
    video files are not known to be normal or not."""
    labelled = {}
    for video in sorted(videos, key=by_number):
        if '_label_' in video or videos[video].is_file():
            xd_violence_label(video, videos[video].parent)
            labelled[video] = videos[video]
    return labelled


def _is_normal(video: str) -> bool:
    return xd_violence_label(video, '') == XD_VIOLENCE_NORMAL


def _fields(video: str) -> dict[str, str]:
    return dict(category=xd_violence_label(video, ''))


def _missing_normal(root: Path, split: str, videos: Sequence[str]) -> int:
    """How many normal videos a split lacks, by the published number."""
    if len(videos) > NORMAL[split]:
        raise ValueError(
            f'{root}: {split}: {len(videos)} normal videos (label_A), expected {NORMAL[split]}; '
            'are videos of the other split among them?'
        )
    return NORMAL[split] - len(videos)


def _test_folders(root: Path) -> Iterator[Path]:
    for name in TEST_FOLDERS:
        yield root / name
        yield root / name / 'videos'


def _train_folders(root: Path) -> Iterator[Path]:
    for parent in (root, *(root / name for name in TRAIN_FOLDERS)):
        if parent != root:
            yield parent
        for folder in sorted(parent.glob('*-*')):
            if re.fullmatch(r'\d+-\d+', folder.name):
                yield folder
                # An archive unpacked into a folder of its own name.
                yield folder / folder.name


if __name__ == '__main__':
    main(convert, __doc__, OPTIONS)
