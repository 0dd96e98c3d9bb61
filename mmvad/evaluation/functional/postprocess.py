"""From object scores to frame scores, and smoothing over time.

Shape letters: n objects of one video, F frames of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

# Both filters end where a Gaussian's weight falls below 0.04 % of its peak.
_TRUNCATE = 4.0
# Longest smoothing in frames, over five minutes at 30 a second. Windows grow with it whatever the
# video's length, so that a mistyped number would take all memory.
_LONGEST = 10_000

#: What a filter takes beyond a video's ends: to scipy's mode, and numpy's for padding.
BORDERS = {
    'nearest': ('nearest', 'edge'),
    'reflect': ('reflect', 'symmetric'),
    'zero': ('constant', 'constant'),
}


def frame_scores(
    frames: np.ndarray, scores: np.ndarray, num_frames: int, first_scored: int, floor: float
) -> np.ndarray:
    """One score a frame: the maximum over the frame's objects.

    Frames without objects take ``floor``. The first ``first_scored`` frames, which cannot be
    scored for want of a past, take the first real score, that of frame ``first_scored``.

    Args:
        frames: Frame index of every object (n,), 0-based.
        scores: Score of every object (n,).
        num_frames: Length F of the video in frames.
        first_scored: 0-based number of the first frame that can be scored.
        floor: Score of a frame without objects: the lowest seen in training.

    Returns:
        Scores (F,) float64. A video of at most ``first_scored`` frames is ``floor`` throughout.

    Raises:
        ValueError: ``frames`` and ``scores`` differ in length, or a frame lies outside
            ``first_scored`` ... ``num_frames - 1``.
    """
    frames = np.asarray(frames)
    scores = np.asarray(scores, dtype=np.float64)
    if frames.ndim != 1 or frames.shape != scores.shape:
        raise ValueError(
            f'expected one frame index an object score, got frames of shape {frames.shape} '
            f'and scores of shape {scores.shape}'
        )
    outside = frames[(frames < first_scored) | (frames >= num_frames)]
    if len(outside):
        raise ValueError(
            f'a score of frame {int(outside[0])}, expected frames {first_scored} to '
            f'{num_frames - 1} (first_scored {first_scored}, {num_frames} frames)'
        )
    peaks = np.full(num_frames, -np.inf)
    np.maximum.at(peaks, frames.astype(np.intp), scores)
    peaks[np.isneginf(peaks)] = floor
    if num_frames > first_scored:
        peaks[:first_scored] = peaks[first_scored]
    return peaks


def gaussian_smooth(scores: np.ndarray, sigma: float, border: str = 'nearest') -> np.ndarray:
    """Gaussian filter over time, for a video that is known as a whole.

    The window ends at 4 sigma.

    Args:
        scores: (F,).
        sigma: Standard deviation in frames; 0 leaves the scores as they are.
        border: Beyond the video's ends, ``'nearest'``: the first and last score go on, so that a
            constant video stays as it is; ``'reflect'``: the video is mirrored about its ends, the
            first and last score counted twice, which is what scipy does unless told otherwise;
            ``'zero'``: there are zeros, which pull the ends down.

    Returns:
        Smoothed scores (F,) float64.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if sigma == 0:
        return scores.copy()
    return gaussian_filter1d(scores, sigma, mode=BORDERS[border][0], truncate=_TRUNCATE)


def causal_gaussian_smooth(scores: np.ndarray, sigma: float) -> np.ndarray:
    """Half a Gaussian over the present and the past: what a stream can compute.

    The score of a frame depends on no later frame. The window reaches back ``4 * sigma`` frames
    and the first score is continued into the past, so a stream that keeps the last
    ``ceil(4 * sigma) + 1`` scores gets the same value from the last entry of the smoothed buffer.

    Args:
        scores: (F,).
        sigma: Standard deviation of the whole Gaussian in frames; 0 leaves the scores as they are.

    Returns:
        Smoothed scores (F,) float64.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if sigma == 0 or len(scores) == 0:
        return scores.copy()
    reach = math.ceil(_TRUNCATE * sigma)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    history = np.concatenate([np.full(reach, scores[0]), scores])
    return np.convolve(history, weights / weights.sum(), mode='valid')


def median_smooth(scores: np.ndarray, size: int, border: str = 'nearest') -> np.ndarray:
    """Running median over time, for a video that is known as a whole.

    Args:
        scores: (F,).
        size: Frames in the window, odd; 1 leaves the scores as they are.
        border: See :func:`gaussian_smooth`.

    Returns:
        Smoothed scores (F,) float64.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) == 0:
        return scores.copy()
    # Scipy takes time and memory for frames times size where the window is long beside the array.
    half = size // 2
    padded = np.pad(scores, half, mode=BORDERS[border][1])
    return median_filter(padded, size, mode='nearest')[half : half + len(scores)]


