"""What a stream looks like with nothing in it, for proposers that look at a whole video first."""

from __future__ import annotations

import copy
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from mmvad.proposals import BaseProposer

# Frames that are kept, as many as a proposer takes of a video, and bytes of them.
_KEPT, _BYTES = 60, 192 * 2**20
# At first a frame is kept every so many seconds, until there are so many; then it begins.
_FIRST_EVERY, _FIRST = 0.2, 15
# Then a frame is kept every so many seconds, and all are looked at anew after as many more.
_EVERY, _RENEWED = 10.0, 6


def looks_ahead(proposer: BaseProposer) -> bool:
    """Whether a proposer wants to see a video's frames before it finds objects in them."""
    return type(proposer).start is not BaseProposer.start


class StreamBackground:
    """Shows a proposer the frames of a stream of the last ten minutes, over and over.

    It begins with those of three seconds, and goes on with more, in a thread, so that the stream
    does not wait. Somebody who stands still for minutes fades into the background.

    Args:
        proposer: Of which copies are made.
    """

    def __init__(self, proposer: BaseProposer) -> None:
        self._pattern = proposer
        self._frames: deque[np.ndarray] = deque(maxlen=_KEPT)
        self._last = -np.inf
        self._new = 0
        self._pool = ThreadPoolExecutor(1, 'background')
        self._coming: Future[BaseProposer] | None = None
        self._ready: BaseProposer | None = None

    def look(self, frame: np.ndarray, time: float) -> BaseProposer | None:
        """Look at the next frame.

        Args:
            frame: (H, W, 3).
            time: Its seconds.

        Returns:
            A proposer that knows the background; None as long as too little was seen.
        """
        waiting = self._ready is None
        # Rates are no whole parts of it.
        if time - self._last > (_FIRST_EVERY if waiting else _EVERY) - 1e-3:
            if (len(self._frames) + 1) * frame.nbytes > _BYTES and len(self._frames) > _FIRST:
                self._frames.popleft()
            self._frames.append(frame)
            self._last = time
            self._new += 1
        if waiting and len(self._frames) >= _FIRST:
            self._ready, self._new = self._shown(list(self._frames)), 0
        elif self._coming is None and not waiting and self._new >= _RENEWED:
            self._coming, self._new = self._pool.submit(self._shown, list(self._frames)), 0
        elif self._coming is not None and self._coming.done():
            self._ready, self._coming = self._coming.result(), None
        return self._ready

    def _shown(self, frames: list[np.ndarray]) -> BaseProposer:
        proposer = copy.deepcopy(self._pattern)
        proposer.fit([frames])
        proposer.start(frames)
        return proposer

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(cancel_futures=True)
