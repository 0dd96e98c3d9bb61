"""Reading scores and scored boxes that any method left on disk; nothing is unpickled."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmvad.evaluation.functional import Detections

SCORE_COLUMNS = ('video', 'frame', 'score')
BOX_COLUMNS = ('video', 'frame', 'x1', 'y1', 'x2', 'y2', 'score')


def read_scores(path: str | Path) -> dict[str, np.ndarray]:
    """Frame scores of a test set.

    Args:
        path: A folder of ``<video>.npy`` (F,); a ``.npz`` with an array (F,) a video; a ``.json``
            object of a list a video; or a ``.csv`` with the columns video, frame (0-based), score.

    Returns:
        Video to scores (F,), unchecked.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is none of these; the message names file and place.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob('*.npy'))
        if not files:
            raise ValueError(f'{path}: expected a <video>.npy for every video, found none')
        return {file.stem: _load(file) for file in files}
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file or folder of scores')
    if path.suffix == '.npz':
        with _load(path) as stored:
            return {video: _member(path, stored, video) for video in stored.files}
    if path.suffix == '.json':
        return _from_json(path)
    if path.suffix == '.csv':
        return _from_csv(path)
    raise ValueError(f'{path}: expected a folder of .npy, or a .npz, .json or .csv file')


def read_boxes(path: str | Path, videos: Sequence[str], channel: str = 'score') -> Detections:
    """Scored boxes of a test set.

    Args:
        path: A folder of ``<video>.npz`` with ``frames`` (n,), ``boxes`` (n, 4) xyxy in pixels and
            the scores (n,), or a ``.csv`` with the columns video, frame, x1, y1, x2, y2, score.
        videos: The test set's videos, in order; videos without a file or line have no boxes.
        channel: Name of the scores in the ``.npz`` files.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If something is off; the message names file and place.
    """
    path, number = Path(path), {video: n for n, video in enumerate(videos)}
    if path.is_dir():
        parts = _boxes_from_folder(path, number, channel)
    elif path.suffix == '.csv' and path.is_file():
        parts = []
        for where, row in _rows(path, BOX_COLUMNS):
            if row['video'] not in number:
                raise ValueError(f'{where}: video {row["video"]!r} is not in the test set')
            values = [_number(where, name, row[name]) for name in BOX_COLUMNS[2:]]
            frame = _frame(where, row['frame'])
            parts.append((number[row['video']], frame, values[:4], values[4]))
        columns = zip(*parts, strict=True) if parts else ([], [], np.zeros((0, 4)), [])
        parts = [tuple(map(np.asarray, columns))]
    else:
        raise FileNotFoundError(f'{path}: expected a folder of .npz files or a .csv file of boxes')
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    try:
        return Detections(
            joined[0].astype(np.int64),
            joined[1].astype(np.int64),
            joined[2].astype(np.float64),
            joined[3].astype(np.float64),
        )
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def _boxes_from_folder(
    path: Path, number: dict[str, int], channel: str
) -> list[tuple[np.ndarray, ...]]:
    files = sorted(path.glob('*.npz'))
    if unknown := [file.name for file in files if file.stem not in number]:
        raise ValueError(f'{path}: boxes of videos that are not in the test set: {unknown[:5]}')
    if not files:
        raise ValueError(f'{path}: expected a <video>.npz for every video with boxes, found none')
    parts = []
    for file in files:
        with _load(file) as stored:
            names = ('frames', 'boxes', channel)
            if missing := [name for name in names if name not in stored.files]:
                raise ValueError(f'{file}: no array named {missing[0]!r}, found {stored.files}')
            frames, boxes, scores = (_member(file, stored, name) for name in names)
        if frames.ndim != 1 or boxes.shape != (len(frames), 4) or scores.shape != frames.shape:
            raise ValueError(
                f'{file}: expected frames (n,), boxes (n, 4) and {channel} (n,), got '
                f'{frames.shape}, {boxes.shape} and {scores.shape}'
            )
        parts.append((np.full(len(frames), number[file.stem]), frames, boxes, scores))
    return parts


def _load(file: Path):
    try:
        return np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f'{file}: not a plain numpy file: {error}') from error


def _member(file: Path, stored: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        return stored[name]
    except ValueError as error:
        raise ValueError(f'{file}: array {name!r}: {error}') from error


def _from_json(path: Path) -> dict[str, np.ndarray]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: not JSON: {error}') from error
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise ValueError(f'{path}: expected an object with a list of scores a video')
    for video, values in content.items():
        for frame, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f'{path}: video {video!r}, frame {frame}: got {value!r}')
    return {video: np.asarray(values, np.float64) for video, values in content.items()}


def _from_csv(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, dict[int, float]] = {}
    for where, row in _rows(path, SCORE_COLUMNS):
        frame = _frame(where, row['frame'])
        frames = found.setdefault(row['video'], {})
        if frame in frames:
            raise ValueError(f'{where}: frame {frame} of video {row["video"]!r} comes twice')
        frames[frame] = _number(where, 'score', row['score'])
    scores = {}
    for video, frames in found.items():
        if missing := sorted(set(range(max(frames) + 1)) - set(frames)):
            raise ValueError(
                f'{path}: video {video!r}: no score of {len(missing)} frames, the first is '
                f'{missing[0]}'
            )
        scores[video] = np.array([frames[frame] for frame in range(len(frames))])
    return scores


def _rows(path: Path, columns: tuple[str, ...]):
    with open(path, newline='', encoding='utf-8') as file:
        reader = csv.DictReader(file)
        if missing := set(columns) - set(reader.fieldnames or ()):
            raise ValueError(
                f'{path}: expected the columns {", ".join(columns)}, missing {sorted(missing)}'
            )
        for row in reader:
            yield f'{path}, line {reader.line_num}', row


def _frame(where: str, text: str) -> int:
    if not text or not text.isdecimal():
        raise ValueError(f'{where}: frame: expected a number from 0 up, got {text!r}')
    return int(text)


def _number(where: str, name: str, text: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{where}: {name}: expected a number, got {text!r}') from error
