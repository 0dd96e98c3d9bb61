"""Pure functions of numpy arrays, from object scores to figures; no other room is imported."""

from mmvad.evaluation.functional.postprocess import (
    build_smoother,
    causal_gaussian_smooth,
    frame_scores,
    gaussian_smooth,
)
from mmvad.evaluation.functional.roc import FrameAUC, equal_error_rate, frame_auc
from mmvad.evaluation.functional.tracks import link_objects, smooth_along_tracks

__all__ = [
    'FrameAUC',
    'build_smoother',
    'causal_gaussian_smooth',
    'equal_error_rate',
    'frame_auc',
    'frame_scores',
    'gaussian_smooth',
    'link_objects',
    'smooth_along_tracks',
]
