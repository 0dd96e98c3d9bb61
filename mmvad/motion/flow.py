"""Optical flow between the frames of a video, in units that carry over to other videos.

Shape letters: h x w a frame reduced to at most ``short_side``.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from cachetools import LRUCache


class FrameFlow:
    """DIS optical flow, averaged over pairs of neighbouring frames.

    Over longer steps a fast small object is lost, and Farneback's method loses it even between
    neighbours; two pairs make a slow walker's motion stand out of the noise.

    Args:
        pairs: Pairs of neighbouring frames over which the motion is averaged.
        short_side: Larger frames are reduced to this short side (pixels) first, which bounds the
            cost.
        keep_mb: Results that are kept, 2**20 bytes, since a sweep asks for most of them at several
            steps, and training asks for all of them again every epoch.
    """

    def __init__(self, pairs: int = 2, short_side: int = 240, keep_mb: int = 64) -> None:
        if pairs < 1:
            raise ValueError(f'pairs: expected at least one pair of frames, got {pairs}')
        self.pairs = pairs
        self.short_side = short_side
        self.keep_mb = keep_mb
        self._forget()

    def _forget(self) -> None:
        # Frames are known by their address. They are not kept, which would take more memory than
        # their flow: those that are gone, and whose address another may have, are told by that.
        self._between = LRUCache(2 * self.pairs)
        self._means = LRUCache(self.keep_mb * 2**20, getsizeof=lambda kept: kept[1].nbytes)

    def __setstate__(self, state: dict) -> None:
        # Copies of the frames have other addresses.
        self.__dict__.update(state)
        self._forget()

    def scale(self, frame: np.ndarray) -> float:
        """By how much a frame (H, W, ...) is reduced, at most 1."""
        return min(1.0, self.short_side / min(frame.shape[:2]))

    def __call__(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Motion at the places of the last frame.

        Args:
            frames: At least ``pairs + 1`` (H, W, 3) uint8 BGR frames, oldest first.

        Returns:
            (h, w, 2) float32: (x, y), pixels of the unreduced frame from frame to frame.

        Raises:
            ValueError: If there are too few frames.
        """
        if len(frames) <= self.pairs:
            raise ValueError(
                f'flow over {self.pairs} pairs of frames needs {self.pairs + 1} frames, '
                f'got {len(frames)}'
            )
        last = frames[-1 - self.pairs :]
        key = tuple(map(id, last))
        kept = self._means.get(key)
        if kept is None or not _same(kept[0], last):
            scale = self.scale(last[-1])
            mean = sum(self._motion(*pair, scale) for pair in pairwise(last)) / self.pairs / scale
            # Half the memory; a step of float16 is far below what flow can tell.
            kept = tuple(map(weakref.ref, last)), mean.astype(np.float16)
            if kept[1].nbytes <= self._means.maxsize:
                self._means[key] = kept
        return kept[1].astype(np.float32)

    def _motion(self, earlier: np.ndarray, later: np.ndarray, scale: float) -> np.ndarray:
        """(h, w, 2) float32 motion between two frames, pixels of the reduced frame."""
        key = (id(earlier), id(later))
        kept = self._between.get(key)
        if kept is None or not _same(kept[0], (earlier, later)):
            # Made here, since it cannot be pickled and a loader's workers get a copy of this. The
            # fast preset takes a seventh of the time and underestimates small objects' speed.
            method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
            # From the later frame back to the earlier one, since the boxes lie in the later.
            flow = -method.calc(grey(later, scale), grey(earlier, scale), None)
            kept = tuple(map(weakref.ref, (earlier, later))), flow
            self._between[key] = kept
        return kept[1]


def _same(known: Sequence[weakref.ref], frames: Sequence[np.ndarray]) -> bool:
    """Whether these are the very arrays that were seen before."""
    return all(ref() is frame for ref, frame in zip(known, frames, strict=True))


def grey(frame: np.ndarray, scale: float) -> np.ndarray:
    """(H, W, 3) uint8 BGR to (h, w) uint8, reduced by ``scale`` where it is below 1."""
    image = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return image
