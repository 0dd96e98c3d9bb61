"""A moment of normal video around one object, and what is needed to alter it.

Shape letters: T steps that are shown, H x W the frame, h x w a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

# A pixel this many grey levels off the background is the object's.
_OFF = 14
# Less than this share of a patch off the background: the object cannot be told from it.
_LEAST = 0.08


@dataclass(frozen=True)
class Moment:
    """One object in normal video.

    Args:
        look: The frame (H, W, 3) uint8 BGR so many frames after the moment; before it for negative
            numbers.
        object: (4,) its box at the moment, xyxy, pixels.
        velocity: (2,) its motion, pixels per frame.
        background: (H, W, 3) uint8, the view without anybody.
        places: (m, 3) where the training objects of the view are: middle and lower edge, pixels,
            and height.
        steps: T, frames that are looked at, the last of them the moment's.
        rng: Draws what is left to chance.
    """

    look: Callable[[int], np.ndarray]
    object: np.ndarray
    velocity: np.ndarray
    background: np.ndarray
    places: np.ndarray
    steps: int
    rng: np.random.Generator

    @property
    def size(self) -> np.ndarray:
        """(2,) width and height of the object."""
        return self.object[2:] - self.object[:2]

    @property
    def foot(self) -> np.ndarray:
        """(2,) the middle of the object's lower edge."""
        return np.array([self.object[[0, 2]].mean(), self.object[3]])

    @property
    def moves(self) -> bool:
        """Whether the object goes at least a hundredth of its height a frame."""
        return bool(np.linalg.norm(self.velocity) >= 0.01 * self.size[1])

    @property
    def offsets(self) -> range:
        """Of the T frames, oldest first."""
        return range(1 - self.steps, 1)

    def with_chance(self, rng: np.random.Generator) -> Moment:
        """The same moment, with other random numbers."""
        return replace(self, rng=rng)

    def frames(self) -> list[np.ndarray]:
        """The T frames as they are, oldest first; copies, to draw into."""
        return [self.look(offset).copy() for offset in self.offsets]

    def figure(self, offset: int, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a box holds in the frame at an offset, as a patch and its mask.

        Returns:
            (h, w, 3) uint8 and (h, w) float32 in [0, 1]: the part unlike the background or, where
            next to nothing is, an ellipse.
        """
        frame = self.look(offset)
        x1, y1, x2, y2 = inside(box, frame.shape)
        patch = frame[y1:y2, x1:x2]
        behind = self.background[y1:y2, x1:x2]
        off = cv2.absdiff(patch, behind).max(axis=2) > _OFF
        ellipse = _ellipse(patch.shape[:2])
        mask = cv2.dilate((off & (ellipse > 0)).astype(np.uint8), np.ones((3, 3), np.uint8))
        if off.mean() < _LEAST:
            return patch, ellipse
        return patch, cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0) * (ellipse > 0)

    def erase(self, frame: np.ndarray, offset: int) -> None:
        """Take the object out of a frame (H, W, 3) of an offset: the background shows."""
        box = grown(self.object + np.tile(self.velocity * offset, 2), 0.1)
        x1, y1, x2, y2 = inside(box, frame.shape)
        _, mask = self.figure(offset, box)
        paste(frame, self.background[y1:y2, x1:x2], mask, np.array([x1, y1]))


def median_frame(frames: Sequence[np.ndarray], count: int = 21) -> np.ndarray:
    """The (H, W, 3) median of frames spread evenly over a video: what is seen without anybody, if
    the camera stands still."""
    picks = np.unique(np.linspace(0, len(frames) - 1, count).astype(int))
    stack = np.stack([frames[pick] for pick in picks])
    # Row by row of the picture, since the median copies what it is given.
    return np.stack([np.median(stack[:, row], axis=0) for row in range(stack.shape[1])]).astype(
        np.uint8
    )


def inside(box: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The whole pixels of a box that lie in a frame; at least one each way."""
    height, width = shape[:2]
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    return x1, y1, max(x1 + 1, min(x2, width)), max(y1 + 1, min(y2, height))


def paste(frame: np.ndarray, patch: np.ndarray, mask: np.ndarray, at: np.ndarray) -> None:
    """Draw a patch into a frame.

    Args:
        frame: (H, W, 3) uint8, drawn into.
        patch: (h, w, 3) uint8.
        mask: (h, w) in [0, 1].
        at: (2,) x and y of the patch's upper left corner; it may lie outside in part.
    """
    height, width = patch.shape[:2]
    x, y = np.round(at).astype(int)
    left, top = max(0, -x), max(0, -y)
    right, bottom = min(width, frame.shape[1] - x), min(height, frame.shape[0] - y)
    if left >= right or top >= bottom:
        return
    there = frame[y + top : y + bottom, x + left : x + right]
    share = mask[top:bottom, left:right, None]
    there[:] = np.round(there * (1 - share) + patch[top:bottom, left:right] * share)


def grown(box: np.ndarray, share: float) -> np.ndarray:
    """A box with a margin of a share of its sides."""
    margin = (box[2:] - box[:2]) * share
    return np.concatenate([box[:2] - margin, box[2:] + margin])


def _ellipse(shape: tuple[int, int]) -> np.ndarray:
    """(h, w) float32: 1 in the middle of a patch, falling to 0 at the edge of its ellipse."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot(
        (x - (width - 1) / 2) / max(width / 2, 1), (y - (height - 1) / 2) / max(height / 2, 1)
    )
    return np.clip((1.08 - away) / 0.16, 0, 1)
