"""Frame-level precision-recall figures of video anomaly detection.

Shape letters: F frames of one video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import auc, precision_recall_curve

from mmvad.evaluation.functional.roc import pooled, validated


@dataclass(frozen=True)
class AveragePrecision:
    """Two areas under one precision-recall curve over all frames of all videos, in [0, 1].

    Attributes:
        step: Precision at each threshold, weighted by the recall it adds: scikit-learn's
            ``average_precision_score``.
        trapezoid: Area under straight lines between the points of the curve, which is what
            XD-Violence's figures are.
    """

    step: float
    trapezoid: float


def average_precision(
    scores: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> AveragePrecision:
    """Average precision of a test set, over the frames of all videos together.

    Args:
        scores: Video name to anomaly scores (F,), higher is more abnormal.
        labels: Video name to labels (F,), 0 normal and 1 abnormal, for the same videos.

    Raises:
        ValueError: The two name different videos, a video's lengths differ, a score is not
            finite, a label is neither 0 nor 1, or all frames together hold one class only.
    """
    scores, labels = validated(scores, labels)
    all_scores, all_labels = pooled(scores, labels, 'average precision')
    precision, recall, _ = precision_recall_curve(all_labels, all_scores)
    return AveragePrecision(
        # What average_precision_score does, without sorting all frames once more.
        step=float(-np.sum(np.diff(recall) * precision[:-1])),
        trapezoid=float(auc(recall, precision)),
    )
