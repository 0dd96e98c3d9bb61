"""Readers of frame-level ground truth in the formats the public datasets come in.

Each reader takes the path from the config and the names of the videos in order, and gives
``{video: (F,) uint8}``, 1 where the frame is abnormal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from reprlib import repr as brief
from typing import Any

import cv2
import numpy as np

from mmvad.datasets.frames import list_images, read_image
from mmvad.structures.array_files import expect_numbers, read_npy
from mmvad.structures.mat_files import read_mat, read_mats


def frame_masks(path: Path, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """ShanghaiTech: ``<path>/<video>.npy``, one number a frame."""
    labels = {}
    for video in lengths:
        labels[video] = load_npy(_existing(path / f'{video}.npy'))
    return labels


def avenue_volumes(path: Path, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Avenue: ``<path>/<N>_label.mat``, key ``volLabel``, 1 x F cells of (H, W) masks."""
    files = {}
    for video in lengths:
        if not video.isdigit():
            raise ValueError(f'video {video!r}: Avenue names videos by number')
        files[video] = _existing(path / f'{int(video)}_label.mat')
    volumes = read_mats(list(files.values()), 'volLabel')
    return {
        video: np.array([_numbers(f'{file}: volLabel', cell).any() for cell in cells.ravel()])
        for (video, file), cells in zip(files.items(), volumes, strict=True)
    }


def interval_mat(path: Path, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """``ped2.mat``: key ``gt``, one (2, n) cell a video of 1-based inclusive start and end."""
    cells = read_mat(_existing(path), 'gt').ravel()
    if len(cells) != len(lengths):
        raise ValueError(f'{path}: gt has {len(cells)} cells for {len(lengths)} videos')
    labels = {}
    for (video, length), cell in zip(lengths.items(), cells, strict=True):
        where = f'{path}: gt of video {video}'
        edges = _numbers(where, cell).astype(float)
        # Doubles are whole beyond, and NaN is not equal to itself.
        if edges.size % 2 or not ((edges == np.floor(edges)) & (np.abs(edges) < 2**53)).all():
            raise ValueError(f'{where}: expected whole numbers (2, n), got {brief(edges.tolist())}')
        # The file holds uint8, in which "end + 1" would wrap at 255.
        labels[video] = _marked(where, length, edges.reshape(2, -1).astype(np.int64).T)
    return labels


def ucsd_m(path: Path, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """``UCSDped1.m``, ``UCSDped2.m``: one line a video, of 1-based inclusive ranges, such as
    ``TestVideoFile{end+1}.gt_frame = [5:90, 140:200];``."""
    rows = []
    for number, line in enumerate(_existing(path).read_text(errors='replace').splitlines(), 1):
        code = line.partition('%')[0].strip()
        if 'gt_frame' not in code:
            continue
        found = re.fullmatch(r'TestVideoFile\{end\s*\+\s*1\}\.gt_frame\s*=\s*\[(.*)\]\s*;?', code)
        parts = re.findall(r'[^\s,]+', re.sub(r'\s*:\s*', ':', found[1])) if found else []
        # No video has so many frames, and Python refuses to read thousands of digits.
        ranges = (re.fullmatch(r'[0-9]{1,18}(:[0-9]{1,18})?', part) for part in parts)
        if not found or not all(ranges):
            raise ValueError(
                f'{path}: line {number}: expected TestVideoFile{{end+1}}.gt_frame = '
                f'[start:end, ...];, got {code[:120]}'
            )
        # A lone number is a range of one frame.
        edges = (tuple(map(int, part.split(':'))) for part in parts)
        rows.append([(edge[0], edge[-1]) for edge in edges])
    if len(rows) != len(lengths):
        raise ValueError(f'{path}: has lines for {len(rows)} videos, expected {len(lengths)}')
    return {
        video: _marked(f'{path}: gt_frame of video {video}', length, row)
        for (video, length), row in zip(lengths.items(), rows, strict=True)
    }


def mask_folders(path: Path, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """UCSD: ``<path>/Test<NNN>_gt/*.bmp``, one mask image a frame."""
    labels = {}
    for video in lengths:
        digits = ''.join(filter(str.isdigit, video))
        folder = _existing(path / f'Test{int(digits or 0):03d}_gt')
        labels[video] = np.array(
            [read_image(file, cv2.IMREAD_GRAYSCALE).any() for file in list_images(folder)]
        )
    return labels


READERS: dict[str, Callable[[Path, Mapping[str, int]], dict[str, np.ndarray]]] = dict(
    frame_masks=frame_masks,
    avenue_volumes=avenue_volumes,
    interval_mat=interval_mat,
    ucsd_m=ucsd_m,
    mask_folders=mask_folders,
)


def read_labels(
    format: str,
    path: str | Path,
    lengths: Mapping[str, int],
    listed: Mapping[str, int | None] | None = None,
) -> dict[str, np.ndarray]:
    """Read the labels of all videos and check them against the frame counts.

    Args:
        format: A key of :data:`READERS`.
        path: File or folder.
        lengths: Number of frames of each video, in order.
        listed: The same with those that are left out, for files that go by the order of the videos;
            None where it is not known how many frames a video has.

    Returns:
        ``{video: (F,) uint8}`` of 0 and 1.

    Raises:
        ValueError: Naming the video, if a length or a value is off.
    """
    if format not in READERS:
        raise ValueError(f'labels.format: expected one of {sorted(READERS)}, got {format!r}')
    in_order = READERS[format] in (interval_mat, ucsd_m)
    labels = READERS[format](Path(path), (listed or lengths) if in_order else lengths)
    labels = {video: labels[video] for video in lengths}
    for video, length in lengths.items():
        label = np.asarray(labels[video]).ravel()
        if len(label) != length:
            raise ValueError(f'{path}: video {video} has {length} frames but {len(label)} labels')
        if not np.isin(label, (0, 1)).all():
            raise ValueError(f'{path}: labels of video {video}: expected 0 and 1 only')
        labels[video] = label.astype(np.uint8)
    return labels


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such ground-truth file or folder')
    return path


def _marked(where: str, length: int | None, intervals: Iterable[tuple[int, int]]) -> np.ndarray:
    """(F,) uint8, 1 within 1-based inclusive intervals."""
    if length is None:
        return np.zeros(0, np.uint8)
    labels = np.zeros(length, np.uint8)
    for start, end in intervals:
        if not 1 <= start <= end <= length:
            raise ValueError(f'{where}: interval {start} to {end}, expected within 1 to {length}')
        labels[start - 1 : end] = 1
    return labels


def load_npy(file: Path) -> np.ndarray:
    """The numbers in a ``.npy`` file; ValueError naming it where it holds anything else."""
    return read_npy(file, lambda shape, dtype: expect_numbers(str(file), dtype, 'biuf'))


def _numbers(where: str, cell: Any) -> np.ndarray:
    """What a cell of a ``.mat`` file holds."""
    array = np.asarray(cell)
    expect_numbers(where, array.dtype, 'biuf')
    return array
