"""Pictures of anomaly scores: curves, annotated frames and annotated videos."""

from mmvad.visualization.drawing import (
    annotate_frames,
    append_score_strip,
    draw_objects,
    score_color,
    write_annotated_video,
    write_video,
)
from mmvad.visualization.plots import VideoOverview, pick_frames, plot_overview, plot_scores

__all__ = [
    'VideoOverview',
    'annotate_frames',
    'append_score_strip',
    'draw_objects',
    'pick_frames',
    'plot_overview',
    'plot_scores',
    'score_color',
    'write_annotated_video',
    'write_video',
]
