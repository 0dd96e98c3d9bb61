"""Pure numpy functions from object scores to figures; they import no other room of mmvad."""

from mmvad.evaluation.functional.postprocess import (
    build_smoother,
    causal_gaussian_smooth,
    frame_scores,
    gaussian_smooth,
)
from mmvad.evaluation.functional.roc import FrameAUC, equal_error_rate, frame_auc

__all__ = [
    'FrameAUC',
    'build_smoother',
    'causal_gaussian_smooth',
    'equal_error_rate',
    'frame_auc',
    'frame_scores',
    'gaussian_smooth',
]
