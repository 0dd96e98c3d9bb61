"""What finds the objects of a frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from .geometry import merge_overlapping, tube_boxes


class BaseProposer(ABC):
    """Find objects frame by frame and shape them into the boxes of tubes (paper, section 3.1).

    Args:
        min_overlap: Boxes whose intersection over the smaller exceeds this are merged.
        merge: ``'neighbours'``, ``'components'`` or ``'none'``; see
            :func:`~mmvad.proposals.geometry.merge_overlapping`.
        scale: Factor on width and height of the squared box; 1.25 in the paper.
        max_objects: Keep the largest so many objects of a frame.
    """

    #: How many frames :meth:`look_ahead` is given, where they are at hand.
    batch_size = 1

    def __init__(
        self,
        min_overlap: float = 0.0,
        merge: str = 'neighbours',
        scale: float = 1.25,
        max_objects: int = 60,
    ) -> None:
        self.min_overlap = min_overlap
        self.merge = merge
        self.scale = scale
        self.max_objects = max_objects

    def fit(self, videos: Sequence[Sequence[np.ndarray]]) -> None:  # noqa: B027
        """Look at all videos of a split before the first; frames can be looked up by number."""

    @property
    def apart(self) -> bool:
        """Whether what it finds in a video depends on no other video of the split."""
        return type(self).fit is BaseProposer.fit

    def start(self, frames: Sequence[np.ndarray]) -> None:  # noqa: B027 (most have nothing to do)
        """Get ready for a new video, whose frames can be looked up by number."""

    @abstractmethod
    def detect(self, frame: np.ndarray) -> np.ndarray:
        """(N, 4) float32 boxes, xyxy, pixels, of a (H, W, 3) uint8 BGR frame.

        Frames come in order, not always all of them.
        """

    def look_ahead(self, frames: Sequence[np.ndarray]) -> None:  # noqa: B027
        """The next frames that :meth:`propose` is given, (H, W, 3) uint8 BGR, to look at them at
        once."""

    def propose(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The next frame's crop boxes and merged objects, both (N, 4) float32.

        All frames of a video come from one thread, which need not be that of :meth:`start`.
        """
        objects = merge_overlapping(self.detect(frame), self.min_overlap, self.merge)
        if len(objects) > self.max_objects:
            area = (objects[:, 2:] - objects[:, :2]).prod(axis=1)
            objects = objects[np.sort(np.argsort(-area, kind='stable')[: self.max_objects])]
        boxes = tube_boxes(objects, frame.shape[:2], self.scale)
        return boxes.astype(np.float32), objects.astype(np.float32)
