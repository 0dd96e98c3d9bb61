"""What can be watched live: cameras, addresses, and frames on a pipe.

A source gives frames as they come, and says what happens to it. One that was there and is gone is
tried again, and again, with longer and longer pauses.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import av
import numpy as np

#: Seconds of the pauses before a dropped source is tried again; the last one is kept to.
BACK_OFF = (1.0, 2.0, 5.0, 10.0, 30.0)
#: Formats of frames on a pipe.
PIPES = ('mjpeg', 'raw', 'auto')
# Of which an end is the end, if they say how long they are.
_FILES = ('http', 'https', 'ftp', 'file')


class SourceError(OSError):
    """A source cannot be opened, or gives nothing."""


@dataclass(frozen=True)
class LiveFrame:
    """A frame as it came.

    Args:
        image: (H, W, 3) uint8 BGR.
        time: Seconds since the source was first opened.
        after_gap: Whether frames before it are missing: the source was gone.
    """

    image: np.ndarray
    time: float
    after_gap: bool = False


def is_live(source: str) -> bool:
    """Whether a source is a stream: ``-``, a camera's number or device, or an address."""
    address = '://' in source and not source.startswith('file://')
    return source == '-' or source.isdigit() or source.startswith('/dev/') or address


def shown(source: str) -> str:
    """A source as it may be told: without the user's name and password, and without what follows
    a question mark, where some cameras want them."""
    if '://' not in source:
        return source
    parts = urlsplit(source)
    netloc = parts.netloc.rpartition('@')[2]
    return urlunsplit(parts._replace(netloc=netloc, query='', fragment=''))


def name_of(source: str) -> str:
    """A name for files, of a live source."""
    if source == '-':
        return 'pipe'
    if source.isdigit():
        return f'camera-{source}'
    return re.sub(r'[^\w.-]+', '_', shown(source)).strip('_') or 'stream'


