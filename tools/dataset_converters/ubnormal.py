"""Annotation files for UBnormal: training.json, validation.json, testing.json.

    python tools/dataset_converters/ubnormal.py data/ubnormal

reads the lists of the official splits, in the dataset's folder or in its folder scripts (they are
the folder scripts of https://github.com/lilygeorgescu/UBnormal):

    normal_training_video_names.txt
    normal_validation_video_names.txt, abnormal_validation_video_names.txt
    normal_test_video_names.txt, abnormal_test_video_names.txt

The split for training has normal videos only. Videos are Scene<k>/<video>.mp4, or folders of
frames Scene<k>/<video>/, with the labels in Scene<k>/<video>_annotations/<video>_tracks.txt.

Where only a part of the videos is there, --subset converts that part. Labels that go beyond the
end of a video are an error; --clip cuts them.
"""

from __future__ import annotations

import re
from pathlib import Path

from mmvad.preparation.converting import main, some
from mmvad.preparation.interval_files import read_names, read_ubnormal_tracks
from mmvad.preparation.interval_videos import (
    OPTIONS,
    LabelledVideo,
    annotate_split,
    finish_found,
    index_videos,
)

# Split -> its lists, normal videos first; the abnormal training videos are of no use here.
LISTS = dict(
    training=('normal_training_video_names.txt',),
    validation=('normal_validation_video_names.txt', 'abnormal_validation_video_names.txt'),
    testing=('normal_test_video_names.txt', 'abnormal_test_video_names.txt'),
)
LIST_FOLDERS = ('', 'scripts')


def convert(root: Path, subset: bool = False, clip: bool = False) -> None:
    """Write the annotation files of the three splits.

    Args:
        root: The dataset's folder.
        subset: Convert the videos that are there.
        clip: Cut labels that go beyond the end of a video.
    """
    lists = _find_lists(root)
    names = {name: read_names(path) for name, path in lists.items()}
    owner: dict[str, str] = {}
    for name, videos in names.items():
        for video in videos:
            if owner.setdefault(video, name) != name:
                raise ValueError(f'{lists[name]}: {video}: is in {lists[owner[video]]} too')
    found = index_videos(root / f'Scene{scene}' for scene in sorted({*map(_scene, owner)}))
    splits = {}
    for split, list_names in LISTS.items():
        wanted, unlabelled = [], []
        for name in list_names:
            for video in names[name]:
                labelled = _labelled(root, video, abnormal=name.startswith('abnormal'))
                wanted.append(labelled)
                if video in found and name.startswith('abnormal') and not labelled.intervals:
                    unlabelled.append(_tracks(video))
        if unlabelled:
            raise ValueError(
                f'{root}: {split}: {len(unlabelled)} videos listed as abnormal have no tracks; '
                f'missing or empty are {some(unlabelled)}'
            )
        ground_truth = 'official split; normal videos'
        if split != 'training':
            ground_truth = (
                'official split; frames in which an object of <video>_tracks.txt is abnormal, '
                'counted from 0, ends inclusive'
            )
        splits[split] = annotate_split(root, split, wanted, found, ground_truth, subset, clip)
    finish_found(root, 'UBnormal', splits)


def _find_lists(root: Path) -> dict[str, Path]:
    lists, missing = {}, []
    for name in (name for names in LISTS.values() for name in names):
        places = (root / folder / name for folder in LIST_FOLDERS)
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            missing.append(name)
        else:
            lists[name] = path
    if missing:
        raise FileNotFoundError(
            f'{root}: lists of the official splits are missing here and in {root / "scripts"}: '
            f'{", ".join(missing)}; they come from the folder scripts of '
            'https://github.com/lilygeorgescu/UBnormal'
        )
    return lists


def _scene(video: str) -> int:
    match = re.match(r'(?:ab)?normal_scene_(\d+)_', video)
    if not match:
        raise ValueError(f'{video}: expected a name like normal_scene_1_scenario_2')
    return int(match[1])


def _tracks(video: str) -> str:
    return f'Scene{_scene(video)}/{video}_annotations/{video}_tracks.txt'


def _labelled(root: Path, video: str, abnormal: bool) -> LabelledVideo:
    scene, tracks = f'Scene{_scene(video)}', _tracks(video)
    rows = read_ubnormal_tracks(root / tracks) if (root / tracks).is_file() else []
    if rows and not abnormal:
        # The authors' frame labels go by the lists.
        print(f'warning: {root / tracks}: {video} is listed as normal, its tracks are left out')
        rows = []
    fields = dict(scene=scene, tracks=tracks) if rows else dict(scene=scene)
    return LabelledVideo(video, [(row.start, row.end) for row in rows], fields)


if __name__ == '__main__':
    main(convert, __doc__, OPTIONS)
