"""Pictures of anomaly scores: curves, annotated frames and annotated videos."""

from mmvad.visualization.drawing import (
    annotate_frames,
    append_score_strip,
    draw_objects,
    score_color,
    write_annotated_video,
)
from mmvad.visualization.heatmaps import overlay, pattern_heatmaps, plot_pictures
from mmvad.visualization.plots import (
    VideoOverview,
    pick_frames,
    plot_overview,
    plot_score_grid,
    plot_scores,
    seconds_text,
)
from mmvad.visualization.self_check import plot_self_check
from mmvad.visualization.video import ENCODERS, Encoder, video_encoder, write_video
from mmvad.visualization.visualizer import VADVisualizer
from mmvad.visualization.why import (
    TermPicture,
    WhyPicture,
    object_crop,
    plot_why,
    plot_why_overview,
)

__all__ = [
    'ENCODERS',
    'Encoder',
    'TermPicture',
    'VADVisualizer',
    'VideoOverview',
    'WhyPicture',
    'annotate_frames',
    'append_score_strip',
    'draw_objects',
    'object_crop',
    'overlay',
    'pattern_heatmaps',
    'pick_frames',
    'plot_overview',
    'plot_pictures',
    'plot_score_grid',
    'plot_scores',
    'plot_self_check',
    'plot_why',
    'plot_why_overview',
    'score_color',
    'seconds_text',
    'video_encoder',
    'write_annotated_video',
    'write_video',
]
