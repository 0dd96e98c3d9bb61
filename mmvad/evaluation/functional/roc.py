"""Frame-level ROC figures of video anomaly detection: micro, macro, equal error rate.

Shape letters: F frames of one video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import auc, roc_curve


@dataclass(frozen=True)
class FrameAUC:
    """Frame-level figures, all in [0, 1].

    Attributes:
        micro: Area under one ROC over all frames of all videos.
        macro: Mean over the videos of each video's own area, padded as was asked for; NaN when
            none is left.
        macro_skipped: The same mean over the videos that hold both classes; NaN when none does.
        eer: Equal error rate of the micro curve.
        padded: Names of the videos that were padded for ``macro``.
        videos: Area of each video that holds both classes.
    """

    micro: float
    macro: float
    macro_skipped: float
    eer: float
    padded: tuple[str, ...]
    videos: Mapping[str, float]


#: Which videos are padded for the macro figure; with ``'skip'``, one-class videos are left out.
PADS = ('one-class', 'all', 'skip')


def frame_auc(
    scores: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    pad: str = 'one-class',
    pad_scores: tuple[float, float] | None = None,
) -> FrameAUC:
    """Frame-level ROC figures of a test set.

    A video of one class has no ROC of its own. For ``macro`` a video is padded with two more
    frames: a normal one that carries the video's lowest score and an abnormal one that carries its
    highest. Where a video has both classes already, that raises its area as well.

    Args:
        scores: Video name to anomaly scores (F,), higher is more abnormal.
        labels: Video name to labels (F,), 0 normal and 1 abnormal, for the same videos.
        pad: Which videos are padded for ``macro``: ``'one-class'``, ``'all'``, or ``'skip'``, with
            which one-class videos are left out.
        pad_scores: Scores of the normal and the abnormal frame that are added, in place of the
            video's own lowest and highest.

    Raises:
        ValueError: The two name different videos, a video's lengths differ, a score is not
            finite, a label is neither 0 nor 1, all frames together hold one class only, or there
            is no such ``pad``.
    """
    if pad not in PADS:
        raise ValueError(f'pad: expected one of {PADS}, got {pad!r}')
    scores, labels = validated(scores, labels)
    all_scores, all_labels = pooled(scores, labels, 'a ROC')
    two_class = group_aucs(scores, labels)
    areas = dict(two_class)
    padded = [v for v in scores if pad == 'all' or (pad == 'one-class' and v not in two_class)]
    for video in padded:
        ends = pad_scores or (scores[video].min(), scores[video].max())
        areas[video] = _area(np.append(labels[video], [0, 1]), np.append(scores[video], ends))
    # One curve for both figures: sorting many millions of frames is what takes the time.
    fpr, tpr, _ = roc_curve(all_labels, all_scores)
    return FrameAUC(
        micro=float(auc(fpr, tpr)),
        macro=float(np.mean([*areas.values()])) if areas else float('nan'),
        macro_skipped=float(np.mean([*two_class.values()])) if two_class else float('nan'),
        eer=equal_error_rate(fpr, tpr),
        padded=tuple(padded),
        videos=two_class,
    )


def pooled(
    scores: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], figure: str
) -> tuple[np.ndarray, np.ndarray]:
    """All videos' scores and labels, one behind the other; ``figure`` needs both classes.

    Raises:
        ValueError: All frames together hold one class only.
    """
    all_scores = np.concatenate([scores[video] for video in scores])
    all_labels = np.concatenate([labels[video] for video in scores])
    if all_labels.min() == all_labels.max():
        raise ValueError(
            f'{figure} needs normal and abnormal frames, but all {len(all_labels)} frames of '
            f'{len(scores)} video(s) are labelled {int(all_labels[0])}'
        )
    return all_scores, all_labels


def group_aucs(
    scores: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Area under the ROC of each group of frames that holds both classes.

    Args:
        scores: Name of the group to anomaly scores (F,).
        labels: Name of the group to labels (F,).
    """
    return {
        name: _area(labels[name], values)
        for name, values in scores.items()
        if labels[name].min() != labels[name].max()
    }


def _area(labels: np.ndarray, scores: np.ndarray) -> float:
    # What roc_auc_score gives, which takes a third longer to look at its arguments.
    return float(auc(*roc_curve(labels, scores)[:2]))


def equal_error_rate(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """False positive rate at the point of a ROC where FPR + TPR = 1, in [0, 1].

    The curve is taken as straight between its points, as it is for the area under it.

    Args:
        fpr: False positive rates of the ROC's points, ascending from 0 to 1.
        tpr: True positive rates of the same points.
    """
    # Every point of the curve adds frames, so FPR + TPR rises strictly from 0 to 2.
    return float(np.interp(1.0, fpr + tpr, fpr))


def validated(
    scores: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Both mappings with float64 and int64 arrays, after the checks of :func:`frame_auc`."""
    if not scores:
        raise ValueError('no videos: expected the scores of at least one video')
    if only := sorted(set(scores) - set(labels)):
        raise ValueError(f'videos with scores but without labels: {", ".join(only)}')
    if only := sorted(set(labels) - set(scores)):
        raise ValueError(f'videos with labels but without scores: {", ".join(only)}')

    checked_scores, checked_labels = {}, {}
    for video in scores:
        video_scores = np.asarray(scores[video], dtype=np.float64)
        video_labels = np.asarray(labels[video])
        if video_scores.ndim != 1 or video_labels.shape != video_scores.shape:
            raise ValueError(
                f'video {video!r}: expected one score and one label a frame, got scores of shape '
                f'{video_scores.shape} and labels of shape {video_labels.shape}'
            )
        if len(video_scores) == 0:
            raise ValueError(f'video {video!r}: it has no frames')
        if not np.isfinite(video_scores).all():
            first = int(np.flatnonzero(~np.isfinite(video_scores))[0])
            raise ValueError(
                f'video {video!r}: the score of frame {first} is {video_scores[first]}, '
                'expected finite numbers'
            )
        if not np.isin(video_labels, (0, 1)).all():
            found = np.setdiff1d(video_labels, (0, 1))[:5].tolist()
            raise ValueError(f'video {video!r}: expected labels 0 and 1, found {found}')
        checked_scores[video] = video_scores
        checked_labels[video] = video_labels.astype(np.int64)
    return checked_scores, checked_labels
