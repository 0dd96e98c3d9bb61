"""Readers of label files that give a video's abnormal frames as stretches: UBnormal, UCF-Crime
and XD-Violence.

Whatever a file counts from, rows hold 0-based stretches ``(start, end)``, ``end`` exclusive, in
order and apart from each other. A row that is odd but has one sensible reading is read so, and
its ``notes`` say how; one that has none is an error that names file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mmvad.datasets.frames import VIDEO_SUFFIXES

Interval = tuple[int, int]

#: Class names in UCF-Crime's files; the last is that of videos without an anomaly.
UCF_CRIME_CLASSES = (
    'Abuse',
    'Arrest',
    'Arson',
    'Assault',
    'Burglary',
    'Explosion',
    'Fighting',
    'RoadAccidents',
    'Robbery',
    'Shooting',
    'Shoplifting',
    'Stealing',
    'Vandalism',
    'Normal',
)
#: Label codes in XD-Violence's video names: fighting, shooting, riot, abuse, car accident,
#: explosion; and 'A' for videos without any.
XD_VIOLENCE_LABELS = ('B1', 'B2', 'B4', 'B5', 'B6', 'G')
XD_VIOLENCE_NORMAL = 'A'


@dataclass(frozen=True)
class IntervalRow:
    """The row of one video.

    Args:
        video: Its name, without folder and suffix.
        category: Kind of anomaly, as the dataset calls it.
        intervals: Abnormal stretches: 0-based, end exclusive, in order, apart from each other.
        line: Number of the row in its file, from 1.
        notes: What was odd about it, and how it was read.
    """

    video: str
    category: str
    intervals: tuple[Interval, ...]
    line: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedVideo:
    """An entry ``<folder>/<name>.mp4`` of UCF-Crime's lists."""

    folder: str
    video: str
    line: int

    @property
    def category(self) -> str:
        """Class of the video; the folders of normal ones have longer names."""
        return 'Normal' if 'Normal' in self.folder else self.folder


@dataclass(frozen=True)
class ObjectTrack:
    """An abnormal object of UBnormal: its number in the masks and the frames in which it is
    abnormal, 0-based, end exclusive."""

    object: int
    start: int
    end: int


def read_ucf_crime(path: str | Path) -> list[IntervalRow]:
    """UCF-Crime's ``Temporal_Anomaly_Annotation_for_Testing_Videos.txt``.

    A row is ``name class s1 e1 s2 e2``, -1 where unused; names come with and without ``.mp4``.
    The authors' evaluation indexes a MATLAB vector with ``s:e``, so frames count from 1 and the
    end belongs to the stretch; it reads a start of 0 as 1.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming file and line, if a row cannot be read.
    """
    path = Path(path)
    rows = []
    for line, fields in _rows(path):
        where = f'{path}:{line}'
        if len(fields) != 6:
            raise ValueError(f'{where}: expected name, class and 4 numbers, got {" ".join(fields)}')
        video, category = strip_suffix(fields[0]), fields[1]
        if category not in UCF_CRIME_CLASSES:
            raise ValueError(f'{where}: {video}: unknown class {category!r}')
        pairs, notes = [], []
        for start, end in _pairs(fields[2:], f'{where}: {video}'):
            if (start, end) == (-1, -1):
                continue
            if start == 0:
                notes.append(f'start 0 of {start}-{end} read as frame 1, the first')
                start = 1
            if not 1 <= start <= end:
                raise ValueError(
                    f'{where}: {video}: expected 1 <= start <= end, or -1 -1, got {start} {end}'
                )
            pairs.append((start - 1, end))
        if bool(pairs) != (category != 'Normal'):
            raise ValueError(f'{where}: {video}: class {category} with {len(pairs)} stretches')
        rows.append(_row(video, category, pairs, line, notes))
    return _unique(rows, path)


def read_ucf_crime_list(path: str | Path) -> list[ListedVideo]:
    """UCF-Crime's ``Anomaly_Train.txt`` and ``Anomaly_Test.txt``: ``<folder>/<name>.mp4`` a row.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming file and line, if a row cannot be read or names a video again.
    """
    path = Path(path)
    videos: dict[str, ListedVideo] = {}
    for line, fields in _rows(path):
        folder, slash, name = fields[0].rpartition('/')
        if len(fields) != 1 or not slash or not folder or '/' in folder or not name:
            raise ValueError(f'{path}:{line}: expected <folder>/<name>.mp4, got {" ".join(fields)}')
        entry = ListedVideo(folder, strip_suffix(name), line)
        if entry.category not in UCF_CRIME_CLASSES:
            raise ValueError(f'{path}:{line}: {name}: unknown class {folder!r}')
        if entry.video in videos:
            first = videos[entry.video].line
            raise ValueError(f'{path}:{line}: {entry.video}: named in line {first} before')
        videos[entry.video] = entry
    return list(videos.values())