def min_max(scores: np.ndarray) -> np.ndarray:
    """One video's scores brought to 0 ... 1 by their own least and largest.

    Common in the literature, and flattering: each video's largest score becomes 1, normal or not,
    with knowledge of the whole video. Constant scores become 0.

    Args:
        scores: (F,).

    Returns:
        (F,) float64.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) == 0 or np.ptp(scores) == 0:
        return np.zeros_like(scores)
    return (scores - scores.min()) / np.ptp(scores)


def psnr(errors: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of frames whose values are 0 to 1, in decibels.

    Args:
        errors: Mean squared error of each frame (F,), above 0.

    Raises:
        ValueError: An error is not above 0; the message names the frame.
    """
    errors = np.asarray(errors, dtype=np.float64)
    if len(bad := np.flatnonzero(~(errors > 0))):
        raise ValueError(
            f'the error of frame {bad[0]} is {errors[bad[0]]}, expected mean squared errors above 0'
        )
    return -10 * np.log10(errors)


# Type to function, its argument and whether it looks beyond a video's ends.
_SMOOTHERS = {
    'gaussian': (gaussian_smooth, 'sigma', True),
    'causal': (causal_gaussian_smooth, 'sigma', False),
    'median': (median_smooth, 'size', True),
}


def build_smoother(
    smoothing: Mapping | Sequence[Mapping] | None,
) -> Callable[[np.ndarray], np.ndarray]:
    """The smoothing function that a config names.

    Args:
        smoothing: ``dict(type='gaussian' or 'causal', sigma=frames)``, ``dict(type='median',
            size=frames)``, with ``border`` if need be (see :func:`gaussian_smooth`); a list of
            these, which are done one after the other; or None for no smoothing.

    Raises:
        ValueError: The mapping has other keys, an unknown type or border, a negative sigma or an
            even size, or smooths over more than 10,000 frames.
    """
    if smoothing is None:
        return np.array
    if isinstance(smoothing, Mapping):
        return _build_pass(smoothing, 'smoothing')
    if not isinstance(smoothing, Sequence) or isinstance(smoothing, str):
        raise ValueError(f'smoothing: expected a dict or a list of them, got {smoothing!r:.100}')
    passes = [_build_pass(one, f'smoothing[{n}]') for n, one in enumerate(smoothing)]

    def smooth(scores: np.ndarray) -> np.ndarray:
        scores = np.array(scores)
        for one in passes:
            scores = one(scores)
        return scores

    return smooth


def _build_pass(smoothing: Any, where: str) -> Callable[[np.ndarray], np.ndarray]:
    """One pass of :func:`build_smoother`; ``where`` is its key."""
    if not isinstance(smoothing, Mapping):
        raise ValueError(f'{where}: expected a dict, got {smoothing!r:.100}')
    kind = smoothing.get('type')
    if kind not in _SMOOTHERS:
        raise ValueError(f'{where}.type: expected one of {sorted(_SMOOTHERS)}, got {kind!r}')
    smoother, name, has_border = _SMOOTHERS[kind]
    if set(smoothing) - ({'border'} if has_border else set()) != {'type', name}:
        more = ', if need be border' if has_border else ''
        raise ValueError(
            f'{where}: expected the keys type and {name} (in frames){more}, got {sorted(smoothing)}'
        )
    value = smoothing[name]
    if name == 'size':
        if not (isinstance(value, int) and 0 < value <= _LONGEST and value % 2):
            raise ValueError(
                f'{where}.size: expected an odd number of frames up to {_LONGEST}, got {value!r}'
            )
    elif not (isinstance(value, (int, float)) and 0 <= value <= _LONGEST):
        raise ValueError(
            f'{where}.sigma: expected a number of frames from 0 up to {_LONGEST}, got {value!r}'
        )
    if 'border' not in smoothing:
        return lambda scores: smoother(scores, value)
    if smoothing['border'] not in BORDERS:
        raise ValueError(
            f'{where}.border: expected one of {sorted(BORDERS)}, got {smoothing["border"]!r}'
        )
    return lambda scores: smoother(scores, value, smoothing['border'])
