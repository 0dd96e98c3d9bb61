"""Reading scores and scored boxes that any method left on disk; nothing is unpickled.

Files may be damaged, of another program or hostile: whatever they hold, a reader returns numbers
or raises a ``ValueError`` or ``OSError`` that names the file, and allocates by what the file is
known to hold, not by what it says of itself.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import repr as brief

import numpy as np

from mmvad.evaluation.functional import Detections
from mmvad.evaluation.track_files import BOX_COLUMNS as TEXT_COLUMNS
from mmvad.evaluation.track_files import read_rows, text_files
from mmvad.structures.array_files import MOST_BYTES, Check, expect_numbers, open_npz, read_npy
from mmvad.structures.text_files import parse_json, read_text

SCORE_COLUMNS = ('video', 'frame', 'score')
BOX_COLUMNS = ('video', 'frame', 'x1', 'y1', 'x2', 'y2', 'score')

# Of a video whose length is not known: 38 days at 30 frames a second.
_MOST_FRAMES = 100_000_000


def read_scores(
    path: str | Path, lengths: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Frame scores of a test set.

    Args:
        path: A folder of ``<video>.npy`` (F,), in subfolders where names hold ``/``; hidden files,
            others and ``raw/``, where a test leaves scores without post-processing, are passed
            over. Or a ``.npz`` with an array (F,) a video; a ``.json`` object of a list a
            video; or a ``.csv`` with the columns video, frame (0-based), score, separated by
            commas. Text is UTF-8, with or without a byte order mark.
        lengths: Video to its number F of frames. Scores of other videos, or another number of
            them, are refused before they are read. Without, an array file may hold 1 GiB unpacked.

    Returns:
        Video to scores (F,) of a real number type. Those of ``.npy`` and ``.npz`` may not be
        finite.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        OSError: If a file cannot be read.
        ValueError: If it is none of these, is damaged, or does not fit ``lengths``; the message
            names file and place.
    """
    path = Path(path)
    if path.is_dir():
        files = _by_video(path, '.npy')
        if not files:
            raise ValueError(f'{path}: expected a <video>.npy for every video, found none')
        _check_videos(path, files, lengths)
        scores = {
            video: read_npy(file, _scores_check(str(file), _length(video, lengths)), MOST_BYTES)
            for video, file in files.items()
        }
    elif not path.is_file():
        raise FileNotFoundError(f'{path}: no such file or folder of scores')
    elif path.suffix == '.npz':
        with open_npz(path) as archive:
            _check_videos(path, archive.names, lengths)
            scores = {
                video: archive.read(
                    video, _scores_check(archive.where(video), _length(video, lengths))
                )
                for video in archive.names
            }
    elif path.suffix == '.json':
        scores = _from_json(path)
        _check_videos(path, scores, lengths)
    elif path.suffix == '.csv':
        scores = _from_csv(path, lengths)
    else:
        raise ValueError(f'{path}: expected a folder of .npy, or a .npz, .json or .csv file')
    for video, array in scores.items():
        _check_length(f'{path}: video {video!r}', array.shape, _length(video, lengths))
    return scores


