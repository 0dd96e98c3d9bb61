"""Event files: what happened when, one JSON object a line, written the moment it is known.

An event has a line when it opens and one when it closes; the last line of an id is what is known of
it. Times are seconds of the video, which of a live source counts from when it was opened.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path, PurePosixPath
from reprlib import repr as brief
from typing import Any

from .files import NoSpaceError, atomic_path
from .text_files import parse_json, read_text

#: Version of the format, in every line.
EVENT_FORMAT = 1
STATES = ('open', 'closed')
#: Columns of the table of closed events.
TABLE = (
    'id', 'source', 'video', 'clock', 'start', 'end', 'peak', 'start_frame', 'end_frame',
    'peak_frame', 'score', 'threshold', 'kind', 'why', 'x1', 'y1', 'x2', 'y2', 'track',
    'thumbnail', 'clip',
)  # fmt: skip


@dataclass(frozen=True)
class EventObject:
    """One object in the frame of an event's peak.

    Args:
        box: x1, y1, x2, y2, pixels.
        score: Of the object, before smoothing.
        track: Number of its track in the video; None without tracking.
    """

    box: tuple[float, float, float, float]
    score: float
    track: int | None = None

    def __post_init__(self) -> None:
        box = self.box
        if not (isinstance(box, (list, tuple)) and len(box) == 4 and all(map(_is_number, box))):
            raise ValueError(f'box: expected four numbers, got {brief(box)}')
        if box[0] > box[2] or box[1] > box[3]:
            raise ValueError(f'box: expected x1 <= x2 and y1 <= y2, got {brief(box)}')
        _expect_number('score', self.score)
        if self.track is not None:
            _expect_whole('track', self.track)
        object.__setattr__(self, 'box', tuple(map(float, box)))


@dataclass(frozen=True)
class Event:
    """A stretch of time in which the score was above the alarm threshold.

    Args:
        id: Unique in its file; the lines of an event share it.
        state: ``'open'`` or ``'closed'``.
        source: What was watched: a path, an address without password, a camera's number.
        video: Name of the video.
        start, peak: Seconds, from when it is above the threshold, and of the highest score so far.
        start_frame, peak_frame: 0-based numbers of these frames.
        score: Of the peak, after smoothing.
        threshold: Above which it opened.
        kind: The score term that raised it most at the peak; ``''`` where no object was there.
        why: A sentence.
        end: Seconds, of the last frame above the threshold; None while open.
        end_frame: Its number; None while open.
        clock: When it started by the clock, ISO 8601 with its zone; None of a recording.
        shares: Term to its share, 0 to 1, of what adds up in the peak's object.
        objects: Those of the peak's frame, highest score first; the first one is the event's.
        values: What was measured on the first object: ``name``, ``unit``, ``value`` and, where it
            is known, ``usual`` (low, high) of that place, and ``share`` of the difference.
        nearest: The training objects most like it: ``video``, ``frame``, ``box``, ``distance``.
        thumbnail, clip: Files, by their paths from the event file's folder; None where there are
            none.

    Raises:
        ValueError: If a value is of another type or out of range; the message names the field.
    """

    id: str
    state: str
    source: str
    video: str
    start: float
    peak: float
    start_frame: int
    peak_frame: int
    score: float
    threshold: float
    kind: str = ''
    why: str = ''
    end: float | None = None
    end_frame: int | None = None
    clock: str | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    objects: tuple[EventObject, ...] = ()
    values: tuple[Mapping[str, Any], ...] = ()
    nearest: tuple[Mapping[str, Any], ...] = ()
    thumbnail: str | None = None
    clip: str | None = None

    def __post_init__(self) -> None:
        for name in ('id', 'source', 'video', 'kind', 'why'):
            if not isinstance(value := getattr(self, name), str):
                raise ValueError(f'{name}: expected a text, got {brief(value)}')
        if not self.id or not self.video:
            raise ValueError(f'{"video" if self.id else "id"}: expected a name, got none')
        if self.state not in STATES:
            raise ValueError(f'state: expected open or closed, got {brief(self.state)}')
        for name in ('start', 'peak', 'score', 'threshold'):
            _expect_number(name, getattr(self, name))
        for name in ('start_frame', 'peak_frame'):
            _expect_whole(name, getattr(self, name))
        self._check_end()
        for name in ('thumbnail', 'clip'):
            if (path := getattr(self, name)) is not None and not _is_below(path):
                raise ValueError(
                    f"{name}: expected a path below the event file's folder, got {brief(path)}"
                )
        _expect_clock(self.clock)
        if not isinstance(self.shares, Mapping) or not all(map(_is_share, self.shares.values())):
            raise ValueError(f'shares: expected terms with shares 0 to 1, got {brief(self.shares)}')
        for name in ('values', 'nearest'):
            given = getattr(self, name)
            if not _is_list(given) or not all(isinstance(v, Mapping) for v in given):
                raise ValueError(f'{name}: expected a list of objects, got {brief(given)}')
            object.__setattr__(self, name, tuple(given))
        object.__setattr__(self, 'objects', _objects(self.objects))

    def _check_end(self) -> None:
        if not self.start <= self.peak or not self.start_frame <= self.peak_frame:
            raise ValueError(
                f'peak: expected from the start on, {self.start:g} s, got {self.peak:g} s'
            )
        if self.state == 'open':
            if self.end is not None or self.end_frame is not None:
                raise ValueError(f'end: expected none of an open event, got {brief(self.end)}')
            return
        _expect_number('end', self.end)
        _expect_whole('end_frame', self.end_frame)
        if not self.peak <= self.end or not self.peak_frame <= self.end_frame:
            raise ValueError(
                f'end: expected from the peak on, {self.peak:g} s, got {brief(self.end)}'
            )

    @classmethod
    def of(cls, record: Any) -> Event:
        """From the object in a line.

        Raises:
            ValueError: If a field is missing, unknown or off.
        """
        if not isinstance(record, dict):
            raise ValueError(f'expected a JSON object, got {type(record).__name__}')
        record = dict(record)
        if (version := record.pop('format', None)) != EVENT_FORMAT:
            raise ValueError(f'format: expected {EVENT_FORMAT}, got {brief(version)}')
        names = {f.name for f in fields(cls)}
        if lacking := sorted({'id', 'state', 'source', 'video', 'start', 'peak', 'start_frame',
                              'peak_frame', 'score', 'threshold'} - set(record)):  # fmt: skip
            raise ValueError(f'{lacking[0]}: missing')
        if unknown := sorted(set(record) - names):
            raise ValueError(f'{brief(unknown[0])}: no such field')
        return cls(**record)

    @property
    def line(self) -> str:
        """As JSON, without an end of line."""
        return json.dumps(dict(format=EVENT_FORMAT, **asdict(self)), ensure_ascii=False)


class EventFile:
    """An event file that is written to, line by line; each is on its way to the disk at once.

    A line that a process before this one could not finish is dropped, all others stay.

    Args:
        path: A ``.jsonl`` file; it may be there already.

    Raises:
        OSError: If it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open('a+b', buffering=0)
        held = self._file.seek(0, os.SEEK_END)
        while held and self._byte(held - 1) != b'\n':
            held -= 1
        self._file.truncate(held)

    def _byte(self, place: int) -> bytes:
        self._file.seek(place)
        return self._file.read(1)

    def write(self, event: Event) -> None:
        """Add a line: whole, or, where there is no room for it, not at all.

        Raises:
            NoSpaceError: The disk is full; what was written before stays.
        """
        before, rest = self._file.seek(0, os.SEEK_END), f'{event.line}\n'.encode()
        try:
            # What is left of a disk takes a part of it first.
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(before)
            raise NoSpaceError.of(error, self.path) or error from error

    def close(self) -> None:
        """Nothing is written after this."""
        self._file.close()


