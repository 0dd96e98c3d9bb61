"""The objects of one video, and the boxes their tubes are cropped with.

Shape letters: N objects in the video, H x W the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from reprlib import repr as brief

import numpy as np

from .array_files import expect_numbers, open_npz
from .files import atomic_path

# Array of a file to its number of dimensions, and the kinds of numbers in it.
_STORED = dict(
    boxes=(2, 'f'), objects=(2, 'f'), frames=(1, 'iu'), num_frames=(0, 'iu'), frame_shape=(1, 'iu')
)


@dataclass(frozen=True)
class ObjectTubes:
    """The object tubes of one video; a tube belongs to the frame it scores.

    Args:
        boxes: (N, 4) float32 xyxy, pixels: the crop of each tube (square where it fits the frame,
            enlarged, inside the frame).
        objects: (N, 4) float32 xyxy, pixels: the merged detection the crop was made from.
        frames: (N,) int32, ascending: the 0-based frame a tube scores.
        num_frames: Number of frames in the video.
        frame_shape: Height and width of the frames, pixels.

    Raises:
        ValueError: If a shape, an order or a range is off; the message names the field.
    """

    boxes: np.ndarray
    objects: np.ndarray
    frames: np.ndarray
    num_frames: int
    frame_shape: tuple[int, int]

    def __post_init__(self) -> None:
        if self.frames.ndim != 1:
            raise ValueError(f'ObjectTubes.frames: expected (N,), got shape {self.frames.shape}')
        n = len(self.frames)
        for name in ('boxes', 'objects'):
            array = getattr(self, name)
            if array.shape != (n, 4):
                raise ValueError(f'ObjectTubes.{name}: expected shape ({n}, 4), got {array.shape}')
            if not np.isfinite(array).all():
                raise ValueError(f'ObjectTubes.{name}: holds values that are not finite')
            if n and (array[:, 2:] <= array[:, :2]).any():
                raise ValueError(f'ObjectTubes.{name}: expected x1 < x2 and y1 < y2 in every box')
        if n and (np.diff(self.frames) < 0).any():
            raise ValueError('ObjectTubes.frames: expected ascending frame numbers')
        height, width = self.frame_shape
        if n and (self.boxes < 0).any() | (self.boxes > [width, height] * 2).any():
            raise ValueError(
                f'ObjectTubes.boxes: expected boxes inside the frame, {width} x {height} pixels'
            )
        if n and not 0 <= self.frames[0] <= self.frames[-1] < self.num_frames:
            raise ValueError(
                f'ObjectTubes.frames: expected frames in [0, {self.num_frames}), '
                f'got {self.frames[0]} to {self.frames[-1]}'
            )

    def __len__(self) -> int:
        return len(self.frames)

    def at(self, frame: int) -> slice:
        """The tubes of one frame, as a slice into the arrays."""
        start, stop = np.searchsorted(self.frames, [frame, frame + 1])
        return slice(int(start), int(stop))

    @classmethod
    def from_frames(
        cls,
        per_frame: dict[int, tuple[np.ndarray, np.ndarray]],
        num_frames: int,
        frame_shape: tuple[int, int],
    ) -> ObjectTubes:
        """Join ``{frame: (boxes, objects)}`` into one structure."""
        order = sorted(per_frame)
        empty = np.zeros((0, 4), np.float32)
        return cls(
            boxes=np.concatenate([empty, *(per_frame[f][0] for f in order)]).astype(np.float32),
            objects=np.concatenate([empty, *(per_frame[f][1] for f in order)]).astype(np.float32),
            frames=np.repeat(order, [len(per_frame[f][0]) for f in order]).astype(np.int32),
            num_frames=num_frames,
            frame_shape=frame_shape,
        )

    def save(self, path: str | Path) -> None:
        """Write a ``.npz`` file, whole or not at all."""
        with atomic_path(path) as tmp:
            np.savez(
                tmp,
                boxes=self.boxes,
                objects=self.objects,
                frames=self.frames,
                num_frames=np.int64(self.num_frames),
                frame_shape=np.asarray(self.frame_shape, np.int64),
            )

    @classmethod
    def load(cls, path: str | Path) -> ObjectTubes:
        """Read what :meth:`save` wrote; errors name the file and the field."""
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path}: no such proposals file')
        with open_npz(path) as archive:
            arrays = {
                name: archive.read(name, partial(_check, archive.where(name), ndim, kinds))
                for name, (ndim, kinds) in _STORED.items()
            }
        height, width = _whole(f'{path}: frame_shape', arrays['frame_shape'], 2)
        (num_frames,) = _whole(f'{path}: num_frames', arrays['num_frames'], 1)
        # Signed and wide, in which differences do not wrap.
        frames = arrays['frames'].astype(np.int64)
        try:
            cls(arrays['boxes'], arrays['objects'], frames, num_frames, (height, width))
        except ValueError as error:
            raise ValueError(f'{path}: not a proposals file: {error}') from error
        return cls(
            arrays['boxes'].astype(np.float32),
            arrays['objects'].astype(np.float32),
            frames.astype(np.int32),
            num_frames,
            (height, width),
        )


def _check(where: str, ndim: int, kinds: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    expect_numbers(where, dtype, kinds)
    if len(shape) != ndim:
        raise ValueError(f'{where}: expected {ndim} dimensions, got shape {brief(shape)}')


def _whole(where: str, values: np.ndarray, count: int) -> list[int]:
    """So many whole numbers above 0 that a frame or a video can have."""
    numbers = [int(value) for value in values.ravel()[: count + 1]]
    if len(numbers) != count or not all(0 < number < 2**31 for number in numbers):
        raise ValueError(f'{where}: expected {count} numbers above 0, got {brief(numbers)}')
    return numbers
