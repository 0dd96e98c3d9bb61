"""Frames of one video file, looked up by number.

Leave ``av.logging.set_level`` alone in a process that reads videos: any level but None sends what
FFmpeg says through Python, where its decoding threads then wait for the interpreter, and whoever
holds that for them. ``av.logging.restore_default_callback()`` has FFmpeg print it instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from cachetools import LRUCache

# Reading on to a frame that is so near is cheaper than a jump to a key frame on the way.
_NEAR = 8
# Frames that must come as the packets tell for these to be believed.
_BELIEVED = 12
# Bytes of an MPEG-4 packet that may say just that the frame before is shown once more.
_REPEAT = 19
# Which frames a file has, by how the file looks: 8 bytes a frame.
_INDEXES: LRUCache = LRUCache(maxsize=1000)
# In a loader's worker, decoders of the parent: their threads stayed behind there, and whoever frees
# them waits for these for ever.
_OF_PARENT: list[dict] = []


class _Index(NamedTuple):
    """Which frames a file has: ascending presentation times, numbers of those that are key frames,
    whether frames are found by their times and can be jumped to, how many do not decode, and which
    may be the frame before once more."""

    times: np.ndarray
    keys: np.ndarray
    by_time: bool = False
    can_jump: bool = False
    lacking: int = 0
    repeats: frozenset[int] = frozenset()


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
        lacking: Number of frames that do not decode and whose place is not known, in a file without
            times to go by; they are not among its frames.
        can_jump: Whether single frames can be read without decoding all before them.
        damaged: Numbers of the frames read so far that the file does not hold whole, as far as
            FFmpeg tells: only a part decodes, or none (the frame before stands in; at the start,
            the one after), they lack the key frame they build on, or they come behind such a frame
            and before the next key frame. Altered bytes that still decode give none of these (VP8,
            VP9), and frames shown just before a damaged one may build on it too.

    Raises:
        ValueError: If the file cannot be opened, or no frame decodes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.damaged: set[int] = set()
        self._container: av.container.InputContainer | None = None
        self._asked = -1
        self._by_time = self.can_jump = False
        self._open()
        self.codec: str = self._stream.codec_context.name
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        self.stated: int = self._stream.frames
        stat = self.path.stat()
        # Videos are opened many times over a run: when they are listed, and by every stage.
        look = (os.path.abspath(self.path), stat.st_size, stat.st_mtime_ns)
        if look not in _INDEXES:
            _INDEXES[look] = self._index()
        index = _INDEXES[look]
        self._times, self._keys, self._repeats = index.times, index.keys, index.repeats
        self._by_time, self.can_jump, self.lacking = index.by_time, index.can_jump, index.lacking
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
        #: Whether a frame was damaged since the last key frame, and how many errors there were.
        self._hurt, self._told = False, len(self._errors)

    def _decode(self, number: int) -> np.ndarray:
        key = int(np.searchsorted(self._keys, number, 'right')) - 1
        at = -1 if self._behind is None else self._behind[0]
        near = not self.can_jump or key < 0 or self._keys[key] <= at + _NEAR
        if 0 <= at < number and near:
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
                self.can_jump = False
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
        if not self.can_jump or key <= 0:
            self._open()
            return
        self._frames.close()
        try:
            self._container.seek(int(self._times[self._keys[key]]), stream=self._stream)
        except av.error.FFmpegError:
            self._open()
        else:
            self._read_from_here()
            # Some containers jump to between key frames, and some count times anew from there.
            self._beyond = next((found for found in self._frames if self._is_key(*found)), None)
            if self._beyond and self._beyond[0] not in self._keys:
                self.can_jump = False
                self._open()

    def _is_key(self, number: int, frame: av.VideoFrame) -> bool:
        # To its decoder, a point from where H.264 heals (intra refresh) is no key frame.
        return bool(frame.key_frame) or (self.codec == 'h264' and number in self._keys)

    def _read_until(self, number: int) -> tuple[av.VideoFrame | None, bool]:
        """Read on to a frame; what stands in for it where it does not come, and if it is whole."""
        while found := self._beyond or next(self._frames, None):
            self._beyond = None
            if found[0] > number:
                self._beyond = found
                break
            if found[0] < 0:
                continue
            self._look_for_damage(*found)
            self._behind = found
            if found[0] == number:
                return found[1], not self._hurt
        near = self._behind or self._beyond
        repeats = number in self._repeats and self._behind is not None and not self._hurt
        return (near[1] if near else None), repeats

    def _look_for_damage(self, number: int, frame: av.VideoFrame) -> None:
        """Follow from frame to frame whether one is damaged that the next ones build on."""
        before = -1 if self._behind is None else self._behind[0]
        # Without times, what does not decode leaves no gap in the numbers.
        failed = not self._by_time and len(self._errors) > self._told
        self._told = len(self._errors)
        lost = failed or not self._repeats.issuperset(range(before + 1, number))
        self._hurt = (not self._is_key(number, frame) and (self._hurt or lost)) or frame.is_corrupt

    # ---------------------------------------------------------------- which frames there are

    def _index(self) -> _Index:
        stamps = [
            (packet.pts, packet.is_keyframe, self.codec == 'mpeg4' and packet.size <= _REPEAT)
            for packet in _packets(self._container, self._stream)
            if packet.size and not packet.is_discard and not _is_hidden(packet, self.codec)
        ]
        times = {pts for pts, _, _ in stamps} - {None}
        self._times = np.array(sorted(times), np.int64)
        two_packets = False
        if len(times) == len(stamps):
            keys = np.array(sorted(pts for pts, is_key, _ in stamps if is_key), np.int64)
            found = self._first_times()
            start = int(np.searchsorted(self._times, found[0] or 0)) if found else 0
            told = self._times[start:].tolist()
            two_packets = len(found) == _BELIEVED and found == told[: 2 * _BELIEVED : 2]
            # Where something is damaged, frames are missing, with an error or without (HEVC, AV1).
            in_order = None not in found and found == sorted(set(found)) and set(found) <= set(told)
            if len(keys) and found and in_order and not two_packets:
                self._keys = np.searchsorted(self._times, keys)
                self._by_time = self.can_jump = True
                can_jump = self._lands(len(keys) // 2)
                repeats = np.searchsorted(self._times, [pts for pts, _, small in stamps if small])
                return _Index(
                    self._times, self._keys, True, can_jump, repeats=frozenset(repeats.tolist())
                )
        # Some streams give packets no times or wrong ones, some give a frame two packets: only
        # decoding tells, and they are read from their start, without jumps.
        self._by_time = False
        self._open()
        count = sum(1 for _ in self._frames)
        if not count:
            raise ValueError(
                f'{self.path}: no frame decodes (codec {self.codec}); the file is damaged, or cut '
                'so that no key frame is left'
            )
        # The second of a frame's packets may have no time of its own.
        expected = (len(times) or len(stamps)) // (2 if two_packets else 1)
        lacking = max(expected - count, len(self._errors))
        return _Index(np.arange(count), np.zeros(1, int), lacking=lacking)

    def _first_times(self) -> list[int | None]:
        """Times of the first frames that decode."""
        self._by_time = False
        self._open()
        return [frame.pts for _, frame in islice(self._frames, _BELIEVED)]

    def _lands(self, key: int) -> bool:
        """Whether a jump to a key frame, or else to the one before it, does not lead beyond."""
        for start in (key, key - 1):
            self._jump(start)
            if not self.can_jump or start <= 0:
                return self.can_jump
            if self._beyond and self._beyond[0] <= self._keys[key]:
                return True
        return False


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        # A file that was cut ends here.
        return


def _is_hidden(packet: av.Packet, codec: str) -> bool:
    """Whether a packet is of a frame that is built upon and never shown (VP8; RFC 6386, 9.1)."""
    return codec == 'vp8' and not bytes(packet)[0] & 0x10


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, errors: list[int]
) -> Iterator[av.VideoFrame]:
    """What decodes from here on; 1 goes to ``errors`` for each packet that does not."""
    for packet in _packets(container, stream):
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError:
            # Its frame will be missed by its number.
            errors.append(1)
            continue
        yield from frames


def _numbered(
    frames: Iterator[av.VideoFrame], times: np.ndarray | None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames with their numbers: by their times (-1 where it is none of these) or, without, as they
    come."""
    for count, frame in enumerate(frames):
        if times is None:
            yield count, frame
        else:
            number = len(times) if frame.pts is None else int(np.searchsorted(times, frame.pts))
            yield (number if number < len(times) and times[number] == frame.pts else -1), frame