def read_events(path: str | Path) -> list[Event]:
    """The events of a file, in the order in which they opened, each as it was last known.

    A last line without its end, which a process that was killed leaves, is left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is off; the message names the file, the line and the field.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such event file')
    *lines, _ = read_text(path).split('\n')
    found: dict[str, Event] = {}
    for number, line in enumerate(lines, start=1):
        where = f'{path}, line {number}'
        record = parse_json(line, where)
        try:
            event = Event.of(record)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        if (known := found.get(event.id)) and known.state == 'closed':
            raise ValueError(f'{where}: id: {brief(event.id)} was closed by a line before')
        found[event.id] = event
    return list(found.values())


def write_event_table(path: str | Path, events: Iterable[Event]) -> None:
    """The same as a CSV table for spreadsheets, whole or not at all."""
    with atomic_path(path) as tmp, tmp.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, TABLE)
        writer.writeheader()
        for event in events:
            row = {name: getattr(event, name) for name in TABLE if hasattr(event, name)}
            if event.objects:
                first = event.objects[0]
                row |= dict(zip(('x1', 'y1', 'x2', 'y2'), first.box, strict=True))
                row['track'] = first.track
            writer.writerow({key: _cell(value) for key, value in row.items()})


def _cell(value: Any) -> Any:
    """A spreadsheet takes a text that begins so for a formula."""
    if isinstance(value, str) and value[:1] in ('=', '+', '-', '@', '\t', '\r'):
        return f"'{value}"
    return value


def _objects(given: Any) -> tuple[EventObject, ...]:
    if not _is_list(given):
        raise ValueError(f'objects: expected a list, got {brief(given)}')
    found = []
    for number, item in enumerate(given):
        try:
            found.append(item if isinstance(item, EventObject) else EventObject(**item))
        except (TypeError, ValueError) as error:
            raise ValueError(f'objects.{number}: {error}') from error
    return tuple(found)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_number(value: Any) -> bool:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return plain and math.isfinite(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _expect_number(name: str, value: Any) -> None:
    if not _is_number(value):
        raise ValueError(f'{name}: expected a number, got {brief(value)}')


def _expect_whole(name: str, value: Any) -> None:
    if not (_is_number(value) and isinstance(value, int) and value >= 0):
        raise ValueError(f'{name}: expected a whole number from 0 up, got {brief(value)}')


def _expect_clock(value: Any) -> None:
    try:
        zoned = value is None or datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        zoned = False
    if not zoned:
        raise ValueError(f'clock: expected ISO 8601 with its zone, got {brief(value)}')


def _is_below(path: Any) -> bool:
    if not (isinstance(path, str) and path):
        return False
    parts = PurePosixPath(path)
    return not parts.is_absolute() and '..' not in parts.parts
