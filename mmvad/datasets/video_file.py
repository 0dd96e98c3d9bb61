"""Frames of one video file, looked up by number."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from cachetools import LRUCache

# Reading on to a frame that is so near is cheaper than a jump to a key frame on the way.
_NEAR = 8
# Frames that must come as the packets tell for these to be believed.
_BELIEVED = 12
# Which frames a file has, by how the file looks: 8 bytes a frame.
_INDEXES: LRUCache = LRUCache(maxsize=1000)
# In a loader's worker, decoders of the parent: their threads stayed behind there, and whoever frees
# them waits for these for ever.
_OF_PARENT: list[dict] = []


class VideoFile:
    """Frames of a video file, decoded by FFmpeg (PyAV).

    Frame i is the i-th in the order of presentation times, so variable frame rates, and headers
    that state another number of frames, change nothing. A jump decodes from the key frame before
    the frame that is asked for; reading on in order decodes every frame once. Interlaced video
    gives whole frames, both fields woven; a display rotation is applied.

    Args:
        path: The file.

    Attributes:
        codec: FFmpeg's name of it.
        fps: Frames per second, on average; 0 where the file does not say.
        stated: Number of frames that the header states; 0 where it does not.
        leading: Number of frames before the first key frame, which nothing can decode: so begins a
            recording that was cut without being encoded anew (``ffmpeg -c copy``).
        damaged: Numbers of the frames read so far that the file does not hold whole: only a part
            decodes, or none (the frame before stands in; at the start, the one after), or they
            lack the key frame they build on.

    Raises:
        ValueError: If the file cannot be opened, or no frame decodes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.damaged: set[int] = set()
        self._container: av.container.InputContainer | None = None
        self._asked = -1
        self._by_time = False
        self._open()
        self.codec: str = self._stream.codec_context.name
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        self.stated: int = self._stream.frames
        stat = self.path.stat()
        # Videos are opened many times over a run: when they are listed, and by every stage.
        look = (os.path.abspath(self.path), stat.st_size, stat.st_mtime_ns)
        if look not in _INDEXES:
            _INDEXES[look] = self._index()
        self._times, self._keys, self._by_time = _INDEXES[look]
        self.leading = int(self._keys[0])
        self._open()

    def __reduce__(self) -> tuple:
        # A decoder cannot be copied; another process opens the file anew.
        return VideoFile, (self.path,)

    def __del__(self) -> None:
        if getattr(self, '_container', None) is None:
            return
        if os.getpid() == self._process:
            self._close()
        else:
            _OF_PARENT.append(self.__dict__)

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, number: int) -> np.ndarray:
        """Frame ``number`` as (H, W, 3) uint8 BGR."""
        if not 0 <= number < len(self):
            raise IndexError(f'{self.path}: frame {number} of {len(self)}')
        if os.getpid() != self._process:
            _OF_PARENT.append(dict(self.__dict__))
            self._container = None
            self._open()
        if number != self._asked:
            self._image = self._decode(number)
            self._asked = number
        return self._image

    # ---------------------------------------------------------------- decoding

    def _open(self) -> None:
        """Open the file, again or for the first time; the next frame is the first."""
        if self._container is not None:
            self._close()
        self._process = os.getpid()
        try:
            container = av.open(str(self.path))
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise ValueError('FFmpeg knows no decoder for it')
            stream.thread_type = 'AUTO'
        except FileNotFoundError:
            raise FileNotFoundError(f'{self.path}: no such video file') from None
        except (av.error.FFmpegError, IndexError, AttributeError, ValueError) as error:
            # Without a video stream there is no first one; without a decoder it has no threads.
            why = getattr(error, 'strerror', None) or error
            raise ValueError(f'{self.path}: cannot be opened as a video: {why}') from error
        self._container, self._stream = container, stream
        self._errors: list[int] = []
        self._reformatter = VideoReformatter()
        self._read_from_here()

    def _close(self) -> None:
        # A decoder and its container hold each other: left to the garbage collector, a worker that
        # was started meanwhile might free them.
        self._frames.close()
        self._behind = self._beyond = None
        self._container.close()
        self._stream = self._container = None

    def _read_from_here(self) -> None:
        times = self._times if self._by_time else None
        self._frames = _numbered(_decoded(self._container, self._stream, self._errors), times)
        #: The last frame that was read, and one read beyond the frame asked for, with its number.
        self._behind: tuple[int, av.VideoFrame] | None = None
        self._beyond: tuple[int, av.VideoFrame] | None = None

    def _decode(self, number: int) -> np.ndarray:
        key = int(np.searchsorted(self._keys, number, 'right')) - 1
        at = -1 if self._behind is None else self._behind[0]
        if 0 <= at < number and (key < 0 or self._keys[key] <= at + _NEAR):
            frame, whole = self._read_until(number)
        else:
            # Some streams heal over several frames behind a key frame, so one before it is tried.
            for start in dict.fromkeys((max(key, 0), max(key - 1, 0))):
                self._jump(start)
                frame, whole = self._read_until(number)
                if whole:
                    break
            if self._behind is None and number:
                # Some containers jump beyond the place; read from the start.
                self._open()
                frame, whole = self._read_until(number)
        if frame is None:
            raise ValueError(f'{self.path}: frame {number} of {len(self)}: nothing decodes')
        if not whole or number < self.leading:
            self.damaged.add(number)
        image = self._reformatter.reformat(frame, format='bgr24').to_ndarray()
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    def _jump(self, key: int) -> None:
        """Go to a key frame, by its number among these; the first is the start."""
        if not self._by_time or key <= 0:
            self._open()
            return
        self._frames.close()
        try:
            self._container.seek(int(self._times[self._keys[key]]), stream=self._stream)
        except av.error.FFmpegError:
            self._open()
        else:
            self._read_from_here()

    def _read_until(self, number: int) -> tuple[av.VideoFrame | None, bool]:
        """Read on to a frame; what stands in for it where it does not come, and if it is whole."""
        while found := self._beyond or next(self._frames, None):
            self._beyond = None
            if found[0] > number:
                self._beyond = found
                break
            self._behind = found
            if found[0] == number:
                return found[1], not found[1].is_corrupt
        near = self._behind or self._beyond
        return (near[1] if near else None), False

    # ---------------------------------------------------------------- which frames there are

    def _index(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """Ascending presentation times of all frames, numbers of those that are key frames, and
        whether frames are found by their times."""
        stamps = [
            (packet.pts, packet.is_keyframe)
            for packet in _packets(self._container, self._stream)
            if packet.size and not packet.is_discard
        ]
        times = {pts for pts, _ in stamps}
        self._by_time = None not in times and len(times) == len(stamps)
        if self._by_time:
            self._times = np.array(sorted(times), np.int64)
            keys = np.array(sorted(pts for pts, is_key in stamps if is_key), np.int64)
            if len(keys) and self._as_told():
                return self._times, np.searchsorted(self._times, keys), True
        # Some streams give packets no times, some give a frame two packets, some have packets that
        # are never shown: only decoding tells, and they are read from their start, without jumps.
        self._by_time = False
        self._open()
        count = sum(1 for _ in self._frames)
        if not count:
            raise ValueError(
                f'{self.path}: no frame decodes (codec {self.codec}); the file is damaged, or cut '
                'so that no key frame is left'
            )
        return np.arange(count), np.zeros(1, int), False

    def _as_told(self) -> bool:
        """Whether the first frames that decode are those that the packets tell of."""
        self._by_time = False
        self._open()
        found = [frame.pts for _, frame in islice(self._frames, _BELIEVED)]
        self._by_time = True
        if not found or None in found:
            return False
        start = int(np.searchsorted(self._times, found[0]))
        # Where something is damaged, frames are missing for that reason.
        return bool(self._errors) or found == self._times[start : start + len(found)].tolist()


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        # A file that was cut ends here.
        return


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, errors: list[int]
) -> Iterator[av.VideoFrame]:
    """What decodes from here on; 1 goes to ``errors`` for all that does not, or not whole."""
    for packet in _packets(container, stream):
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError:
            # Its frame will be missed by its number.
            errors.append(1)
            continue
        errors += [1 for frame in frames if frame.is_corrupt]
        yield from frames


def _numbered(
    frames: Iterator[av.VideoFrame], times: np.ndarray | None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames with their numbers: by their times or, without these, as they come."""
    for count, frame in enumerate(frames):
        if times is None:
            yield count, frame
        elif frame.pts is not None:
            number = int(np.searchsorted(times, frame.pts))
            if number < len(times) and times[number] == frame.pts:
                yield number, frame