def read_boxes(
    path: str | Path,
    videos: Sequence[str],
    channel: str = 'score',
    lengths: Mapping[str, int] | None = None,
    inclusive: bool = False,
) -> Detections:
    """Scored boxes of a test set.

    Args:
        path: A folder of ``<video>.npz`` with ``frames`` (n,), ``boxes`` (n, 4) xyxy in pixels and
            the scores (n,), found as :func:`read_scores` finds scores; a folder of ``<video>.txt``
            with frame, x1, y1, x2, y2, score a line, separated by commas, as published evaluation
            code reads them; or a ``.csv`` with the columns video, frame, x1, y1, x2, y2, score,
            separated by commas.
        videos: The test set's videos, in order; videos without a file or line have no boxes.
        channel: Name of the scores in the ``.npz`` files.
        lengths: Video to its number of frames: boxes of later frames are refused.
        inclusive: See :func:`~mmvad.evaluation.track_files.read_tracks`.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        OSError: If a file cannot be read.
        ValueError: If something is off; the message names file and place.
    """
    path, number = Path(path), {video: n for n, video in enumerate(videos)}
    if path.is_dir():
        if not _by_video(path, '.npz') and text_files(path):
            parts = _boxes_from_texts(path, number, lengths, inclusive)
        else:
            parts = _boxes_from_folder(path, number, channel, lengths, inclusive)
    elif not path.is_file():
        raise FileNotFoundError(f'{path}: no such file or folder of boxes')
    elif path.suffix == '.csv':
        parts = [_boxes_from_csv(path, number, lengths, inclusive)]
    else:
        raise ValueError(f'{path}: expected a folder of .npz or .txt files or a .csv file of boxes')
    names = ('videos', 'frames', 'boxes', 'scores')
    return Detections(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _boxes_from_csv(
    path: Path, number: Mapping[str, int], lengths: Mapping[str, int] | None, inclusive: bool
) -> Detections:
    rows = []
    for where, row in _rows(path, BOX_COLUMNS):
        video = row['video']
        if video not in number:
            raise ValueError(f'{where}: video {brief(video)} is not in the test set')
        frame = _frame(where, row, lengths)
        values = [_number(where, name, row[name]) for name in BOX_COLUMNS[2:]]
        rows.append((number[video], frame, values[:4], values[4]))
    columns = zip(*rows, strict=True) if rows else ([], [], np.zeros((0, 4)), [])
    return _detections(path, *map(np.asarray, columns), inclusive)


def _boxes_from_texts(
    path: Path, number: Mapping[str, int], lengths: Mapping[str, int] | None, inclusive: bool
) -> list[Detections]:
    files, parts = text_files(path), []
    _check_known(path, files, number, '.txt')
    for video, file in files.items():
        rows = read_rows(file, TEXT_COLUMNS, _length(video, lengths) or _MOST_FRAMES)
        videos = np.full(len(rows), number[video])
        parts.append(_detections(file, videos, rows[:, 0], rows[:, 1:5], rows[:, 5], inclusive))
    return parts


def _check_known(path: Path, files: Iterable[str], number: Mapping[str, int], suffix: str) -> None:
    if unknown := [f'{video}{suffix}' for video in files if video not in number]:
        raise ValueError(f'{path}: boxes of videos that are not in the test set: {unknown[:5]}')


def _boxes_from_folder(
    path: Path,
    number: Mapping[str, int],
    channel: str,
    lengths: Mapping[str, int] | None,
    inclusive: bool,
) -> list[Detections]:
    files = _by_video(path, '.npz')
    _check_known(path, files, number, '.npz')
    if not files:
        raise ValueError(f'{path}: expected a <video>.npz for every video with boxes, found none')
    parts = []
    for video, file in files.items():
        with open_npz(file) as archive:
            frames, boxes, scores = (
                archive.read(name, _scores_check(archive.where(name), ndim=1 + (name == 'boxes')))
                for name in ('frames', 'boxes', channel)
            )
        if boxes.shape != (len(frames), 4) or scores.shape != frames.shape:
            raise ValueError(
                f'{file}: expected frames (n,), boxes (n, 4) and {channel} (n,), got '
                f'{frames.shape}, {boxes.shape} and {scores.shape}'
            )
        length = _length(video, lengths) or _MOST_FRAMES
        # Whole, so that none is rounded to another frame; NaN is not equal to itself.
        bad = np.flatnonzero(~((frames >= 0) & (frames < length) & (frames == np.floor(frames))))
        if len(bad):
            raise ValueError(
                f'{file}: row {bad[0]}: frame {frames[bad[0]]}, expected 0 to {length - 1}'
            )
        videos = np.full(len(frames), number[video])
        parts.append(_detections(file, videos, frames, boxes, scores, inclusive))
    return parts


def _detections(
    file: Path,
    videos: np.ndarray,
    frames: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    inclusive: bool,
) -> Detections:
    try:
        return Detections(
            videos.astype(np.int64),
            frames.astype(np.int64),
            boxes.astype(np.float64) + [0, 0, inclusive, inclusive],
            scores.astype(np.float64),
        )
    except ValueError as error:
        raise ValueError(f'{file}: {error}') from error


def _by_video(folder: Path, suffix: str) -> dict[str, Path]:
    """The files of a folder by the videos that they are named after."""
    found = {}
    for file in sorted(folder.rglob(f'*{suffix}')):
        name = file.relative_to(folder)
        # macOS leaves a ._01.npy beside 01.npy on foreign disks, writers hide unfinished files.
        hidden = any(part.startswith('.') for part in name.parts)
        if not hidden and not file.is_dir() and name.parts[0] != 'raw':
            found[name.as_posix().removesuffix(suffix)] = file
    return found


def _length(video: str, lengths: Mapping[str, int] | None) -> int | None:
    return None if lengths is None else lengths[video]


def _check_videos(path: Path, videos: Iterable[str], lengths: Mapping[str, int] | None) -> None:
    unknown = [] if lengths is None else sorted(set(videos) - set(lengths))
    if unknown:
        raise ValueError(
            f'{path}: scores of {len(unknown)} videos that are not in the test set: '
            f'{brief(unknown)}'
        )


def _check_length(where: str, shape: tuple[int, ...], length: int | None) -> None:
    if length is not None and shape != (length,):
        raise ValueError(
            f'{where}: expected {length} scores, one a frame, got an array of shape {brief(shape)}'
        )


def _scores_check(where: str, length: int | None = None, ndim: int = 1) -> Check:
    """That an array is of real numbers, of this number of dimensions and one a frame."""

    def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
        expect_numbers(where, dtype)
        if len(shape) != ndim:
            wanted = '(F,), one score a frame' if ndim == 1 else '(n, 4)'
            raise ValueError(f'{where}: expected the shape {wanted}, got {brief(shape)}')
        _check_length(where, shape, length)

    return check


def _from_json(path: Path) -> dict[str, np.ndarray]:
    # As floats, for which no number of digits is too large: what overflows is infinite.
    content = parse_json(read_text(path), path, parse_int=float)
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise ValueError(f'{path}: expected an object with a list of scores a video')
    for video, values in content.items():
        for frame, value in enumerate(values):
            if not (isinstance(value, float) and math.isfinite(value)):
                raise ValueError(
                    f'{path}: video {brief(video)}, frame {frame}: expected a finite number, got '
                    f'{brief(value)}'
                )
    return {video: np.asarray(values, np.float64) for video, values in content.items()}


def _from_csv(path: Path, lengths: Mapping[str, int] | None) -> dict[str, np.ndarray]:
    found: dict[str, dict[int, float]] = {}
    for where, row in _rows(path, SCORE_COLUMNS):
        video = row['video']
        if lengths is not None and video not in lengths:
            raise ValueError(f'{where}: video {brief(video)} is not in the test set')
        frame = _frame(where, row, lengths)
        frames = found.setdefault(video, {})
        if frame in frames:
            raise ValueError(f'{where}: frame {frame} of video {brief(video)} comes twice')
        frames[frame] = _number(where, 'score', row['score'])
    scores = {}
    for video, frames in found.items():
        # As many numbers as rows, each once: if one is too large, one of these is missing.
        missing = next((frame for frame in range(len(frames)) if frame not in frames), None)
        if missing is not None:
            raise ValueError(
                f'{path}: video {brief(video)}: {len(frames)} scores up to frame {max(frames)}, '
                f'but none of frame {missing}, expected one of each frame from 0 up'
            )
        scores[video] = np.array([frames[frame] for frame in range(len(frames))])
    return scores


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the place and the cells by column of every line that is not empty."""
    line = 0
    with open(path, newline='', encoding='utf-8-sig') as file:
        # Strict: a quote that is never closed would swallow the lines that follow.
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, [])
            _check_columns(path, names, columns)
            line = reader.line_num
            for cells in reader:
                line = reader.line_num
                if len(cells) == len(names):
                    yield f'{path}, line {line}', dict(zip(names, cells, strict=True))
                elif cells:
                    raise ValueError(
                        f'{path}, line {line}: {len(cells)} columns, expected {len(names)}'
                    )
        except UnicodeDecodeError as error:
            # The text is decoded in blocks, so the line is not known.
            raise ValueError(
                f'{path}: not UTF-8: {error.reason} (0x{error.object[error.start]:02x}), expected '
                'the columns as UTF-8 text'
            ) from error
        except csv.Error as error:
            raise ValueError(
                f'{path}, line {line + 1}: {error}, expected CSV with quotes that are closed'
            ) from error


def _check_columns(path: Path, names: list[str], columns: tuple[str, ...]) -> None:
    expected = f'expected the columns {",".join(columns)}'
    if not names:
        raise ValueError(f'{path}: no columns in its first line, {expected}')
    if len(names) == 1 and any(separator in names[0] for separator in ';\t'):
        raise ValueError(
            f'{path}: columns separated by a semicolon or tabulator, {expected} with commas, and '
            'points in decimal numbers'
        )
    if missing := sorted(set(columns) - set(names)):
        raise ValueError(f'{path}: {expected}, missing {missing}, found {brief(names)}')
    if len(set(names)) < len(names):
        raise ValueError(f'{path}: a column twice, {expected}, found {brief(names)}')


def _frame(where: str, row: Mapping[str, str], lengths: Mapping[str, int] | None) -> int:
    text, length = row['frame'], _length(row['video'], lengths)
    # No frame has so many digits, and Python refuses to read thousands of them.
    if not (text.isascii() and text.isdecimal()) or len(text) > 100:
        raise ValueError(f'{where}: frame: expected a number from 0 up, got {brief(text)}')
    frame = int(text)
    if frame >= (length or _MOST_FRAMES):
        expected = (
            f'the video has {length} frames, expected 0 to {length - 1}'
            if length
            else f'expected less than {_MOST_FRAMES}'
        )
        raise ValueError(
            f'{where}: frame {brief(frame)} of video {brief(row["video"])}: {expected}'
        )
    return frame


def _number(where: str, name: str, text: str) -> float:
    try:
        # Python takes more for a number than other programs write.
        number = float(text) if text.isascii() and '_' not in text else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f'{where}: {name}: expected a finite number, got {brief(text)}')
    return number
