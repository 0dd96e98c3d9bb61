"""Objects as what differs from a static camera's background: needs no weights."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmvad.registry import PROPOSERS

from .base import BaseProposer


@PROPOSERS.register_module()
class ForegroundProposer(BaseProposer):
    """Boxes around what differs from the background of a static camera.

    The background is the temporal median of the video: unlike a mixture model that adapts while it
    runs, it does not learn a slow walker or a crowded place as background.

    Args:
        background_frames: Frames, spread evenly over the video, whose median is the background.
        threshold: Difference in grey levels (largest channel) from which a pixel is foreground.
        blur: Standard deviation in pixels of the Gaussian that calms sensor noise first; 0: none.
        open_size: Side in pixels of the morphological opening that removes specks; 0: none.
        close_size: (width, height) in pixels of the closing that joins the parts of one object.
        min_area: Smallest foreground area of an object, pixels.
        min_side: Smallest width and height of an object, pixels.
    """

    def __init__(
        self,
        background_frames: int = 60,
        threshold: float = 15.0,
        blur: float = 0.8,
        open_size: int = 0,
        close_size: tuple[int, int] = (3, 7),
        min_area: int = 40,
        min_side: int = 5,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.background_frames = background_frames
        self.threshold = threshold
        self.blur = blur
        self.open_kernel = (
            cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (open_size, open_size))
            if open_size
            else None
        )
        self.close_kernel = cv2.getStructuringElement(cv2.MORPH_RECT, tuple(close_size))
        self.min_area = min_area
        self.min_side = min_side
        self._background: np.ndarray | None = None

    def start(self, frames: Sequence[np.ndarray]) -> None:
        count = min(self.background_frames, len(frames))
        picks = np.linspace(0, len(frames) - 1, count).round().astype(int)
        stack = np.stack([self._calm(frames[pick]) for pick in picks])
        self._background = np.median(stack, axis=0).astype(np.float32)

    def _calm(self, frame: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(frame, (0, 0), self.blur) if self.blur else frame

    def mask(self, frame: np.ndarray) -> np.ndarray:
        """(H, W) uint8 foreground of a (H, W, 3) uint8 BGR frame, 255 where an object is."""
        if self._background is None:
            raise RuntimeError('ForegroundProposer: call start() with the video before propose()')
        difference = self._calm(frame).astype(np.float32) - self._background
        # A lamp's flicker shifts the whole frame: its median difference is no object's.
        difference -= np.median(difference[::4, ::4], axis=(0, 1))
        mask = (np.abs(difference).max(axis=2) > self.threshold).astype(np.uint8) * 255
        if self.open_kernel is not None:
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, self.open_kernel)
        return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self.close_kernel)

    def detect(self, frame: np.ndarray) -> np.ndarray:
        _, _, stats, _ = cv2.connectedComponentsWithStats(self.mask(frame), connectivity=8)
        x, y, w, h, area = stats[1:].T
        keep = (area >= self.min_area) & (w >= self.min_side) & (h >= self.min_side)
        return np.stack([x, y, x + w, y + h], axis=1)[keep].astype(np.float32)
