"""Writes down what happens: a line when an event opens and when it closes, pictures, a table."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from mmvad.structures import (
    Event,
    EventFile,
    EventObject,
    atomic_path,
    read_events,
    write_event_table,
)
from mmvad.visualization import draw_objects

from .alarm_events import Stretch
from .reasons import Reason, Reasons

#: Below the folder that is written to.
EVENTS, TABLE, THUMBNAILS, CLIPS = 'events.jsonl', 'events.csv', 'thumbnails', 'clips'
# Height from which numbers can be read in a picture, and width above which it is reduced.
_LEGIBLE, _WIDEST = 360, 960
# Objects of a frame that are told.
_OBJECTS = 20


@dataclass(frozen=True)
class Evidence:
    """What a frame shows that may be the peak of an event.

    Args:
        boxes: (n, 4) xyxy, pixels, n at least 1.
        scores: (n,) of the objects, before smoothing.
        smoothed: (n,) along their tracks.
        tracks: (n,); None without tracking.
        image: Gives the frame (H, W, 3).
        measured: Gives what was measured on the objects, name to (n, ...).
    """

    boxes: np.ndarray
    scores: np.ndarray
    smoothed: np.ndarray
    tracks: np.ndarray | None
    image: Callable[[], np.ndarray]
    measured: Callable[[], dict[str, Tensor]]


@dataclass
class EventWriter:
    """The events of one run, of one video after the other.

    Args:
        out: Folder to write to; lines are added to an event file that is there.
        threshold: Above which there is an event.
        reasons: Says why.
        tell: Takes a sentence when an event opens.
        sinks: Each takes every line's event, and must not wait.
    """

    out: Path
    threshold: float
    reasons: Reasons
    tell: Callable[[str], None] = print
    sinks: list[Callable[[Event], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out = Path(self.out)
        self._file = EventFile(self.out / EVENTS)
        self._stamp = time.strftime('%Y%m%dT%H%M%S')
        self._count = 0
        # Of events that are open: their ids, and those that were told.
        self._names: dict[int, str] = {}
        self._told: set[int] = set()

    @property
    def count(self) -> int:
        """Events so far."""
        return self._count

    def write(
        self,
        stretch: Stretch[Evidence],
        source: str,
        video: str,
        over: bool,
        clock: str | None = None,
        clip: str | None = None,
    ) -> Event:
        """Write a line.

        Args:
            stretch: What is known of the event.
            source: What is watched, as it may be told.
            video: Its name.
            over: Whether it is closed.
            clock: When it began, ISO 8601 with its zone.
            clip: A video of it, by its path below :attr:`out`.

        Raises:
            OSError: If it cannot be written; lines that are there stay.
        """
        known, name = id(stretch) in self._told, self.name(stretch, video)
        objects, reason, thumbnail = (), Reason(), None
        if (found := stretch.evidence) is not None:
            order = np.argsort(-found.smoothed, kind='stable')[:_OBJECTS]
            objects = tuple(_object(found, row) for row in order)
            reason = self.reasons(found.measured(), int(order[0]), found.boxes[order[0]])
            thumbnail = self._thumbnail(name, found, order)
        event = Event(
            id=name,
            state='closed' if over else 'open',
            source=source,
            video=video,
            start=round(stretch.start, 3),
            start_frame=stretch.start_frame,
            peak=round(stretch.peak, 3),
            peak_frame=stretch.peak_frame,
            end=round(stretch.end, 3) if over else None,
            end_frame=stretch.end_frame if over else None,
            score=round(stretch.score, 4),
            threshold=round(self.threshold, 4),
            kind=reason.kind,
            why=reason.why,
            clock=clock,
            shares=reason.shares,
            objects=objects,
            values=reason.values,
            nearest=reason.nearest,
            thumbnail=thumbnail,
            clip=clip,
        )
        self._file.write(event)
        if not known:
            self._told.add(id(stretch))
            self.tell(f'{video}: {event.start:.1f} s: {event.why} (score {event.score:.2f})')
        if over:
            del self._names[id(stretch)]
            self._told.discard(id(stretch))
        for sink in self.sinks:
            sink(event)
        return event

    def name(self, stretch: Stretch[Evidence], video: str) -> str:
        """The id of an event of a video that is open, or about to be written."""
        if id(stretch) not in self._names:
            self._count += 1
            self._names[id(stretch)] = f'{video}-{self._stamp}-{self._count}'
        return self._names[id(stretch)]

    def _thumbnail(self, name: str, found: Evidence, order: np.ndarray) -> str:
        """The frame, with the objects' boxes and scores."""
        image = found.image()
        height, width = image.shape[:2]
        shrink = min(1.0, _WIDEST / width)
        if shrink < 1:
            image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        top = float(found.scores[order[0]])
        picture = draw_objects(
            image,
            found.boxes[order] * shrink,
            found.scores[order],
            (self.threshold / 2, max(self.threshold, top)),
            scale=max(1, round(_LEGIBLE / height)),
        )
        path = self.out / THUMBNAILS / f'{file_name(name)}.jpg'
        ok, code = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
        if not ok:
            raise RuntimeError(f'{path}: OpenCV could not encode it')
        with atomic_path(path) as tmp:
            tmp.write_bytes(code.tobytes())
        return path.relative_to(self.out).as_posix()

    def close(self) -> None:
        """Write the table of all events that are in the file."""
        self._file.close()
        write_event_table(self.out / TABLE, read_events(self.out / EVENTS))


def clip_path(event: str, suffix: str = '.mp4') -> str:
    """The clip of an event, below the folder that is written to."""
    return f'{CLIPS}/{file_name(event)}{suffix}'


def file_name(event: str) -> str:
    """An event's id as the name of a file."""
    return re.sub(r'[^\w.-]+', '_', event)


def _object(found: Evidence, row: int) -> EventObject:
    return EventObject(
        box=tuple(round(float(edge), 1) for edge in found.boxes[row]),
        score=round(float(found.scores[row]), 4),
        track=None if found.tracks is None else int(found.tracks[row]),
    )
