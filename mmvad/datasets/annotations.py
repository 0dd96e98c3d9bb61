"""The annotation file of a split: what every dataset is converted to.

JSON in MMEngine's form, ``{"metainfo": {...}, "data_list": [...]}``, a person can read. Frames,
masks and tracks stay where they are and are referred to by paths below the dataset's folder.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from reprlib import repr as brief
from typing import Any

import numpy as np

from mmvad.structures import atomic_path
from mmvad.structures.text_files import parse_json, read_text

#: What ``metainfo`` must hold: names of the dataset and the split, and where the labels are from.
METAINFO = ('dataset', 'split', 'ground_truth')

_QUOTES = '"\''
# Of one video, 38 days at 30 a second: labels are arrays of so many frames, whatever is on disk.
_MOST_FRAMES = 100_000_000


@dataclass(frozen=True)
class VideoAnnotation:
    """One video of a split.

    Args:
        video: Its name, unique in the split.
        path: Folder of frames or video file, below the dataset's folder.
        num_frames: F, frames it has.
        intervals: Abnormal stretches ``(start, end)``: 0-based, ``end`` exclusive, in order, apart
            from each other. Empty for normal videos.
        scene: Name of the camera or place; '' where the dataset does not say.
        category: Kind of anomaly; '' where the dataset does not say.
        pixel_masks: File or folder of pixel masks, below the dataset's folder.
        tracks: File of object tracks, below the dataset's folder.

    Raises:
        ValueError: If a value is of another type or out of range; the message names the field.
    """

    video: str
    path: str
    num_frames: int
    intervals: tuple[tuple[int, int], ...] = ()
    scene: str = ''
    category: str = ''
    pixel_masks: str | None = None
    tracks: str | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.video, str) and self.video):
            raise ValueError(f'video: expected a name, got {brief(self.video)}')
        if not (_is_number(self.num_frames) and self.num_frames > 0):
            raise ValueError(f'num_frames: expected a number above 0, got {brief(self.num_frames)}')
        for name in ('scene', 'category'):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f'{name}: expected a text, got {brief(getattr(self, name))}')
        for name in ('path', 'pixel_masks', 'tracks'):
            path = getattr(self, name)
            if path is None and name != 'path':
                continue
            if not (isinstance(path, str) and path) or os.path.isabs(path) or _leaves(path):
                raise ValueError(
                    f"{name}: expected a path below the dataset's folder, got {brief(path)}"
                )
        if not isinstance(self.intervals, (list, tuple)):
            raise ValueError(
                f'intervals: expected pairs of frame numbers, got {brief(self.intervals)}'
            )
        last, intervals = 0, []
        for interval in self.intervals:
            pair = isinstance(interval, (list, tuple)) and len(interval) == 2
            if not pair or not all(map(_is_number, interval)):
                raise ValueError(
                    f'intervals: expected pairs of frame numbers, got {brief(interval)}'
                )
            start, end = interval
            if not last <= start < end <= self.num_frames:
                raise ValueError(
                    f'intervals: expected ascending stretches within 0 to {self.num_frames}, '
                    f'got {brief(self.intervals)} ({brief(interval)} after {last})'
                )
            last = end
            intervals.append((start, end))
        object.__setattr__(self, 'intervals', tuple(intervals))

    @property
    def labels(self) -> np.ndarray:
        """(F,) uint8, 1 where the frame is abnormal."""
        labels = np.zeros(self.num_frames, np.uint8)
        for start, end in self.intervals:
            labels[start:end] = 1
        return labels


def intervals_of(labels: np.ndarray) -> tuple[tuple[int, int], ...]:
    """The stretches of (F,) labels that are not 0: 0-based, end exclusive."""
    edges = np.flatnonzero(np.diff(np.asarray(labels) != 0, prepend=False, append=False))
    return tuple((int(start), int(end)) for start, end in edges.reshape(-1, 2))


def write_annotations(
    file: str | Path, metainfo: dict[str, Any], videos: Sequence[VideoAnnotation]
) -> None:
    """Write the annotation file of a split, whole or not at all.

    Args:
        file: Where to.
        metainfo: Holds at least :data:`METAINFO`.
        videos: Of the split, in the order in which they are scored.
    """
    _check(str(file), metainfo, videos)
    rows = []
    for video in videos:
        entry = {key: value for key, value in asdict(video).items() if value not in ('', None)}
        rows.append('  ' + json.dumps(entry, ensure_ascii=False))
    # A video a line, so that a person finds it and a diff shows it.
    text = f'{{"metainfo": {json.dumps(metainfo, ensure_ascii=False)},\n"data_list": [\n'
    with atomic_path(file) as tmp:
        tmp.write_text(text + ',\n'.join(rows) + '\n]}\n', encoding='utf-8')


def read_annotations(file: str | Path) -> tuple[dict[str, Any], list[VideoAnnotation]]:
    """Read what :func:`write_annotations` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: Naming the file, the video and the field that is off.
    """
    file = Path(file)
    try:
        text = read_text(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{file}: no such annotation file') from error
    except OSError as error:
        raise OSError(f'{file}: cannot be read: {error.strerror}') from error
    content = parse_json(text, file)
    if not isinstance(content, dict) or set(content) != {'metainfo', 'data_list'}:
        raise ValueError(f'{file}: expected an object with metainfo and data_list')
    if not isinstance(content['data_list'], list):
        raise ValueError(f'{file}: data_list: expected a list of videos')
    known = {field.name for field in fields(VideoAnnotation)}
    videos = []
    for number, entry in enumerate(content['data_list']):
        where = f'{file}: data_list[{number}]'
        if not isinstance(entry, dict) or not {'video', 'path', 'num_frames'} <= set(entry):
            raise ValueError(f'{where}: expected an object with video, path and num_frames')
        where += f' ({brief(entry["video"]).strip(_QUOTES)})'
        if unknown := sorted(set(entry) - known):
            raise ValueError(f'{where}: unknown fields {brief(unknown)}')
        try:
            videos.append(VideoAnnotation(**entry))
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        if entry['num_frames'] > _MOST_FRAMES:
            raise ValueError(
                f'{where}: num_frames: expected at most {_MOST_FRAMES}, got '
                f'{brief(entry["num_frames"])}'
            )
    _check(str(file), content['metainfo'], videos)
    return content['metainfo'], videos


def _check(file: str, metainfo: dict[str, Any], videos: Sequence[VideoAnnotation]) -> None:
    if not isinstance(metainfo, dict):
        raise ValueError(f'{file}: metainfo: expected an object, got {brief(metainfo)}')
    if missing := [key for key in METAINFO if key not in metainfo]:
        raise ValueError(f'{file}: metainfo: missing {missing}')
    if not videos:
        raise ValueError(f'{file}: data_list: expected at least one video')
    times = Counter(video.video for video in videos)
    if twice := sorted(name for name, count in times.items() if count > 1):
        raise ValueError(f'{file}: data_list: videos named twice: {brief(twice)}')


def _is_number(value: Any) -> bool:
    # JSON's true and false are ints to Python.
    return isinstance(value, int) and not isinstance(value, bool)


def _leaves(path: str) -> bool:
    return os.path.normpath(path).split(os.sep)[0] == os.pardir
