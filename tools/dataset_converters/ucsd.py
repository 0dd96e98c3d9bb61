"""Annotation files of UCSD Ped1 or Ped2.

    python tools/dataset_converters/ucsd.py data/ped2

writes training.json and testing.json into data/ped2. Frames stay where they are, in one of

    training/frames/<video>/*.jpg, .png or .tif    testing/frames/<video>/...
    Train/Train<NNN>/*.tif                         Test/Test<NNN>/*.tif
    UCSDped2/Train/Train<NNN>/*.tif                UCSDped2/Test/Test<NNN>/*.tif

Labels are the intervals of ped2.mat or UCSDped2.m, which stand in the dataset's folder or beside
the test videos, and the pixel masks Test<NNN>_gt/ in testing/ or Test/. Where there are several
they must agree. Ped1 is read alike; it has masks of some videos only.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mmvad.datasets import FrameSource
from mmvad.datasets.annotations import intervals_of
from mmvad.datasets.ground_truth.labels import read_labels
from mmvad.preparation.converting import annotate, find_videos, finish, main, match, numbered

#: Folders of the training videos, of the test videos, and of the masks.
LAYOUTS = [
    ('training/frames', 'testing/frames', 'testing'),
    ('Train', 'Test', 'Test'),
    ('UCSDped1/Train', 'UCSDped1/Test', 'UCSDped1/Test'),
    ('UCSDped2/Train', 'UCSDped2/Test', 'UCSDped2/Test'),
]
#: Files of intervals and their formats.
INTERVALS = {
    'ped1.mat': 'interval_mat',
    'ped2.mat': 'interval_mat',
    'UCSDped1.m': 'ucsd_m',
    'UCSDped2.m': 'ucsd_m',
}


def convert(root: Path, labels: str | None = None) -> None:
    """Write both annotation files.

    Args:
        root: The dataset's folder.
        labels: 'intervals' or 'masks', to use these alone; None: both, and they must agree.
    """
    train, test, masks = (root / folder for folder in layout(root))
    # Masks stand beside the test videos.
    training, testing = (find_videos(folder, r'(?!.*_gt$).+') for folder in (train, test))
    files = [] if labels == 'masks' else interval_files(root, masks)
    folders = {} if labels == 'intervals' else mask_folders(masks, list(testing))
    if not files and not folders:
        raise FileNotFoundError(
            f'{root}: no labels; looked for {", ".join(INTERVALS)} there and in {masks}, and for '
            f'Test<NNN>_gt in {masks}'
        )
    name = which(
        [root.absolute().name, str(test.relative_to(root)), *(f.name for f in files)], root
    )

    lengths = {video: len(FrameSource(path)) for video, path in testing.items()}
    sources: dict[str, dict[str, np.ndarray]] = {}
    for file in files:
        numbered(lengths, first_to_last=str(file))
        where = file.relative_to(root).as_posix()
        sources[where] = read_labels(INTERVALS[file.name], file, lengths)
    if folders:
        masked = {video: lengths[video] for video in lengths if video in folders}
        where = (masks / 'Test<NNN>_gt').relative_to(root).as_posix()
        if len(masked) < len(lengths):
            where += f' (of {len(masked)} of {len(lengths)} videos)'
        sources[where] = read_labels('mask_folders', masks, masked)
    merged = agreed(root, sources)
    match(root, testing, merged)

    ground_truth = 'intervals of ' if files else 'pixel masks in '
    ground_truth += ', the same as '.join(sources)
    finish(
        root,
        f'ucsd_{name}',
        dict(
            training=(
                'none: training videos are normal',
                [annotate(root, video, path, scene=name) for video, path in training.items()],
            ),
            testing=(
                ground_truth,
                [
                    annotate(
                        root,
                        video,
                        path,
                        merged[video],
                        scene=name,
                        pixel_masks=folders.get(video),
                    )
                    for video, path in testing.items()
                ],
            ),
        ),
    )


def layout(root: Path) -> tuple[str, str, str]:
    """The layout that is there."""
    found = [folders for folders in LAYOUTS if any((root / f).is_dir() for f in folders[:2])]
    if not found:
        places = ', '.join(folder for folders in LAYOUTS for folder in folders[:2])
        raise FileNotFoundError(f'{root}: no videos; looked for {places}')
    if LAYOUTS[2] == found[0] and LAYOUTS[3] in found:
        raise ValueError(f'{root}: holds Ped1 and Ped2; name the folder of one, {root}/UCSDped1')
    for folder, other in zip(found[0], found[0][1::-1], strict=False):
        if not (root / folder).is_dir():
            raise FileNotFoundError(f'{root / folder}: no such folder, but there is {other}')
    return found[0]


def which(names: list[str], root: Path) -> str:
    """'ped1' or 'ped2', by what the folders and label files are called."""
    found = sorted({name for text in names for name in re.findall('ped[12]', text.lower())})
    if len(found) != 1:
        raise ValueError(
            f'{root}: Ped1 or Ped2? Expected the name of the folder or of its label files to say '
            f'so, found {" and ".join(found) or "neither"}'
        )
    return found[0]


def interval_files(root: Path, masks: Path) -> list[Path]:
    """Files of intervals that are there."""
    places = dict.fromkeys([root, masks.parent, masks])
    return [place / file for place in places for file in INTERVALS if (place / file).is_file()]


def mask_folders(masks: Path, videos: list[str]) -> dict[str, Path]:
    """Folders of masks that are there, by the names of their videos."""
    folders = [path for path in sorted(masks.glob('Test*_gt')) if path.is_dir()]
    if not folders:
        return {}
    names = numbered(videos)
    numbers = numbered([folder.name for folder in folders])
    match(masks, [], (f'Test{number:03d}_gt' for number in numbers if number not in names))
    return {names[number]: masks / folder for number, folder in numbers.items()}


def agreed(root: Path, sources: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What all sources of labels say, ``{video: (F,)}``.

    Raises:
        ValueError: Naming the videos and frames on which they differ.
    """
    merged: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    differ = []
    for source, labels in sources.items():
        for video, label in labels.items():
            if video not in merged:
                merged[video], origin[video] = label, source
            elif stretches := intervals_of(merged[video] != label):
                frames = ', '.join(f'{start} to {end - 1}' for start, end in stretches)
                differ.append(
                    f'video {video}: {origin[video]} and {source} differ, frames {frames}'
                )
    if differ:
        raise ValueError(
            f'{root}: {"; ".join(differ)} (numbered from 0). --labels says which to use'
        )
    return merged


if __name__ == '__main__':
    main(
        convert,
        __doc__,
        {
            '--labels': dict(
                choices=['intervals', 'masks'],
                help='use these alone; by default both are read and must agree',
            )
        },
    )
