"""Pure functions of numpy arrays, from object scores to figures; no other room is imported."""

from mmvad.evaluation.functional.alarms import alarm_figures, second_peaks
from mmvad.evaluation.functional.postprocess import (
    BORDERS,
    build_smoother,
    causal_gaussian_smooth,
    frame_scores,
    gaussian_smooth,
    median_smooth,
    min_max,
    psnr,
)
from mmvad.evaluation.functional.precision_recall import AveragePrecision, average_precision
from mmvad.evaluation.functional.protocols import MNAD_WEIGHTS, PROTOCOLS
from mmvad.evaluation.functional.rbdc_tbdc import (
    MIN_REGION_AREA,
    Components,
    Detections,
    Regions,
    RegionTrackAUC,
    check_min_region_area,
    mask_components,
    region_track_auc,
    regions_from_components,
    regions_from_masks,
)
from mmvad.evaluation.functional.roc import PADS, FrameAUC, equal_error_rate, frame_auc, group_aucs
from mmvad.evaluation.functional.subsets import SUBSETS, kept_frames
from mmvad.evaluation.functional.tracks import link_objects, smooth_along_tracks
from mmvad.evaluation.functional.video_scores import (
    ScorePolicy,
    VideoScores,
    lowest_scores,
    score_video,
)

__all__ = [
    'BORDERS',
    'MIN_REGION_AREA',
    'MNAD_WEIGHTS',
    'PADS',
    'PROTOCOLS',
    'SUBSETS',
    'AveragePrecision',
    'Components',
    'Detections',
    'FrameAUC',
    'RegionTrackAUC',
    'Regions',
    'ScorePolicy',
    'VideoScores',
    'alarm_figures',
    'average_precision',
    'build_smoother',
    'causal_gaussian_smooth',
    'check_min_region_area',
    'equal_error_rate',
    'frame_auc',
    'frame_scores',
    'gaussian_smooth',
    'group_aucs',
    'kept_frames',
    'link_objects',
    'lowest_scores',
    'mask_components',
    'median_smooth',
    'min_max',
    'psnr',
    'region_track_auc',
    'regions_from_components',
    'regions_from_masks',
    'score_video',
    'second_peaks',
    'smooth_along_tracks',
]
