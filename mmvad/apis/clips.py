"""A short video of each event of a stream, with some seconds before and after."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from mmvad.visualization import write_video
from mmvad.visualization.video import video_encoder

# Frames that wait to be encoded, and those by whose times a clip's rate is taken.
_WAITING, _MEASURED = 256, 128
# Seconds of a clip at most, and to wait for the last one.
_LONGEST = 120.0
_PATIENCE = 30.0

# Seconds, and the picture as a JPEG.
Frame = tuple[float, bytes]


class ClipWriter:
    """Keeps the last seconds of a stream, and writes those of events, in a thread of its own.

    What is kept is compressed, frame by frame, and bounded by its seconds: a clip is encoded while
    its event lasts. Clips are what :func:`~mmvad.visualization.write_video` writes, which browsers
    play.

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
        self._past: deque[Frame] = deque()
        # The clip that is written: its name, and until when.
        self._name: str | None = None
        self._until, self._shape, self._lost_before = 0.0, (0, 0, 0), 0
        # Frames of a clip, the name of one that is complete, or the end.
        self._jobs: queue.Queue[tuple[str, deque[Frame]] | str | None] = queue.Queue()
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
            self._put(self._name, deque([frame]))
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
        if self._past:
            self._put(name, self._past.copy())
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
        if lost := self.lost - self._lost_before:
            self.tell(f'clip {self._name} lacks {lost} frames: encoding is too slow')
        self._jobs.put(self._name)
        self._name, self._lost_before = None, self.lost

    def _put(self, name: str, frames: deque[Frame]) -> None:
        if self._jobs.qsize() < _WAITING:
            self._jobs.put((name, frames))
        else:
            self.lost += len(frames)

    def _work(self) -> None:
        failed = None
        while (job := self._jobs.get()) is not None:
            # Of one that cannot be written, more may come.
            if isinstance(job, str) or job[0] == failed:
                continue
            name, frames = job
            try:
                self._write(self.folder / f'{name}.mp4', self._frames(frames))
            except (OSError, ValueError) as error:
                self.tell(f'clip {name} is not written: {error}')
                failed = name

    def _frames(self, frames: deque[Frame]) -> Iterator[Frame]:
        """Those of the clip that begins with these, as they come; none is kept."""
        while True:
            while frames:
                yield frames.popleft()
            if not isinstance(job := self._jobs.get(), tuple):
                return
            frames = job[1]

    @staticmethod
    def _write(path: Path, frames: Iterator[Frame]) -> None:
        """Frames of a stream come unevenly; a video has the rate that its first ones have on
        average."""
        head = list(islice(frames, _MEASURED))
        (first, _), (last, _) = head[0], head[-1]
        rate = (len(head) - 1) / (last - first) if last > first else 1.0
        images = (
            cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR)
            for _, code in chain(head, frames)
        )
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
