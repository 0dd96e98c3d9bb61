"""Objects as what differs from a static camera's background: needs no weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mmvad.registry import PROPOSERS

from .base import BaseProposer


@PROPOSERS.register_module()
class ForegroundProposer(BaseProposer):
    """Boxes around what differs from the background of a static camera.

    The background is a temporal median: unlike a mixture model that adapts while it runs, it does
    not learn a slow walker or a crowded place as background.

    Args:
        background: ``'video'``: each video has its own background, for cameras that differ from
            video to video. ``'split'``: all videos of a split are from one camera and share one,
            which somebody who stands about in one video does not get into.
        background_frames: Frames, spread evenly over the video or split, whose median it is.
        threshold: Difference in grey levels (largest channel) from which a pixel is foreground.
        shadow: Pixels darker than the background by a factor in this range, nearly the same in
            all channels, are shadow, not object, unless they are right above or below an object:
            a shadow falls to the side, grey trousers don't. None (for grey images too): no such
            test.
        blur: Standard deviation in pixels of the Gaussian that calms sensor noise first; 0: none.
        open_size: Side in pixels of the morphological opening that removes specks; 0: none.
        close_size: (width, height) in pixels of the closing that joins the parts of one object.
        min_area: Smallest foreground area of an object, pixels.
        min_side: Smallest width and height of an object, pixels.
    """

    def __init__(
        self,
        background: str = 'video',
        background_frames: int = 60,
        threshold: float = 15.0,
        shadow: tuple[float, float] | None = None,
        blur: float = 0.8,
        open_size: int = 0,
        close_size: tuple[int, int] = (3, 7),
        min_area: int = 40,
        min_side: int = 5,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if background not in ('video', 'split'):
            raise ValueError(f"background: expected 'video' or 'split', got {background!r}")
        for name, value in dict(
            threshold=threshold, blur=blur, min_area=min_area, min_side=min_side
        ).items():
            if not _is_number(value):
                raise ValueError(f'proposer.{name}: expected a number >= 0, got {value!r:.100}')
        for name, value, least in (
            ('background_frames', background_frames, 1),
            ('open_size', open_size, 0),
        ):
            if not (isinstance(value, int) and value >= least):
                raise ValueError(
                    f'proposer.{name}: expected a whole number >= {least}, got {value!r:.100}'
                )
        if shadow is not None and not _is_pair(shadow):
            raise ValueError(f'proposer.shadow: expected two numbers, got {shadow!r:.100}')
        if not _is_pair(close_size) or not all(isinstance(v, int) and v >= 1 for v in close_size):
            raise ValueError(
                f'proposer.close_size: expected two whole numbers >= 1, got {close_size!r:.100}'
            )
        self.background = background
        self.background_frames = background_frames
        self.threshold = threshold
        self.shadow = shadow
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

    @property
    def apart(self) -> bool:
        return self.background == 'video'

    def fit(self, videos: Sequence[Sequence[np.ndarray]]) -> None:
        if self.background == 'split':
            share = max(1, self.background_frames // len(videos))
            self._background = self._median(videos, share)

    def start(self, frames: Sequence[np.ndarray]) -> None:
        if self.background == 'video':
            self._background = self._median([frames], self.background_frames)
        elif self._background is None:
            raise RuntimeError("ForegroundProposer: background='split' needs fit() first")
        elif self._background.shape != frames[0].shape:
            raise ValueError(
                f'frames of size (H, W) {frames[0].shape[:2]} in a split whose background has '
                f"{self._background.shape[:2]}; use background='video'"
            )

    def _median(self, videos: Sequence[Sequence[np.ndarray]], share: int) -> np.ndarray:
        """(H, W, 3) float32 median of ``share`` frames of each video."""
        picks = [
            (frames, pick)
            for frames in videos
            for pick in np.linspace(0, len(frames) - 1, min(share, len(frames))).round().astype(int)
        ]
        shape = videos[0][0].shape
        stack = np.empty((len(picks), *shape), np.uint8)
        for row, (frames, pick) in zip(stack, picks, strict=True):
            frame = self._calm(frames[pick])
            if frame.shape != shape:
                raise ValueError(
                    "background='split': the split has frames of several sizes (H, W), "
                    f"{shape[:2]} and {frame.shape[:2]}; use background='video'"
                )
            row[...] = frame
        median = np.empty(shape, np.float32)
        # Row by row of the picture, since the median copies what it is given.
        for lines in np.array_split(np.arange(shape[0]), -(-shape[0] // 64)):
            median[lines] = np.median(stack[:, lines], axis=0)
        return median

    def _calm(self, frame: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(frame, (0, 0), self.blur) if self.blur else frame

    def mask(self, frame: np.ndarray) -> np.ndarray:
        """(H, W) uint8 foreground of a (H, W, 3) uint8 BGR frame, 255 where an object is."""
        if self._background is None:
            raise RuntimeError('ForegroundProposer: call start() with the video before propose()')
        difference = self._calm(frame).astype(np.float32) - self._background
        # A lamp's flicker shifts the whole frame: its median difference is no object's.
        difference -= np.median(difference[::4, ::4], axis=(0, 1))
        # Channel by channel: max(axis=2) over only three values a pixel takes 20 times as long.
        moved = np.maximum.reduce([*np.moveaxis(np.abs(difference), 2, 0)]) > self.threshold
        sure = moved if self.shadow is None else moved & ~self._shaded(difference, moved)
        mask = sure.astype(np.uint8) * 255
        if self.open_kernel is not None:
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, self.open_kernel)
        if self.shadow is not None:
            # What joins the parts of one object may bridge gaps here too, but only up and down.
            whole = moved.astype(np.uint8) * 255
            whole = cv2.morphologyEx(whole, cv2.MORPH_CLOSE, self.close_kernel[:, :1])
            mask = grow_vertically(mask, whole)
        return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self.close_kernel)

    def _shaded(self, difference: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """(H, W) bool: what of ``moved`` (H, W) bool looks like the background in shadow."""
        ratio = 1 + difference[moved] / np.maximum(self._background[moved], 1)
        low, high = self.shadow
        mean, spread = ratio.mean(axis=1), np.ptp(ratio, axis=1)
        shaded = np.zeros_like(moved)
        shaded[moved] = (mean > low) & (mean < high) & (spread < 0.1)
        return shaded

    def detect(self, frame: np.ndarray) -> np.ndarray:
        _, _, stats, _ = cv2.connectedComponentsWithStats(self.mask(frame), connectivity=8)
        x, y, w, h, area = stats[1:].T
        keep = (area >= self.min_area) & (w >= self.min_side) & (h >= self.min_side)
        return np.stack([x, y, x + w, y + h], axis=1)[keep].astype(np.float32)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < float('inf')


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and list(map(_is_number, value)) == [True, True]


def grow_vertically(seed: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Grow a mask up and down as far as another one reaches without a gap.

    Args:
        seed: (H, W) uint8, 255 where to start.
        within: (H, W) uint8, 255 where growing is allowed; a seed outside of it is kept too.

    Returns:
        (H, W) uint8, 255 in each vertical run of ``seed | within`` that holds a seed.
    """
    allowed = (seed | within).T > 0
    # Numbers count up at each start and end of a run, so that each run has its own.
    runs = np.cumsum(np.diff(allowed, axis=1, prepend=False)).reshape(allowed.shape)
    held = np.zeros(runs[-1, -1] + 1, bool)
    held[runs[seed.T > 0]] = True
    return (allowed & held[runs]).T.astype(np.uint8) * 255
