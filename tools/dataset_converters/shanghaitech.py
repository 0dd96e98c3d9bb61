"""Annotation files of ShanghaiTech.

    python tools/dataset_converters/shanghaitech.py data/shanghaitech

writes training.json and testing.json into data/shanghaitech. Videos stay where they are:

    training/videos/<SS>_<NNN>.avi  or  training/frames/<SS>_<NNN>/*.jpg
    testing/frames/<SS>_<NNNN>/*.jpg
    testing/test_frame_mask/<SS>_<NNNN>.npy    one number a frame: the labels
    testing/test_pixel_mask/<SS>_<NNNN>.npy    optional

SS is the scene.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmvad.datasets import FrameSource
from mmvad.datasets.frames import is_hidden
from mmvad.datasets.ground_truth.labels import read_labels
from mmvad.preparation.converting import annotate, find, find_videos, finish, main, match


def convert(root: Path) -> None:
    """Write both annotation files.

    Args:
        root: The dataset's folder.
    """
    training = find_videos(find(root, 'training videos', ['training/videos', 'training/frames']))
    testing = find_videos(find(root, 'test videos', ['testing/frames']))
    source = find(root, 'labels', ['testing/test_frame_mask'])
    match(source, testing, (file.stem for file in _arrays(source)))
    lengths = {video: len(FrameSource(path)) for video, path in testing.items()}
    labels = read_labels('frame_masks', source, lengths)
    masks = {file.stem: file for file in _arrays(root / 'testing/test_pixel_mask')}
    match(root / 'testing/test_pixel_mask', [], set(masks) - set(testing))
    for video, file in masks.items():
        _check_masks(file, video, lengths[video])
    finish(
        root,
        'shanghaitech',
        dict(
            training=(
                'none: training videos are normal',
                [
                    annotate(root, video, path, scene=scene(video))
                    for video, path in training.items()
                ],
            ),
            testing=(
                f'frame labels in {source.relative_to(root).as_posix()}',
                [
                    annotate(
                        root,
                        video,
                        path,
                        labels[video],
                        scene=scene(video),
                        pixel_masks=masks.get(video),
                    )
                    for video, path in testing.items()
                ],
            ),
        ),
    )


def scene(video: str) -> str:
    """The scene of a video, '01' of '01_0014'."""
    name, line, rest = video.partition('_')
    if not (name and line and rest):
        raise ValueError(f'video {video!r}: expected a name such as 01_0014, scene and number')
    return name


def _arrays(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob('*.npy') if not is_hidden(file))


def _check_masks(file: Path, video: str, frames: int) -> None:
    try:
        # Mapped, not read: all masks together are many gigabytes.
        shape = np.load(file, mmap_mode='r', allow_pickle=False).shape
    except (ValueError, EOFError) as error:
        raise ValueError(f'{file}: not a plain .npy array: {error}') from error
    if len(shape) != 3 or shape[0] != frames:
        raise ValueError(
            f'{file}: video {video} has {frames} frames; expected masks of shape '
            f'({frames}, H, W), got {shape}'
        )


if __name__ == '__main__':
    main(convert, __doc__)
