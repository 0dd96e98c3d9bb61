"""The figures of a scored test set, channel by channel.

Shape letters: F frames of one video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmvad.evaluation.functional import Detections, Regions, VideoScores, frame_auc
from mmvad.evaluation.report import auc_rows, cut, region_figures, score_figures


def channel_figures(
    scored: Mapping[str, VideoScores],
    labels: Mapping[str, np.ndarray],
    kept: Mapping[str, np.ndarray],
    channels: Sequence[str],
    chosen: str,
    tracking: bool = False,
    pad: str = 'one-class',
) -> tuple[dict[str, float | int], list[dict[str, Any]]]:
    """Frame-level figures of the channels, and a row a video of the chosen one.

    Args:
        scored: Video to its scores.
        labels: Video to labels (F,) of its kept frames, 0 normal and 1 abnormal; both occur.
        kept: Video to (F,) bool; only these videos and frames count.
        channels: The channels to report.
        chosen: The channel that gives the final score.
        tracking: Whether objects are tracked, for ``auc/micro_tracked``.
        pad: See :func:`~mmvad.evaluation.functional.frame_auc`.

    Returns:
        ``auc/...`` and ``ap/...`` of the chosen channel, the same with ``_raw`` behind their names
        without post-processing, ``auc/micro_tracked``, ``auc_<channel>/micro`` and
        ``auc_<channel>/micro_raw``, all in per cent, and ``videos_padded``; and rows of ``name``,
        ``frames``, ``abnormal_frames``, ``auc`` and ``auc_raw`` (per cent, None for one class).

    Raises:
        ValueError: See :func:`~mmvad.evaluation.functional.frame_auc`.
    """

    def of(kind: str, channel: str) -> dict[str, np.ndarray]:
        return cut({video: getattr(scored[video], kind)[channel] for video in kept}, kept)

    final, figures = score_figures(of('final', chosen), labels, pad)
    raw, plain = score_figures(of('raw', chosen), labels, pad)
    figures |= {f'{name}_raw': value for name, value in plain.items()}
    if tracking:
        figures['auc/micro_tracked'] = 100 * frame_auc(of('tracked', chosen), labels).micro
    for channel in channels:
        for kind, known, name in (('final', final, 'micro'), ('raw', raw, 'micro_raw')):
            roc = known if channel == chosen else frame_auc(of(kind, channel), labels)
            figures[f'auc_{channel}/{name}'] = 100 * roc.micro
    rows = zip(auc_rows(final.videos, labels), auc_rows(raw.videos, labels), strict=True)
    return (
        figures | dict(videos_padded=len(final.padded)),
        [dict(row, auc_raw=other['auc']) for row, other in rows],
    )


def object_figures(
    scored: Mapping[str, VideoScores],
    labels: Mapping[str, np.ndarray],
    regions: Regions,
    channel: str,
    kept: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Region figures of the objects' boxes, in per cent.

    Args:
        scored: Video to its scores, with boxes in the object tables.
        labels: Video to labels (F,), of all videos in the order in which ``regions`` number them.
        regions: Ground-truth regions.
        channel: The channel that scores the boxes.
        kept: Video to (F,) bool; only these videos and frames count.

    Returns:
        ``rbdc`` and ``tbdc`` with the scores smoothed along tracks, where objects are tracked, and
        ``rbdc_raw`` and ``tbdc_raw`` without.
    """
    tables = [scores.objects for scores in scored.values()]
    place = dict(
        videos=np.concatenate([np.full(len(t['frames']), n) for n, t in enumerate(tables)]),
        frames=np.concatenate([t['frames'] for t in tables]).astype(np.int64),
        boxes=np.concatenate([t['boxes'] for t in tables]).astype(np.float64),
    )
    figures = {}
    smoothed = [scores.smoothed for scores in scored.values()]
    for kind, parts in (('', smoothed), ('_raw', tables)):
        scores = np.concatenate([part[channel] for part in parts])
        found = Detections(scores=scores.astype(np.float64), **place)
        values = region_figures(regions, found, labels, kept)
        figures |= {f'{name}{kind}': value for name, value in values.items()}
    return figures
