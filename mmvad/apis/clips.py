"""A short video of each event of a stream, with some seconds before and after."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmvad.visualization import write_video
from mmvad.visualization.video import video_encoder

# Frames that wait to be encoded, seconds of a clip at most, and to wait for the last one.
_WAITING = 256
_LONGEST = 120.0
_PATIENCE = 30.0


class ClipWriter:
    """Keeps the last seconds of a stream, and writes those of events, in a thread of its own.

    What is kept is compressed, frame by frame, and bounded by its seconds. Clips are what
    :func:`~mmvad.visualization.write_video` writes, which browsers play.

    Args:
        folder: Where clips go, as ``<name>.mp4`` (or ``.webm``).
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
        self.suffix = video_encoder().suffix
        self.folder, self.before, self.after, self.tell = Path(folder), before, after, tell
        #: Frames that were not written, since encoding was too slow.
        self.lost = 0
        self._past: deque[tuple[float, bytes]] = deque()
        # The clip that is written: its name, and until when.
        self._name: str | None = None
        self._until, self._shape = 0.0, (0, 0, 0)
        self._jobs: queue.Queue[tuple[str, float, bytes] | str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name='clips', daemon=True)
        self._thread.start()

    def look(self, image: np.ndarray, time: float) -> None:
        """The next frame, (H, W, 3) uint8 BGR, and its seconds."""
        frame = (time, _jpeg(image))
        if self._name is not None and (time > self._until or image.shape != self._shape):
            self._end()
        if image.shape != self._shape:
            self._past.clear()
        self._shape = image.shape
        if self._name is not None:
            self._put(self._name, *frame)
        self._past.append(frame)
        while self._past and time - self._past[0][0] > self.before:
            self._past.popleft()

    def begin(self, name: str) -> Path:
        """An event opened with the last frame: its clip begins some seconds before, and ends where
        the frames take another size.

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
        return self.folder / f'{name}{self.suffix}'

    def over(self, end: float) -> None:
        """The event ended at ``end`` seconds: its clip goes on a little."""
        self._until = min(self._until, end + self.after)

    def close(self) -> None:
        """Write what is begun, and wait for it."""
        if self._name is not None:
            self._end()
        self._jobs.put(None)
        self._thread.join(timeout=_PATIENCE)
        if self._thread.is_alive():
            self.tell(f'clips: the last is not written after {_PATIENCE:g} s')

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
                self._write(self.folder / f'{job}.mp4', held)
            except (OSError, ValueError) as error:
                self.tell(f'clip {job} is not written: {error}')
            held = []

    @staticmethod
    def _write(path: Path, frames: list[tuple[float, bytes]]) -> None:
        """Frames of a stream come unevenly; a video has their rate on average."""
        (first, _), (last, _) = frames[0], frames[-1]
        rate = (len(frames) - 1) / (last - first) if last > first else 1.0
        images = (cv2.imdecode(np.frombuffer(c, np.uint8), cv2.IMREAD_COLOR) for _, c in frames)
        write_video(images, path, rate)


def frames_about(
    frames: Sequence[np.ndarray], rate: float, start: int, end: int, seconds: float
) -> Iterator[np.ndarray]:
    """The frames of an event of a recording.

    Args:
        frames: By number.
        rate: Frames a second.
        start, end: Numbers of the event's first and last frame.
        seconds: Before and after it.
    """
    around = round(seconds * rate)
    first = max(0, start - around)
    last = min(len(frames) - 1, end + around, first + round(_LONGEST * rate))
    return (frames[number] for number in range(first, last + 1))


def _jpeg(image: np.ndarray) -> bytes:
    ok, code = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not ok:
        raise ValueError('a frame cannot be compressed')
    return code.tobytes()
