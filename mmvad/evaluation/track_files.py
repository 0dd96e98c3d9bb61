"""Reading published tracks of abnormal objects, the ground truth of RBDC and TBDC.

The files are those that Georgescu et al. published for ShanghaiTech (lilygeorgescu/AED); boxes
that were scored come in the same form. Nothing in them is trusted, see
:mod:`mmvad.evaluation.score_files`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as brief

import numpy as np

from mmvad.evaluation.functional import Regions
from mmvad.structures.text_files import read_text

#: The columns of a track file and of a file of scored boxes; neither has a heading.
TRACK_COLUMNS = ('track', 'frame', 'x1', 'y1', 'x2', 'y2')
BOX_COLUMNS = ('frame', 'x1', 'y1', 'x2', 'y2', 'score')

_WHOLE = ('track', 'frame')


def read_tracks(
    path: str | Path,
    videos: Sequence[str],
    lengths: Mapping[str, int],
    inclusive: bool = False,
) -> Regions:
    """The regions of a folder of track files.

    Args:
        path: Folder of ``<video>.txt``, a region a line: track, frame (from 0), x1, y1, x2, y2 in
            pixels, separated by commas. Track numbers are of the video. Videos without a file have
            no region.
        videos: The test set's videos, in the order in which the regions number them.
        lengths: Video to its number of frames.
        inclusive: Boxes hold the pixels that x2 and y2 name: 1 is added to both. The published
            evaluation code takes all boxes so, the scored ones too.

    Raises:
        FileNotFoundError: If there is no such folder.
        OSError: If a file cannot be read.
        ValueError: If a file is of no video of the test set, a line is off, or there is no region;
            the message names file and line.
    """
    path, number, parts = Path(path), {video: n for n, video in enumerate(videos)}, []
    if not path.is_dir():
        raise FileNotFoundError(f'{path}: no such folder of tracks')
    files = text_files(path)
    if unknown := sorted(set(files) - set(number)):
        raise ValueError(f'{path}: tracks of videos that are not in the test set: {unknown[:5]}')
    for video, file in files.items():
        rows = read_rows(file, TRACK_COLUMNS, lengths[video])
        boxes = rows[:, 2:] + [0, 0, inclusive, inclusive]
        tracks, frames = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
        try:
            parts.append(Regions(np.full(len(rows), number[video]), frames, boxes, tracks))
        except ValueError as error:
            hint = '' if inclusive else ' (boxes that hold the pixels of x2 and y2 are inclusive)'
            raise ValueError(f'{file}: {error}{hint}') from error
    if not any(len(part.frames) for part in parts):
        raise ValueError(f'{path}: expected a <video>.txt with tracks, found no region')
    names = ('videos', 'frames', 'boxes', 'tracks')
    return Regions(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def text_files(folder: Path) -> dict[str, Path]:
    """The ``.txt`` files of a folder by the videos that they are named after."""
    found = sorted(folder.glob('*.txt'))
    return {file.stem: file for file in found if not file.name.startswith('.')}


def read_rows(file: Path, columns: Sequence[str], length: int) -> np.ndarray:
    """The numbers of a file without a heading, a line a row.

    Args:
        file: The file, UTF-8; empty lines are passed over.
        columns: Their names; ``track`` and ``frame`` are whole numbers from 0 up.
        length: Number of frames of the video.

    Returns:
        (n, columns) float64.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If a line is off; the message names file, line and column.
    """
    rows = []
    for line, text in enumerate(read_text(file).splitlines(), start=1):
        if not text.strip():
            continue
        where, cells = f'{file}, line {line}', text.split(',')
        if len(cells) != len(columns):
            raise ValueError(
                f'{where}: {len(cells)} columns, expected {",".join(columns)} with commas'
            )
        row = [
            _number(f'{where}: {name}', cell, name in _WHOLE)
            for name, cell in zip(columns, cells, strict=True)
        ]
        frame = row[columns.index('frame')]
        if frame >= length:
            raise ValueError(
                f'{where}: frame {frame:.0f}, but the video has {length}, expected 0 to '
                f'{length - 1}'
            )
        rows.append(row)
    return np.array(rows, np.float64).reshape(-1, len(columns))


def _number(where: str, text: str, whole: bool) -> float:
    try:
        # Python takes more for a number than other programs write.
        number = float(text) if text.isascii() and '_' not in text else math.nan
    except ValueError:
        number = math.nan
    # Beyond 2^53 not every whole number is a float.
    if not (math.isfinite(number) and (not whole or (0 <= number < 2**53 and number % 1 == 0))):
        kind = 'a whole number from 0 up' if whole else 'a finite number'
        raise ValueError(f'{where}: expected {kind}, got {brief(text)}')
    return number