def read_xd_violence(path: str | Path) -> list[IntervalRow]:
    """XD-Violence's ``annotations.txt``: ``name s e [s e ...]``, the violent test videos.

    The authors' evaluation sets ``labels[s:e]`` in numpy, so frames count from 0 and the end does
    not belong to the stretch.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming file and line, if a row cannot be read.
    """
    path = Path(path)
    rows = []
    for line, (name, *numbers) in _rows(path):
        where = f'{path}:{line}'
        video, notes = strip_suffix(name), []
        if video != name:
            notes.append(f'name ends in {name[len(video) :]}, read without it')
        category = xd_violence_label(video, where)
        if category == XD_VIOLENCE_NORMAL:
            raise ValueError(f'{where}: {video}: a row, but its name says it is normal (label_A)')
        pairs = _pairs(numbers, f'{where}: {video}')
        if not pairs:
            raise ValueError(f'{where}: {video}: expected a start and an end, got none')
        for start, end in pairs:
            if not 0 <= start < end:
                raise ValueError(
                    f'{where}: {video}: expected 0 <= start < end (the end does not belong to '
                    f'the stretch), got {start} {end}'
                )
        rows.append(_row(video, category, pairs, line, notes))
    return _unique(rows, path)


def xd_violence_label(video: str, where: str | Path) -> str:
    """Label part of a video's name, without the zeros that fill it up: ``'B1'``, ``'B2-B6'``,
    ``'A'``.

    Args:
        video: Name without suffix, ``..._label_B2-B6-0``.
        where: What error messages start with.

    Raises:
        ValueError: If the name has no such part, or another label.
    """
    match = re.search(r'_label_([^_]+)$', video)
    codes = [code for code in match[1].split('-') if code != '0'] if match else []
    known = codes == [XD_VIOLENCE_NORMAL] or set(codes) <= set(XD_VIOLENCE_LABELS)
    if not codes or not known:
        raise ValueError(
            f'{where}: {video}: expected a name that ends in _label_ and '
            f'{", ".join(XD_VIOLENCE_LABELS)} or {XD_VIOLENCE_NORMAL}'
        )
    return '-'.join(codes)


def read_ubnormal_tracks(path: str | Path) -> list[ObjectTrack]:
    """UBnormal's ``<video>_tracks.txt``: ``object,start,end`` a row, frames from 0, the end
    belongs to the track; commas or spaces. Empty files are those of normal videos.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming file and line, if a row cannot be read.
    """
    path = Path(path)
    tracks = []
    for line, fields in _rows(path, separators=r'[,\s]+'):
        # The authors read them as floats, and some of their tools write them so.
        numbers = [_integer(field.removesuffix('.0'), f'{path}:{line}') for field in fields]
        if len(numbers) != 3:
            raise ValueError(f'{path}:{line}: expected object,start,end, got {" ".join(fields)}')
        object_id, start, end = numbers
        if not 0 <= start <= end:
            raise ValueError(f'{path}:{line}: expected 0 <= start <= end, got {start} {end}')
        tracks.append(ObjectTrack(object_id, start, end + 1))
    return tracks


def read_names(path: str | Path) -> list[str]:
    """Names of videos, one a row, with or without suffix (UBnormal's lists of the splits).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming file and line, if a row is not one name, or names a video again.
    """
    path = Path(path)
    lines: dict[str, int] = {}
    for line, fields in _rows(path):
        name = strip_suffix(fields[0])
        if len(fields) != 1 or '/' in name:
            raise ValueError(f'{path}:{line}: expected the name of a video, got {" ".join(fields)}')
        if name in lines:
            raise ValueError(f'{path}:{line}: {name}: named in line {lines[name]} before')
        lines[name] = line
    return list(lines)


def merge_intervals(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same frames as stretches in order and apart from each other."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def strip_suffix(name: str) -> str:
    """A video's name without the suffix of a video file; other dots belong to names."""
    stem, dot, suffix = name.rpartition('.')
    return stem if dot and f'.{suffix.lower()}' in VIDEO_SUFFIXES else name


def _rows(path: Path, separators: str = r'\s+') -> Iterator[tuple[int, list[str]]]:
    """Line numbers from 1 and fields of the lines that are not empty."""
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such label file')
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not a text file: {error}') from error
    for line, row in enumerate(text.splitlines(), start=1):
        if row.strip():
            yield line, re.split(separators, row.strip())


def _integer(field: str, where: str) -> int:
    try:
        return int(field)
    except ValueError as error:
        raise ValueError(f'{where}: expected a whole number, got {field!r}') from error


def _pairs(fields: list[str], where: str) -> list[Interval]:
    numbers = [_integer(field, where) for field in fields]
    if len(numbers) % 2:
        raise ValueError(f'{where}: expected pairs of start and end, got {len(numbers)} numbers')
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _row(
    video: str, category: str, pairs: list[Interval], line: int, notes: list[str]
) -> IntervalRow:
    """The row of ``pairs`` that are stretches by themselves, in any order."""
    ordered = sorted(pairs)
    if ordered != pairs:
        notes.append('stretches out of order, sorted')
    if any(later[0] < earlier[1] for earlier, later in zip(ordered, ordered[1:], strict=False)):
        notes.append('stretches overlap, united')
    return IntervalRow(video, category, merge_intervals(pairs), line, tuple(notes))


def _unique(rows: list[IntervalRow], path: Path) -> list[IntervalRow]:
    """One row a video: a row that says the same again changes nothing, one that says something
    else leaves open which is right."""
    first: dict[str, IntervalRow] = {}
    for row in rows:
        known = first.setdefault(row.video, row)
        if known is row:
            continue
        if (known.category, known.intervals) != (row.category, row.intervals):
            raise ValueError(
                f'{path}:{row.line}: {row.video}: other stretches than in line {known.line}'
            )
        note = f'repeated in line {row.line}, read once'
        first[row.video] = replace(known, notes=(*known.notes, note))
    return list(first.values())
