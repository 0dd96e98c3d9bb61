"""Box geometry of the tubes (paper, sections 3.1 and 4.2): pure functions.

Boxes are (N, 4) float arrays, xyxy, pixels, with x1 < x2 and y1 < y2.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components


def overlap_over_smaller(boxes: np.ndarray) -> np.ndarray:
    """(N, N) intersection of each pair over the area of the smaller of the two, in [0, 1]."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    intersection = np.clip(high - low, 0, None).prod(axis=-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return intersection / np.minimum(area[:, None], area[None, :])


def merge_overlapping(
    boxes: np.ndarray, min_overlap: float = 0.0, mode: str = 'neighbours'
) -> np.ndarray:
    """Unite every box with the boxes that overlap it, then drop duplicates.

    Args:
        boxes: (N, 4).
        min_overlap: Boxes are neighbours if their intersection over the smaller box exceeds this.
        mode: ``'neighbours'`` unites one hop; ``'components'`` unites whole connected components
            (which swallows a crowd); ``'none'`` only drops duplicates.

    Returns:
        (M, 4) boxes, M <= N, in the order of their first member.
    """
    if mode not in ('neighbours', 'components', 'none'):
        raise ValueError(f"merge mode: expected 'neighbours', 'components' or 'none', got {mode!r}")
    if len(boxes) == 0:
        return boxes.reshape(0, 4)
    if mode != 'none':
        groups = overlap_over_smaller(boxes) > min_overlap
        np.fill_diagonal(groups, True)
        if mode == 'components':
            _, label = connected_components(groups, directed=False)
            groups = label[:, None] == label[None, :]
        boxes = np.stack(
            [np.r_[boxes[group, :2].min(axis=0), boxes[group, 2:].max(axis=0)] for group in groups]
        )
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)]


def square(boxes: np.ndarray) -> np.ndarray:
    """Extend the short side of each box to the long one, about the centre."""
    return _about_centre(
        boxes, np.repeat((boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True), 2, 1)
    )


def enlarge(boxes: np.ndarray, scale: float = 1.25) -> np.ndarray:
    """Scale width and height about the centre."""
    return _about_centre(boxes, (boxes[:, 2:] - boxes[:, :2]) * scale)


def _about_centre(boxes: np.ndarray, size: np.ndarray) -> np.ndarray:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


def shift_inside(boxes: np.ndarray, frame_shape: tuple[int, int]) -> np.ndarray:
    """Move boxes into the frame without resizing; a side longer than the frame's is cut to it.

    Args:
        boxes: (N, 4).
        frame_shape: Height and width, pixels.
    """
    limit = np.array(frame_shape[::-1], boxes.dtype)
    size = np.minimum(boxes[:, 2:] - boxes[:, :2], limit)
    # The centre keeps its place while a longer side is cut.
    start = np.clip((boxes[:, :2] + boxes[:, 2:] - size) / 2, 0, limit - size)
    return np.concatenate([start, start + size], axis=1)


def tube_boxes(
    objects: np.ndarray, frame_shape: tuple[int, int], scale: float = 1.25
) -> np.ndarray:
    """The crop of each object: squared, enlarged, shifted into the frame. (N, 4) -> (N, 4)."""
    return shift_inside(enlarge(square(objects), scale), frame_shape)
