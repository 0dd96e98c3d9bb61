"""From frame scores to events: each opens above a threshold, and closes when the score was below
it for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

#: Seconds below the threshold after which an event is over.
HOLD = 2.0
# Seconds without any frame, after which what comes is something else.
_GAP = 5.0

Evidence = TypeVar('Evidence')


@dataclass
class Stretch(Generic[Evidence]):
    """What is known of an event while it lasts.

    Args:
        start, start_frame: Seconds and number of its first frame above the threshold.
        end, end_frame: Of its last one so far.
        score: The highest.
        peak, peak_frame: Of the frame with the highest score that holds evidence; of any frame, as
            long as none does.
        evidence: Of that frame; None: there was none.
    """

    start: float
    start_frame: int
    end: float
    end_frame: int
    score: float
    peak: float
    peak_frame: int
    evidence: Evidence | None = None
    shown: float = float('-inf')
    """Score of the frame of the evidence."""


class AlarmState(Generic[Evidence]):
    """Follows the score of one video or stream.

    Args:
        threshold: An event opens at a frame whose score is above it.
        hold: Seconds below after which it is over.

    Raises:
        ValueError: If ``hold`` is negative, or the threshold is no number.
    """

    def __init__(self, threshold: float, hold: float = HOLD) -> None:
        if not (isinstance(hold, (int, float)) and 0 <= hold < float('inf')):
            raise ValueError(f'hold: expected seconds from 0 up, got {hold!r}')
        if not abs(threshold) < float('inf'):
            raise ValueError(f'threshold: expected a number, got {threshold!r}')
        self.threshold, self.hold = threshold, hold
        #: What lasts now; None: nothing.
        self.open: Stretch[Evidence] | None = None
        self._last = -1

    def step(
        self, frame: int, time: float, score: float, evidence: Evidence | None = None
    ) -> tuple[Stretch[Evidence] | None, Stretch[Evidence] | None]:
        """The next frame.

        Args:
            frame: Its number.
            time: Its seconds, ascending.
            score: Its score.
            evidence: What is kept of the frame of the highest score; None: it shows nothing.

        Returns:
            What opens with this frame, and what was over before it, if anything.
        """
        closed = None
        above = score > self.threshold
        if self.open is not None:
            follows = above and self._last == self.open.end_frame
            if time - self.open.end > (max(self.hold, _GAP) if follows else self.hold):
                closed, self.open = self.open, None
        self._last = frame
        if not above:
            return None, closed
        opened = None
        if self.open is None:
            opened = self.open = Stretch(time, frame, time, frame, score, time, frame)
        now = self.open
        now.end, now.end_frame, now.score = time, frame, max(now.score, score)
        if evidence is not None and (now.evidence is None or score > now.shown):
            now.peak, now.peak_frame = time, frame
            now.evidence, now.shown = evidence, score
        elif now.evidence is None and score >= now.score:
            now.peak, now.peak_frame = time, frame
        return opened, closed

    def idle(self, time: float) -> Stretch[Evidence] | None:
        """No frame comes: what is over meanwhile.

        Args:
            time: Seconds, now.
        """
        if self.open is not None and time - self.open.end > max(self.hold, _GAP):
            return self.finish()
        return None

    def finish(self) -> Stretch[Evidence] | None:
        """At the end of the video: what was still open."""
        closed, self.open = self.open, None
        return closed