class LiveSource:
    """The frames of a live source, and nothing else of it.

    Args:
        source: ``-``; a camera's number; a device; or an address that FFmpeg knows (``rtsp://``,
            ``http://``, ``tcp://``, ...).
        pipe: What is on the pipe: ``'mjpeg'``, JPEG after JPEG; ``'raw'``, BGR of 8 bits;
            ``'auto'``, a format that says itself what it is, such as MPEG-TS or Matroska.
        size: (width, height) of raw frames.
        rate: Frames a second on a pipe, by which their time goes.
        timeout: Seconds without an answer, or a frame, after which a source is gone.
        give_up: Seconds of trying in vain after which it ends; None: never.
        tell: Takes what happens, a sentence each.

    Raises:
        ValueError: If arguments do not go together.
    """

    def __init__(
        self,
        source: str,
        pipe: str = 'mjpeg',
        size: tuple[int, int] | None = None,
        rate: float = 25.0,
        timeout: float = 10.0,
        give_up: float | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        if pipe not in PIPES:
            raise ValueError(f'pipe: expected one of {", ".join(PIPES)}, got {pipe!r}')
        if source == '-' and pipe == 'raw' and size is None:
            raise ValueError('size: expected the width and height of raw frames, such as 640x360')
        for name, value in (('rate', rate), ('timeout', timeout)):
            if not 0 < value < float('inf'):
                raise ValueError(f'{name}: expected a number above 0, got {value!r}')
        self.source, self.pipe, self.size, self.rate = source, pipe, size, rate
        self.timeout, self.give_up, self.tell = timeout, give_up, tell
        #: What the frames' times count from, by the clock of ``time.time``.
        self.opened: float | None = None
        #: How often it was gone, and packets that did not decode.
        self.dropped = self.damaged = 0
        self._stop = threading.Event()
        self._began, self._taken = 0.0, 0

    @property
    def waits(self) -> bool:
        """Whether the source waits for who reads it, so that no frame is lost: a pipe does."""
        return self.source == '-'

    def stop(self) -> None:
        """Have :meth:`frames` end with the next frame; it may come from another thread."""
        self._stop.set()

    def frames(self) -> Iterator[LiveFrame]:
        """The frames, until the source ends or :meth:`stop`.

        Raises:
            SourceError: If it does not answer at first, gives no video, or was tried again in vain.
        """
        tries, gone_since, ever = 0, None, False
        while not self._stop.is_set():
            after_gap, why = ever, ''
            try:
                container = self._open()
                try:
                    for image in self._decoded(container):
                        if tries:
                            self.tell(f'{shown(self.source)}: is there again')
                        tries, gone_since = 0, None
                        yield LiveFrame(image, self._time(), after_gap)
                        after_gap, ever = False, True
                        if self._stop.is_set():
                            return
                    if self._is_over(container):
                        if not ever:
                            raise SourceError(f'{shown(self.source)}: holds no frame that decodes')
                        return
                    why = 'ended'
                finally:
                    container.close()
            except av.error.ExitError:
                why = f'no answer for {self.timeout:g} s'
            except av.error.FFmpegError as error:
                why = error.strerror or str(error)
            if self._stop.is_set():
                # Its end was asked for.
                return
            if self.waits and ever:
                self.tell(f'the pipe ended: {why}')
                return
            if not ever:
                raise SourceError(f'{shown(self.source)}: cannot be watched: {why}')
            self.dropped += tries == 0
            gone_since = time.monotonic() if gone_since is None else gone_since
            pause = BACK_OFF[min(tries, len(BACK_OFF) - 1)]
            tries += 1
            gone = time.monotonic() - gone_since
            if self.give_up is not None and gone + pause > self.give_up:
                raise SourceError(
                    f'{shown(self.source)}: gone ({why}), and {tries} times tried again in vain'
                )
            self.tell(f'{shown(self.source)}: gone ({why}); tried again in {pause:g} s')
            self._stop.wait(pause)

    def now(self) -> float:
        """Seconds since it was first opened; on a pipe, those of the frames that came."""
        if self.waits:
            return self._taken / self.rate
        return time.monotonic() - self._began

    def _time(self) -> float:
        """Of the next frame."""
        if self.opened is None:
            self.opened, self._began = time.time(), time.monotonic()
        self._taken += 1
        return (self._taken - 1) / self.rate if self.waits else self.now()

    def _is_over(self, container: av.container.InputContainer) -> bool:
        """Whether the end is the source's own, and not one of the connection."""
        finite = container.duration is not None and container.duration > 0
        return self.waits or (finite and self.source.partition('://')[0] in _FILES)

    def _open(self) -> av.container.InputContainer:
        more: dict[str, Any] = {}
        if self.source == '-':
            if self.pipe == 'raw':
                width, height = self.size
                more = dict(
                    format='rawvideo',
                    options=dict(video_size=f'{width}x{height}', pixel_format='bgr24'),
                )
            elif self.pipe == 'mjpeg':
                more = dict(format='mjpeg')
            return av.open(sys.stdin.buffer, **more)
        if self.source.isdigit() or self.source.startswith('/dev/'):
            device = f'/dev/video{self.source}' if self.source.isdigit() else self.source
            return av.open(device, format='v4l2', timeout=self.timeout)
        if self.source.startswith('rtsp'):
            # Over UDP, frames come damaged where the network is busy.
            more = dict(options=dict(rtsp_transport='tcp'))
        return av.open(self.source, timeout=self.timeout, **more)

    def _decoded(self, container: av.container.InputContainer) -> Iterator[np.ndarray]:
        if not container.streams.video:
            raise SourceError(f'{shown(self.source)}: holds no video')
        stream = container.streams.video[0]
        # Threads that take whole frames would hold back as many frames as there are of them.
        stream.thread_type = 'SLICE'
        for packet in container.demux(stream):
            if self._stop.is_set():
                return
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self.damaged += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.damaged += 1
                    continue
                turns = round(frame.rotation / 90) % 4
                image = frame.to_ndarray(format='bgr24')
                yield np.ascontiguousarray(np.rot90(image, turns)) if turns else image
