"""Whether a stream still looks like what was learned: no label is read, nothing has to happen."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

# One second of normal video in so many reaches the usual bound.
_ONE_IN = 10
# Of so many times that share there is drift, and below so many times it is over.
_FROM, _UNTIL = 3.0, 2.0
# Seconds that are looked back at, and with fewer of which nothing is said.
_BACK, _LEAST = 3600, 600

#: False alarms an hour of a threshold that so many seconds of normal video reach.
USUAL_AN_HOUR = 3600 / _ONE_IN


class Drift:
    """Compares the seconds of the last hour with those of normal video that was not seen.

    Of normal seconds a tenth reaches the bound. Where three tenths of the last hour do, it is not
    that something happens: the camera was moved, it is night, or the place has changed.

    Args:
        bound: The score that one in ten seconds of normal video reaches.
        tell: Takes a sentence when there is drift, and when it is over.
        name: Of the model, for what is advised.
    """

    def __init__(self, bound: float, tell: Callable[[str], None], name: str = 'NAME') -> None:
        self.bound, self.tell, self.name = bound, tell, name
        #: Whether there is drift now, and how often it began.
        self.now, self.times = False, 0
        self._seconds: deque[bool] = deque(maxlen=_BACK)
        self._over = 0
        self._second: int | None = None
        self._peak = float('-inf')

    @property
    def share(self) -> float:
        """Of the seconds looked back at, how many are above the bound."""
        return self._over / len(self._seconds) if self._seconds else 0.0

    def step(self, time: float, score: float) -> None:
        """The score of the next frame, and its seconds."""
        second = int(time)
        if self._second is not None and second != self._second:
            if len(self._seconds) == self._seconds.maxlen:
                self._over -= self._seconds[0]
            self._seconds.append(self._peak > self.bound)
            self._over += self._seconds[-1]
            self._peak = float('-inf')
            self._judge(time)
        self._second, self._peak = second, max(self._peak, score)

    def _judge(self, time: float) -> None:
        if len(self._seconds) < _LEAST:
            return
        minutes = len(self._seconds) / 60
        if not self.now and self.share * _ONE_IN >= _FROM:
            self.now, self.times = True, self.times + 1
            self.tell(
                f'{time:.0f} s: unlike what was learned: of the last {minutes:.0f} minutes, '
                f'{self.share:.0%} are above what {1 / _ONE_IN:.0%} of normal video reaches; has '
                f'the camera moved, or the place changed? `mmvad adapt {self.name} RECORDINGS` '
                'learns from recordings of now'
            )
        elif self.now and self.share * _ONE_IN < _UNTIL:
            self.now = False
            self.tell(f'{time:.0f} s: like what was learned again')
