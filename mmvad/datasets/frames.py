"""Frames of one video, looked up by number, from a folder of images or a video file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff')
VIDEO_SUFFIXES = ('.avi', '.mp4', '.mkv', '.mov', '.mpg', '.mpeg', '.webm')


def by_number(name: str) -> list[tuple[int, str]]:
    """Sorting key under which the numbers in names are compared as numbers."""
    return [(int(part), '') if part.isdigit() else (-1, part) for part in re.split(r'(\d+)', name)]


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder in the order of the numbers in their names; hidden files are no
    frames (macOS leaves ``._*`` beside the real ones)."""

    def number(path: Path) -> tuple[int, str]:
        digits = re.findall(r'\d+', path.stem)
        return (int(digits[-1]) if digits else -1, path.name)

    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((p for p in files if not p.name.startswith('.')), key=number)


def read_image(file: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decode an image file.

    Args:
        file: Which.
        flags: As ``cv2.imread`` takes them.

    Raises:
        ValueError: If it does not decode, or is a JPEG file that was cut short.
    """
    if file.suffix.lower() not in ('.jpg', '.jpeg'):
        # OpenCV refuses files of the other formats that are cut short, and reads PNG faster so.
        image = cv2.imread(str(file), flags)
    else:
        data = file.read_bytes()
        # Of a JPEG file, cv2.imread fills up with grey what is cut off, and says nothing. A whole
        # file has an end marker behind its last scan; a preview in the header has its own before.
        # The bytes of other formats, under a wrong suffix, mean nothing of that kind.
        is_jpeg = data.startswith(b'\xff\xd8')
        if is_jpeg and data.rfind(b'\xff\xd9') <= data.rfind(b'\xff\xda'):
            raise ValueError(f'{file}: is cut short')
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise ValueError(f'{file}: does not decode as an image')
    return image


class FrameSource(Sequence[np.ndarray]):
    """Frames of one video as (H, W, 3) uint8 BGR arrays; all must have the first one's size.

    Args:
        path: Folder of images, or video file.

    Raises:
        ValueError: From ``source[i]``, if frame i does not decode, is cut short, or has another
            size.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._files: list[Path] | None = None
        self._video: mmcv.VideoReader | None = None
        if self.path.is_dir():
            self._files = list_images(self.path)
            self._length = len(self._files)
        elif self.path.is_file():
            self._open()
            self._length = self._video.frame_cnt
        else:
            raise FileNotFoundError(f'{self.path}: no such folder of frames or video file')
        if self._length <= 0:
            raise ValueError(f'{self.path}: holds no frames')
        self._shape: tuple[int, ...] | None = None

    def _open(self) -> None:
        # The reader's own cache is off: callers know better what they will ask for again.
        self._video = mmcv.VideoReader(str(self.path), cache_capacity=1)
        if not self._video.opened:
            raise ValueError(f'{self.path}: OpenCV cannot open this video')
        self._process = os.getpid()

    def __reduce__(self) -> tuple:
        # A decoder cannot be copied; another process opens the file anew.
        return FrameSource, (self.path,)

    def __len__(self) -> int:
        return self._length

    @property
    def fps(self) -> float:
        """Frames per second of a video file; folders of images do not say, 25 is assumed."""
        return (self._video.fps if self._video is not None else 0) or 25.0

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        if self._shape is None:
            self[0]
        return self._shape[:2]

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < self._length:
            raise IndexError(f'{self.path}: frame {index} of {self._length}')
        if self._files is not None:
            name = self._files[index]
            frame = read_image(name)
        else:
            name = f'{self.path}: frame {index} of {self._length}'
            if os.getpid() != self._process:
                # A loader's worker: the decoder's threads stayed behind in the parent, and asking
                # it, or closing it, would wait for them for ever.
                self._of_parent = self._video
                self._open()
            frame = self._video.get_frame(index)
            if frame is None:
                raise ValueError(
                    f'{name}: does not decode; the file is damaged, or states more frames than '
                    'it has'
                )
        if self._shape is None:
            self._shape = frame.shape
        elif frame.shape != self._shape:
            raise ValueError(
                f'{name}: size (H, W) {frame.shape[:2]} differs from {self._shape[:2]}, '
                f'that of the frames before in this video'
            )
        return frame


def sweep(
    source: Sequence[np.ndarray], wanted: Sequence[int], depth: int, stride: int = 1
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Go once through a video; each frame is decoded at most once, in order.

    Args:
        source: The frames.
        wanted: Ascending frame numbers.
        depth: Frames to hand out with each wanted one.
        stride: Steps between them, in frames.

    Yields:
        A wanted frame number f and the frames f-(depth-1)*stride ... f, oldest first; before the
        start of the video its first frame stands in.
    """
    buffer: dict[int, np.ndarray] = {}
    for frame in wanted:
        need = [max(0, frame - step * stride) for step in reversed(range(depth))]
        # What a stride passes over now is a step of a later frame.
        held = range(need[0], frame + 1)
        buffer = {i: buffer[i] if i in buffer else source[i] for i in held}
        yield frame, [buffer[i] for i in need]
