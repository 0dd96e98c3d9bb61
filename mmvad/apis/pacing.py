"""Between a live source and who scores its frames: nothing piles up, and each frame is counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from .sources import LiveFrame, LiveSource

#: Frames that may wait before some are left out.
SLACK = 8
# Frames that may wait at all: where there is no time even to look past them, the oldest are lost.
_MOST = 64


@dataclass
class Counts:
    """What became of the frames of a stream.

    Args:
        read: All that came.
        handed: Of these, how many were handed out to be scored.
        left_out: Of these, how many were not scored, since later ones waited.
        lost: Of these, how many are not even the past of later ones.
    """

    read: int = 0
    handed: int = 0
    left_out: int = 0
    lost: int = 0


class PacedFrames:
    """Reads a source in a thread, so that who is slow gets the frame that is now.

    The rule: while more than :data:`SLACK` frames wait, frames are handed out with ``look=False``.
    They are decoded, and are the past of later ones, but not scored. So the delay is that of a few
    frames, whatever the machine. Where a source waits for its reader, or every frame is wanted,
    none is left out, and the source waits.

    Args:
        source: What is read.
        every_frame: Leave none out.
    """

    def __init__(self, source: LiveSource, every_frame: bool = False) -> None:
        self.source = source
        self.every_frame = every_frame or source.waits
        self.counts = Counts()
        self._waiting: deque[LiveFrame] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._over = False
        self._lost_before = False
        self._thread = threading.Thread(target=self._read, name='source', daemon=True)

    def __iter__(self) -> Iterator[tuple[LiveFrame | None, bool]]:
        """Frames, each with whether it is to be looked at; (None, False) twice a second while
        none comes, so that who waits can go on with something else.

        Raises:
            SourceError: What ended the source.
        """
        self._thread.start()
        try:
            while True:
                with self._changed:
                    if not self._waiting and not self._over:
                        self._changed.wait(0.5)
                    if not self._waiting:
                        if self._over:
                            break
                        found, look = None, False
                    else:
                        found = self._waiting.popleft()
                        look = self.every_frame or len(self._waiting) <= SLACK
                        self.counts.handed += look
                        self.counts.left_out += not look
                        self._changed.notify_all()
                yield found, look
        finally:
            self.close()
        if self._error is not None:
            raise self._error

    @property
    def waiting(self) -> int:
        """Frames that wait now."""
        return len(self._waiting)

    def _read(self) -> None:
        try:
            for frame in self.source.frames():
                with self._changed:
                    # What comes after the end was not read.
                    if self._over:
                        return
                    self.counts.read += 1
                    self._put(frame)
                    self._changed.notify_all()
        except BaseException as error:  # whatever it is, it is raised where frames are taken
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _put(self, frame: LiveFrame) -> None:
        while self.every_frame and len(self._waiting) >= SLACK and not self._over:
            self._changed.wait(0.5)
        if len(self._waiting) >= _MOST:
            # What follows the oldest is no longer what follows what was handed out.
            self._waiting.popleft()
            self.counts.lost += 1
            first = self._waiting.popleft()
            self._waiting.appendleft(LiveFrame(first.image, first.time, True))
        self._waiting.append(frame)

    def close(self) -> None:
        """End the reading; a source that does not answer is left to itself."""
        self.source.stop()
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join(timeout=2.0)
