"""Where objects are from, so that they can be shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ObjectOrigins:
    """Where some objects of several videos were found.

    Args:
        videos: Names of the videos.
        owners: (n,) number of the video each object is from.
        frames: (n,) 0-based frame.
        boxes: (n, 4) xyxy, pixels.

    Raises:
        ValueError: If shapes differ, or a number is none of a video, a frame or a box.
    """

    videos: tuple[str, ...]
    owners: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.frames)
        for name, shape in (('owners', (n,)), ('frames', (n,)), ('boxes', (n, 4))):
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f'ObjectOrigins.{name}: expected shape {shape}, got {getattr(self, name).shape}'
                )
        if n and not 0 <= self.owners.min() <= self.owners.max() < len(self.videos):
            raise ValueError(f'ObjectOrigins.owners: expected numbers of {len(self.videos)} videos')
        if n and self.frames.min() < 0:
            raise ValueError('ObjectOrigins.frames: expected frames from 0 up')
        corners = self.boxes[:, :2], self.boxes[:, 2:]
        if not np.isfinite(self.boxes).all() or (corners[0] >= corners[1]).any():
            raise ValueError('ObjectOrigins.boxes: expected finite x1 < x2 and y1 < y2')

    def __len__(self) -> int:
        return len(self.frames)

    def place(self, number: int) -> tuple[str, int, np.ndarray]:
        """Video, frame and box (4,) of one object."""
        return (self.videos[self.owners[number]], int(self.frames[number]), self.boxes[number])

    def near(self, box: np.ndarray, among: np.ndarray, count: int) -> np.ndarray:
        """Positions in ``among``, numbers of objects, of those nearest to a box (4,) in where they
        stand and how tall they are, each in standard deviations; at most ``count``."""
        places = _places(self.boxes[among])
        apart = (places - _places(box[None])) / places.std(axis=0).clip(1e-6)
        return np.square(apart).sum(axis=1).argsort(kind='stable')[:count]


def _places(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) boxes to (n, 3) middle, lower edge and logarithm of the height."""
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    return np.stack([(x1 + x2) / 2, y2, np.log(y2 - y1)], axis=1)
