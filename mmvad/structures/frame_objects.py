"""The objects of one frame, with the frames before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FrameObjects:
    """The objects of one frame, with the frames their tubes are cropped from.

    Args:
        frames: (H, W, 3) uint8 BGR, oldest first; the last one is the frame of the boxes.
        boxes: (N, 4) xyxy, pixels: the squared and enlarged crop of each tube.
        objects: (N, 4) xyxy, pixels: the merged detection each crop was made from.
        video: Name of the video.
        frame: 0-based number of the last frame.

    Raises:
        ValueError: If there is no frame or the boxes' shapes are off.
    """

    frames: Sequence[np.ndarray]
    boxes: np.ndarray
    objects: np.ndarray
    video: str
    frame: int

    def __post_init__(self) -> None:
        if not len(self.frames):
            raise ValueError(f'FrameObjects.frames: no frames ({self.video}, frame {self.frame})')
        for name in ('boxes', 'objects'):
            shape = np.shape(getattr(self, name))
            if shape != (len(self.boxes), 4):
                raise ValueError(
                    f'FrameObjects.{name}: expected shape ({len(self.boxes)}, 4), got {shape} '
                    f'({self.video}, frame {self.frame})'
                )

    def __len__(self) -> int:
        return len(self.boxes)
