"""What a page shows. Shape letters: F frames of a video, n objects of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """A figure, with what it says in words.

    Attributes:
        name: What is measured.
        value: The figure with its unit.
        meaning: One line; '' where the name says it.
    """

    name: str
    value: str
    meaning: str = ''


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: What it shows.
        columns: Headings.
        rows: Cells, as many a row as there are headings.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Reason:
    """Why an object scores high.

    Attributes:
        sentence: In words.
        shares: Term to its share, 0 to 1, of what adds up; the largest first.
        values: Rows of what was measured: name, value, what is usual there, share of the
            difference.
        heat: Share of each cell of the object's box, a square; empty where nothing says.
        nearest: In words, the training objects most like it; the nearest first.
        picture: File that shows it, by its path from the page; None where there is none.
    """

    sentence: str = ''
    shares: Mapping[str, float] = field(default_factory=dict)
    values: Sequence[Sequence[str]] = ()
    heat: Sequence[Sequence[float]] = ()
    nearest: Sequence[str] = ()
    picture: str | None = None


@dataclass(frozen=True)
class Moment:
    """Something to look at in a video: an event, or an object of high score.

    Attributes:
        id: Unique in the page.
        start, peak: Seconds of the video.
        end: Seconds; None where it is a single frame, or an event that is still open.
        score: Of the peak.
        what: A word or two: a kind of event.
        is_event: Whether the threshold was passed.
        clock: When by the clock; ''.
        reason: Why.
        thumbnail, clip: Files by their paths from the page; None where there are none.
    """

    id: str
    start: float
    peak: float
    end: float | None
    score: float
    what: str
    is_event: bool
    clock: str = ''
    reason: Reason = field(default_factory=Reason)
    thumbnail: str | None = None
    clip: str | None = None


@dataclass(frozen=True)
class PageObjects:
    """The boxes of a video.

    Attributes:
        frames: (n,), 0-based, ascending.
        boxes: (n, 4) xyxy, pixels of the video as it was scored.
        scores: (n,) of the objects, before smoothing.
    """

    frames: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class PageVideo:
    """One video.

    Attributes:
        name: As the user calls it.
        fps: Frames a second, by which times are taken.
        scores: Final frame scores (F,); None where only events are known.
        raw: Before smoothing (F,), or None.
        labels: (F,) of 0 and 1, or None.
        objects: Its boxes, or None.
        size: (H, W) as it was scored, pixels; None where it is not known.
        file: The video, by its path from the page; None: there is none to play.
        mime: Its type.
        moments: Those of it, in the order of time.
        notes: What a person should know of it.
    """

    name: str
    fps: float
    scores: np.ndarray | None = None
    raw: np.ndarray | None = None
    labels: np.ndarray | None = None
    objects: PageObjects | None = None
    size: tuple[int, int] | None = None
    file: str | None = None
    mime: str = ''
    moments: Sequence[Moment] = ()
    notes: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """How long it is, as far as is known."""
        if self.scores is not None:
            return len(self.scores) / self.fps
        return max((m.end or m.peak for m in self.moments), default=0.0)

    @property
    def events(self) -> int:
        """How many of its moments are events."""
        return sum(moment.is_event for moment in self.moments)


@dataclass(frozen=True)
class Page:
    """All of it.

    Attributes:
        title: What was examined.
        made: When and by what, in words.
        videos: In the order in which they are shown.
        threshold: Scores above it are events; None where none is known.
        figures: What a test found, where labels are known.
        tables: Others, such as the self-check.
        config: Text of the settings; '' where they are not known.
        notes: What a person should know of the page.
    """

    title: str
    made: str
    videos: Sequence[PageVideo]
    threshold: float | None = None
    figures: Sequence[Row] = ()
    tables: Sequence[Table] = ()
    config: str = ''
    notes: Sequence[str] = ()

    @property
    def limits(self) -> tuple[float, float]:
        """Object scores that are green and red, the same in all videos: the 5th and the 99th of a
        hundred frame scores, as in annotated videos."""
        scores = [video.scores for video in self.videos if video.scores is not None]
        if not scores:
            return 0.0, 1.0
        low, high = np.percentile(np.concatenate(scores), (5, 99))
        return float(low), float(high)

    @property
    def labelled(self) -> bool:
        """Whether it is known of a video which frames are abnormal."""
        return any(video.labels is not None for video in self.videos)

    def summary(self) -> dict[str, Any]:
        """Counts for the head of the page."""
        return dict(
            videos=len(self.videos),
            seconds=sum(video.seconds for video in self.videos),
            events=sum(video.events for video in self.videos),
        )
