"""Objects linked into tracks, and their scores smoothed along them.

A score then belongs to an object and not to a flicker of its detection.

Shape letters: n objects of one video.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from mmvad.evaluation.functional.postprocess import _TRUNCATE


def link_objects(
    frames: np.ndarray, boxes: np.ndarray, min_iou: float = 0.3, max_gap: int = 3
) -> np.ndarray:
    """Number the objects of one video by the track they belong to.

    Frame by frame, the boxes are assigned to the last boxes of the live tracks such that the sum
    of the IoUs is highest. Pairs below ``min_iou`` count nothing and are never linked; a box
    without a track starts one. An object's number depends on no later frame.

    Args:
        frames: Frame index of every object (n,), ascending.
        boxes: (n, 4) xyxy, pixels.
        min_iou: Lowest IoU of two boxes of a track that follow each other, above 0 up to 1.
        max_gap: A track ends when its last box is more than this many frames old; 1 links
            consecutive frames only.

    Returns:
        Track numbers (n,) int64 from 0 up, in the order of the tracks' first objects.

    Raises:
        ValueError: Frames or boxes have another shape or order, a box is not finite or its
            corners are swapped, or an option is out of range.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    frames = _checked_frames(frames, boxes=(boxes, (4,)))
    bad = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, :2] <= boxes[:, 2:]).all(axis=1))
    if bad.any():
        raise ValueError(
            f'boxes: expected finite numbers with x1 <= x2 and y1 <= y2, got {boxes[bad][0]}'
        )
    if not (isinstance(min_iou, (int, float)) and 0 < min_iou <= 1):
        raise ValueError(f'min_iou: expected a number above 0 up to 1, got {min_iou!r}')
    if not (isinstance(max_gap, int) and max_gap >= 1):
        raise ValueError(f'max_gap: expected a whole number of frames from 1 up, got {max_gap!r}')

    tracks = np.full(len(frames), -1)
    count = 0
    live = np.zeros(0, dtype=np.intp)  # The last object of every live track.
    present, starts = np.unique(frames, return_index=True)
    groups = np.split(np.arange(len(frames)), starts)[1:]
    for frame, here in zip(present, groups, strict=True):
        live = live[frame - frames[live] <= max_gap]
        iou = box_iou(torch.from_numpy(boxes[live]), torch.from_numpy(boxes[here])).numpy()
        # Else two pairs too poor to link could outweigh a good one. NaN: two boxes without area.
        iou = np.where(iou >= min_iou, iou, 0)
        old, new = linear_sum_assignment(iou, maximize=True)
        linked = iou[old, new] > 0
        old, new = old[linked], new[linked]
        tracks[here[new]] = tracks[live[old]]
        first = here[tracks[here] < 0]
        tracks[first] = count + np.arange(len(first))
        count += len(first)
        live = np.concatenate([np.delete(live, old), here])
    return tracks


def smooth_along_tracks(
    frames: np.ndarray,
    tracks: np.ndarray,
    scores: np.ndarray,
    sigma: float,
    causal: bool = False,
    prior: float = 0.0,
) -> np.ndarray:
    """Gaussian mean over the objects of the same track, weighted by their distance in frames.

    The weights of the objects that are there, and the prior's, sum to 1: without a prior a constant
    score stays as it is beside gaps and at the ends of a track. The window ends at 4 sigma.

    Args:
        frames: Frame index of every object (n,), ascending.
        tracks: Track number of every object (n,), each at most once a frame.
        scores: Score of every object (n,).
        sigma: Standard deviation in frames; 0: every object by itself.
        causal: Take only objects of the present and the past, what a stream can compute.
        prior: Weight, in frames of full weight, of a score of 0 that is averaged in. Where 0 is
            the most usual there is, a detection that flickers up for a frame or two is held to be
            usual until more of it is seen.

    Returns:
        Smoothed scores (n,) float64.

    Raises:
        ValueError: The arrays have other shapes, frames do not ascend, or ``sigma`` or ``prior``
            is negative or not finite.
    """
    tracks = np.asarray(tracks)
    scores = np.asarray(scores, dtype=np.float64)
    frames = _checked_frames(frames, tracks=(tracks, ()), scores=(scores, ()))
    for name, value in (('sigma', sigma), ('prior', prior)):
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            raise ValueError(f'{name}: expected a number of frames from 0 up, got {value!r}')
    if sigma == 0:
        return scores / (1 + prior)

    # Track after track, and each in the order of its frames. The outer loop then takes all
    # objects at once: first their direct neighbours in the track, then the next but one, ...
    order = np.argsort(tracks, kind='stable')
    frames, tracks, values = frames[order], tracks[order], scores[order]
    reach = math.ceil(_TRUNCATE * sigma)
    total, weights = values.copy(), np.ones(len(values))
    for step in range(1, len(values)):
        distance = frames[step:] - frames[:-step]
        early = np.flatnonzero((tracks[step:] == tracks[:-step]) & (distance <= reach))
        if not len(early):
            break
        late = early + step
        weight = np.exp(-0.5 * (distance[early] / sigma) ** 2)
        total[late] += weight * values[early]
        weights[late] += weight
        if not causal:
            total[early] += weight * values[late]
            weights[early] += weight
    smoothed = np.empty_like(scores)
    smoothed[order] = total / (weights + prior)
    return smoothed


def _checked_frames(frames: np.ndarray, **others: tuple[np.ndarray, tuple[int, ...]]) -> np.ndarray:
    """Frames as int64, after checks; ``others`` are arrays with their expected shape an object."""
    frames = np.asarray(frames)
    if frames.ndim != 1:
        raise ValueError(f'frames: expected shape (n,), got {frames.shape}')
    for name, (array, shape) in others.items():
        if array.shape != (len(frames), *shape):
            raise ValueError(
                f'{name}: expected shape {(len(frames), *shape)} for {len(frames)} objects, '
                f'got {array.shape}'
            )
    frames = frames.astype(np.int64)
    back = np.flatnonzero(np.diff(frames) < 0)
    if len(back):
        before, after = frames[back[0] : back[0] + 2].tolist()
        raise ValueError(f'frames: expected ascending numbers, got {after} after {before}')
    return frames
