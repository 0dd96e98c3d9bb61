"""A short video of each event of a stream, with some seconds before and after."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from mmvad.structures import atomic_path

#: Encoders of H.264, the best first; which there are depends on how FFmpeg was built.
ENCODERS = ('libx264', 'libopenh264', 'h264_nvenc', 'h264_vaapi')
# Times are written in so many parts of a second.
_TICKS = 1000
# Frames that wait to be encoded, and seconds of a clip at most.
_WAITING = 256
_LONGEST = 120.0


def find_encoder() -> str:
    """An encoder of H.264, which every browser plays.

    Raises:
        ValueError: If FFmpeg has none.
    """
    for name in ENCODERS:
        if name in av.codecs_available and _works(name):
            return name
    raise ValueError(
        f'clips: FFmpeg, as PyAV was built with it, has no encoder of H.264 '
        f'({", ".join(ENCODERS)}); the wheels of PyAV have one'
    )


def _works(name: str) -> bool:
    """Whether an encoder opens here: some need a device."""
    try:
        codec = av.CodecContext.create(name, 'w')
        codec.width, codec.height, codec.pix_fmt = 64, 64, 'yuv420p'
        codec.time_base = Fraction(1, 25)
        codec.open()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


class ClipWriter:
    """Keeps the last seconds of a stream, and writes those of events, in a thread of its own.

    What is kept is compressed, frame by frame, and bounded by its seconds.

    Args:
        folder: Where clips go, as ``<name>.mp4``.
        before: Seconds before an event.
        after: Seconds after it.
        tell: Takes what a person should know.

    Raises:
        ValueError: If there is no encoder, or seconds are out of range.
    """

    def __init__(
        self,
        folder: Path,
        before: float = 3.0,
        after: float = 3.0,
        tell: Callable[[str], None] = print,
    ) -> None:
        for name, value in (('before', before), ('after', after)):
            if not 0 <= value <= 60:
                raise ValueError(f'clips.{name}: expected 0 to 60 seconds, got {value!r}')
        self.encoder = find_encoder()
        self.folder, self.before, self.after, self.tell = Path(folder), before, after, tell
        #: Frames that were not written, since encoding was too slow.
        self.lost = 0
        self._past: deque[tuple[float, bytes]] = deque()
        # The clip that is written: its name, and until when.
        self._name: str | None = None
        self._until = 0.0
        self._jobs: queue.Queue[tuple[str, float, bytes] | str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name='clips', daemon=True)
        self._thread.start()

    def look(self, image: np.ndarray, time: float) -> None:
        """The next frame, (H, W, 3) uint8 BGR, and its seconds."""
        frame = (time, _jpeg(image))
        if self._name is not None and time > self._until:
            self._end()
        if self._name is not None:
            self._put(self._name, *frame)
        self._past.append(frame)
        while self._past and time - self._past[0][0] > self.before:
            self._past.popleft()

    def begin(self, name: str) -> Path:
        """An event opened with the last frame: its clip begins some seconds before.

        Returns:
            Where it will be.
        """
        if self._name is not None:
            self._end()
        self._name, self._until = name, float('inf')
        for frame in self._past:
            self._put(name, *frame)
        if self._past:
            self._until = self._past[-1][0] + _LONGEST
        return self.folder / f'{name}.mp4'

    def over(self, end: float) -> None:
        """The event ended at ``end`` seconds: its clip goes on a little."""
        self._until = min(self._until, end + self.after)

    def close(self) -> None:
        """Write what is begun, and wait for it."""
        if self._name is not None:
            self._end()
        self._jobs.put(None)
        self._thread.join(timeout=30)

    def _end(self) -> None:
        self._jobs.put(self._name)
        self._name = None

    def _put(self, name: str, time: float, code: bytes) -> None:
        if self._jobs.qsize() < _WAITING:
            self._jobs.put((name, time, code))
        else:
            self.lost += 1

    def _work(self) -> None:
        held: list[tuple[float, bytes]] = []
        while (job := self._jobs.get()) is not None:
            if isinstance(job, tuple):
                held.append(job[1:])
                continue
            try:
                write_clip(self.folder / f'{job}.mp4', held, self.encoder)
            except (OSError, ValueError, av.error.FFmpegError) as error:
                self.tell(f'clip {job} is not written: {error}')
            held = []


def clip_of(
    frames: Sequence[np.ndarray], rate: float, start: int, end: int, seconds: float
) -> list[tuple[float, bytes]]:
    """Seconds and JPEG of some frames of a recording.

    Args:
        frames: By number.
        rate: Frames a second.
        start, end: Numbers of the event's first and last frame.
        seconds: Before and after it.
    """
    around = round(seconds * rate)
    first = max(0, start - around)
    last = min(len(frames) - 1, end + around, first + round(_LONGEST * rate))
    return [(number / rate, _jpeg(frames[number])) for number in range(first, last + 1)]


def _jpeg(image: np.ndarray) -> bytes:
    ok, code = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise ValueError('a frame cannot be compressed')
    return code.tobytes()


def write_clip(path: Path, frames: list[tuple[float, bytes]], encoder: str) -> None:
    """Write an MP4 file, whole or not at all.

    Args:
        path: Where to.
        frames: Seconds and JPEG of each, ascending.
        encoder: Of H.264.
    """
    if not frames:
        raise ValueError('it has no frames')
    start = frames[0][0]
    with (
        atomic_path(path) as tmp,
        av.open(str(tmp), 'w', options=dict(movflags='faststart')) as out,
    ):
        stream, last = None, -1
        for time, code in frames:
            image = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR)
            if stream is None:
                stream = out.add_stream(encoder, rate=25)
                # The colours of two pixels are one.
                stream.height, stream.width = (side - side % 2 for side in image.shape[:2])
                stream.pix_fmt = 'yuv420p'
                stream.codec_context.time_base = Fraction(1, _TICKS)
                if encoder == 'libx264':
                    stream.options = dict(preset='veryfast', crf='23')
            if image.shape[0] < stream.height or image.shape[1] < stream.width:
                break  # the stream has begun anew, in another size
            image = np.ascontiguousarray(image[: stream.height, : stream.width])
            frame = av.VideoFrame.from_ndarray(image, format='bgr24')
            frame.time_base = Fraction(1, _TICKS)
            last = frame.pts = max(last + 1, round((time - start) * _TICKS))
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
