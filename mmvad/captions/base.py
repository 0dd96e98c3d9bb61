"""What describes the objects of a frame in sentences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: The sentences of one tube, in their fixed order (paper, section 3.2): branch 1 learns the first,
#: branch 2 the other three.
SENTENCES = ('action', 'appearance', 'background', 'object')


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


class BaseCaptioner(ABC):
    """Describe every object of a frame with the four sentences of section 3.2 of the paper."""

    def fit(self, samples: Iterable[FrameObjects]) -> None:  # noqa: B027 (most have nothing to fit)
        """Learn from the training split whatever :meth:`caption` needs."""

    def state(self) -> dict[str, Any]:
        """What :meth:`fit` learnt, as values JSON can hold."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take over what :meth:`state` returned."""

    @abstractmethod
    def caption(self, sample: FrameObjects) -> list[dict[str, str]]:
        """One ``{'action', 'appearance', 'background', 'object'}`` dict of sentences per object."""
