"""A live source is watched: each frame that can be is scored, and what happens is written down as
it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any
from zlib import crc32

import numpy as np

from mmvad.datasets.frame_check import is_flat

from .alarm_events import AlarmState, Stretch
from .clips import ClipWriter
from .drift import Drift
from .event_writer import EventWriter, Evidence, clip_path, file_name
from .pacing import PacedFrames
from .sources import LiveFrame, name_of, shown
from .stream import StreamScorer
from .view_drift import ViewDrift

# Seconds of frames that show nothing, after which it is said.
_EMPTY = 5.0


@dataclass
class StreamCounts:
    """What became of the frames of a stream; together they are those that were read.

    Args:
        read: All that came.
        scored: Objects were looked for.
        left_out: Later ones waited.
        lost: There was not even time to look past them.
        empty: Of a single colour.
        early: Before there is a past, or a background, to score by.
        waiting: Came, and had not had their turn at the end.
        dropped: How often the source was gone.
        damaged: Packets and frames that did not decode; they are not read.
        events: How many opened.
        seconds: Since the first frame.
    """

    read: int = 0
    scored: int = 0
    left_out: int = 0
    lost: int = 0
    empty: int = 0
    early: int = 0
    waiting: int = 0
    dropped: int = 0
    damaged: int = 0
    events: int = 0
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """In words."""
        rate = self.scored / self.seconds if self.seconds else 0.0
        parts = [f'{self.scored} frames scored', f'{rate:.1f} a second', f'{self.events} events']
        words = dict(
            left_out='left out',
            lost='lost',
            empty='of a single colour',
            damaged='damaged',
            dropped='times gone',
        )
        parts += [f'{getattr(self, n)} {words[n]}' for n in words if getattr(self, n)]
        return ', '.join(parts)


class StreamWatch:
    """One live source that is watched.

    Args:
        scorer: Scores its frames.
        paced: The frames.
        writer: Of events.
        hold: Seconds below the threshold after which an event is over.
        status: Seconds between two lines on how it goes; 0: none.
        tell: Takes what a person should know.
        clips: Keeps the frames, for a clip of each event; None: there are none.
        drift: Says whether the stream still looks like what was learned; None: nobody does.
        view: Says whether the camera moved, and whether the light is another; None: nobody does.
    """

    def __init__(
        self,
        scorer: StreamScorer,
        paced: PacedFrames,
        writer: EventWriter,
        hold: float,
        status: float = 60.0,
        tell: Callable[[str], None] = print,
        clips: ClipWriter | None = None,
        drift: Drift | None = None,
        view: ViewDrift | None = None,
    ) -> None:
        self.scorer, self.paced, self.writer = scorer, paced, writer
        self.status, self.tell, self.clips, self.drift = status, tell, clips, drift
        self.view = view
        self.counts = StreamCounts()
        self.source, self.video = shown(paced.source.source), name_of(paced.source.source)
        self._state: AlarmState[Evidence] = AlarmState(writer.threshold, hold)
        self._last_checksum: int | None = None
        # Of each kind of empty frames: since when, and whether it was said.
        self._since: dict[str, float] = {}
        self._said: set[str] = set()
        self._shape: tuple[int, ...] | None = None
        self._delay = 0.0

    def run(self) -> StreamCounts:
        """Watch until the source ends; whatever ends it, events and files are closed.

        Raises:
            SourceError: What the source ended with.
        """
        next_status = time.monotonic() + self.status
        try:
            for frame, look in self.paced:
                if frame is None:
                    self._idle()
                else:
                    self._see(frame, look)
                if self.status and time.monotonic() >= next_status:
                    next_status = time.monotonic() + self.status
                    self.tell(f'{self.video}: {self._counted().line}, delay {self._delay:.2f} s')
        finally:
            # Whoever reads must not count on while the counts are taken.
            self.paced.close()
            self.scorer.close()
            if (over := self._state.finish()) is not None:
                self._write(over, True)
            if self.clips is not None:
                self.clips.close()
            self._counted()
        return self.counts

    def _see(self, frame: LiveFrame, look: bool) -> None:
        image = frame.image
        if self._shape not in (None, image.shape):
            self.tell(
                f'{self.video}: frames are {image.shape[1]} x {image.shape[0]} pixels now, were '
                f'{self._shape[1]} x {self._shape[0]}: it begins anew'
            )
            self.scorer.reset()
        elif frame.after_gap:
            self.scorer.forget_window()
        self._shape = image.shape
        if self.clips is not None:
            self.clips.look(image, frame.time)
        if self._shows_nothing(frame):
            # What is measured from it to its neighbours would mean nothing.
            self.scorer.skip()
            # Others are counted as left out.
            self.counts.empty += look
            self._close_old(frame.time)
            return
        if self.view is not None:
            self.view.look(image, frame.time)
        found = self.scorer.push(image, frame.time, look)
        if found.looked:
            self.counts.scored += 1
        elif look:
            self.counts.early += 1
        if not self.paced.source.waits:
            self._delay = max(0.0, self.paced.source.now() - frame.time)
        if found.score is None:
            return
        if self.drift is not None:
            self.drift.step(found.time, found.score)
        if not found.looked:
            # What was not looked at tells nothing of what happens.
            self._close_old(frame.time)
            return
        evidence = None
        if len(found.boxes):
            evidence = Evidence(
                found.boxes,
                found.scores,
                found.smoothed,
                found.tracks,
                lambda: image,
                lambda: dict(found.measured),
            )
        opened, over = self._state.step(found.number, found.time, found.score, evidence)
        if over is not None:
            self._write(over, True)
        if opened is not None:
            self.counts.events += 1
            self._write(opened, False)

    def _idle(self) -> None:
        """No frame comes."""
        source = self.paced.source
        if source.opened is not None and not source.waits:
            self._close_old(source.now())

    def _close_old(self, time: float) -> None:
        """Close what is over, where no score says so."""
        if (over := self._state.idle(time)) is not None:
            self._write(over, True)

    def _write(self, stretch: Stretch[Evidence], over: bool) -> None:
        opened = self.paced.source.opened
        clock = None
        if opened is not None and not self.paced.source.waits:
            moment = datetime.fromtimestamp(opened + stretch.start, timezone.utc)
            clock = moment.astimezone().isoformat(timespec='milliseconds')
        clip = None
        if self.clips is not None:
            name = self.writer.name(stretch, self.video)
            clip = clip_path(name, self.clips.suffix)
            if over:
                self.clips.over(stretch.end)
            else:
                self.clips.begin(file_name(name))
        self.writer.write(stretch, self.source, self.video, over, clock, clip)

    def _shows_nothing(self, frame: LiveFrame) -> bool:
        """Whether a frame is of a single colour; such, and those that are frozen, are told."""
        checksum = crc32(np.ascontiguousarray(frame.image))
        flat, frozen = is_flat(frame.image), checksum == self._last_checksum
        self._last_checksum = checksum
        said = dict(
            flat=(flat, 'frames are of a single colour'),
            frozen=(frozen, 'the picture stands still'),
        )
        for kind, (is_so, words) in said.items():
            if not is_so:
                self._since.pop(kind, None)
                if kind in self._said:
                    self._said.discard(kind)
                    self.tell(f'{self.video}: {frame.time:.0f} s: the camera shows something again')
                continue
            since = self._since.setdefault(kind, frame.time)
            if frame.time - since >= _EMPTY and kind not in self._said:
                self._said.add(kind)
                self.tell(f'{self.video}: {frame.time:.0f} s: {words} since {since:.0f} s')
        return flat

    def _counted(self) -> StreamCounts:
        source, paced, counts = self.paced.source, self.paced.counts, self.counts
        counts.read, counts.left_out, counts.lost = paced.read, paced.left_out, paced.lost
        # A signal may come in the midst of a frame.
        in_hand = paced.handed - counts.scored - counts.early - counts.empty
        counts.waiting = self.paced.waiting + in_hand
        counts.dropped, counts.damaged = source.dropped, source.damaged
        counts.seconds = round(source.now(), 3) if source.opened else 0.0
        return counts

    @property
    def summary(self) -> dict[str, Any]:
        """The counts, for a file."""
        drift = {} if self.drift is None else dict(drifted=self.drift.times)
        if self.view is not None:
            drift |= dict(moved=self.view.moved.times, other_light=self.view.light.times)
        return dict(source=self.source, **asdict(self._counted()), **drift)
