"""From frame scores and ground truth to figures, with a statement of what was done.

Shape letters: F frames of one video.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmvad.evaluation.functional import (
    AveragePrecision,
    Detections,
    FrameAUC,
    Regions,
    ScorePolicy,
    average_precision,
    frame_auc,
    group_aucs,
    kept_frames,
    region_track_auc,
)

Scores = Mapping[str, np.ndarray]


def check_scores(scores: Scores, labels: Scores) -> dict[str, np.ndarray]:
    """Scores as float64, after checks against the ground truth; nothing is cut or padded.

    Args:
        scores: Video to scores (F,).
        labels: Video to labels (F,).

    Raises:
        ValueError: If a video is missing or too much, a length differs, or a score is not a finite
            number; the message names the video and the numbers.
    """
    if missing := sorted(set(labels) - set(scores)):
        raise ValueError(f'no scores of {len(missing)} of {len(labels)} videos: {missing[:5]}')
    if extra := sorted(set(scores) - set(labels)):
        raise ValueError(f'scores of {len(extra)} videos without labels: {extra[:5]}')
    checked = {}
    for video, label in labels.items():
        array = np.asarray(scores[video])
        if array.dtype.kind not in 'fiu':
            raise ValueError(f'video {video!r}: expected numbers as scores, got {array.dtype}')
        if array.shape != (len(label),):
            raise ValueError(
                f'video {video!r}: expected {len(label)} scores, one a frame, got an array of '
                f'shape {array.shape}'
            )
        bad = np.flatnonzero(~np.isfinite(array))
        if len(bad):
            raise ValueError(
                f'video {video!r}: {len(bad)} of {len(array)} scores are not finite, the first is '
                f'{array[bad[0]]} in frame {bad[0]}'
            )
        checked[video] = array.astype(np.float64)
    return checked


def postprocess(
    scores: Scores, smoothing: Mapping | None = None, per_video_min_max: bool = False
) -> dict[str, np.ndarray]:
    """Smooth every video's scores, then bring them to 0 ... 1 if asked.

    Args:
        scores: Video to scores (F,).
        smoothing: See :func:`~mmvad.evaluation.functional.build_smoother`.
        per_video_min_max: See :func:`~mmvad.evaluation.functional.min_max`.
    """
    policy = ScorePolicy(smoothing, per_video_min_max=per_video_min_max)
    return {video: policy.smooth(array) for video, array in scores.items()}


def cut(arrays: Scores, kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The kept frames of each video's array.

    Args:
        arrays: Video to array (F,), of all videos in ``kept`` at least. One of another length is
            left whole, for :func:`~mmvad.evaluation.functional.frame_auc` to refuse by its name.
        kept: Video to (F,) bool, see :func:`~mmvad.evaluation.functional.kept_frames`.
    """
    return {
        video: arrays[video][keep] if len(arrays[video]) == len(keep) else arrays[video]
        for video, keep in kept.items()
    }


def score_figures(scores: Scores, labels: Scores) -> tuple[FrameAUC, dict[str, float]]:
    """The ROC of a test set, and all frame-level figures of :func:`frame_figures`.

    Args:
        scores: Video to scores (F,).
        labels: Video to labels (F,) of the same videos.

    Raises:
        ValueError: See :func:`~mmvad.evaluation.functional.frame_auc`.
    """
    roc = frame_auc(scores, labels)
    return roc, frame_figures(roc, average_precision(scores, labels))


def frame_figures(roc: FrameAUC, precision: AveragePrecision) -> dict[str, float]:
    """All frame-level figures, in per cent.

    ``auc/micro``, ``auc/macro`` (one-class videos padded), ``auc/macro_skipped`` (left out; absent
    when every video is of one class), ``auc/eer``, ``ap/step``, ``ap/trapezoid``.
    """
    figures = {
        'auc/micro': roc.micro,
        'auc/macro': roc.macro,
        'auc/macro_skipped': roc.macro_skipped,
        'auc/eer': roc.eer,
        'ap/step': precision.step,
        'ap/trapezoid': precision.trapezoid,
    }
    return {name: 100 * value for name, value in figures.items() if np.isfinite(value)}


def auc_rows(aucs: Mapping[str, float], labels: Scores) -> list[dict[str, Any]]:
    """A row a video or scene: name, frames, abnormal frames, AUC (per cent; None for one class)."""
    return [
        dict(
            name=name,
            frames=len(label),
            abnormal_frames=int(label.sum()),
            auc=100 * aucs[name] if name in aucs else None,
        )
        for name, label in labels.items()
    ]


def evaluate(
    scores: Scores,
    labels: Scores,
    smoothing: Mapping | None = None,
    per_video_min_max: bool = False,
    subset: str | None = None,
    scenes: Mapping[str, str] | None = None,
    regions: Regions | None = None,
    detections: Detections | None = None,
) -> dict[str, Any]:
    """Evaluate the scores of a test set.

    Post-processing runs on whole videos, before a subset is taken. Region figures know no
    post-processing of frame scores: they are of the boxes' own scores.

    Args:
        scores: Video to scores (F,), higher is more abnormal.
        labels: Video to labels (F,), 0 normal and 1 abnormal.
        smoothing: See :func:`postprocess`.
        per_video_min_max: See :func:`postprocess`.
        subset: Name of a subset of the test set.
        scenes: Video to scene, for a table by scene.
        regions: Ground-truth regions; ``videos`` number the videos in the order of ``labels``.
        detections: Scored boxes, likewise.

    Returns:
        ``protocol`` (what was done), ``raw`` and ``processed`` (figures in per cent; the latter
        None without post-processing), ``regions`` (``rbdc`` and ``tbdc`` in per cent, or None),
        ``videos`` and ``scenes`` (rows with frames, abnormal frames and AUC, None for one class).
    """
    scores = check_scores(scores, labels)
    changed = smoothing is not None or per_video_min_max
    kept = kept_frames(subset, {video: len(label) for video, label in labels.items()})
    raw = cut(scores, kept)
    truth = cut({video: np.asarray(label) for video, label in labels.items()}, kept)
    final = cut(postprocess(scores, smoothing, per_video_min_max), kept) if changed else raw
    roc, figures = score_figures(final, truth)
    report: dict[str, Any] = dict(
        protocol=dict(
            videos=len(truth),
            frames=sum(map(len, truth.values())),
            abnormal_frames=int(sum(label.sum() for label in truth.values())),
            subset=subset,
            smoothing=None if smoothing is None else dict(smoothing),
            per_video_min_max=per_video_min_max,
        ),
        raw=score_figures(raw, truth)[1] if changed else figures,
        processed=figures if changed else None,
        regions=None,
        videos=auc_rows(roc.videos, truth),
        scenes=[],
    )
    if scenes:
        groups: dict[str, list[str]] = {}
        for video in truth:
            groups.setdefault(scenes.get(video, ''), []).append(video)
        # A scene is one ROC over all of its videos' frames.
        joined, joined_truth = (
            {scene: np.concatenate([part[v] for v in group]) for scene, group in groups.items()}
            for part in (final, truth)
        )
        report['scenes'] = auc_rows(group_aucs(joined, joined_truth), joined_truth)
    if regions is not None and detections is not None:
        report['regions'] = region_figures(regions, detections, labels, subset)
    return report


def region_figures(
    regions: Regions, detections: Detections, labels: Scores, subset: str | None = None
) -> dict[str, float]:
    """``rbdc`` and ``tbdc`` in per cent; arguments as for :func:`evaluate`."""
    lengths = {video: len(label) for video, label in labels.items()}
    kept = kept_frames(subset, lengths)
    masks = [kept.get(video, np.zeros(length, bool)) for video, length in lengths.items()]
    found = region_track_auc(
        _within(regions, masks), _within(detections, masks), sum(int(m.sum()) for m in masks)
    )
    return dict(rbdc=100 * found.rbdc, tbdc=100 * found.tbdc)


def _within(items: Regions | Detections, masks: list[np.ndarray]) -> Any:
    """Those regions or detections that lie in frames which are kept."""
    for video in np.unique(items.videos):
        if not 0 <= video < len(masks):
            raise ValueError(f'boxes of video number {video}, but there are {len(masks)} videos')
    keep = np.zeros(len(items.frames), bool)
    for video, mask in enumerate(masks):
        rows = items.videos == video
        frames = items.frames[rows]
        if len(frames) and frames.max() >= len(mask):
            raise ValueError(
                f'video number {video}: a box in frame {frames.max()}, but it has {len(mask)} '
                'frames'
            )
        keep[rows] = mask[frames]
    return type(items)(**{name: value[keep] for name, value in vars(items).items()})


def fuse(score_sets: Mapping[str, Scores], weights: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Weighted sum of several score sets, each as it is: bring them to one scale first.

    Args:
        score_sets: Name to scores of every video.
        weights: Name to weight, for the sets that take part.

    Raises:
        ValueError: If a weight names no score set, or the sets differ in videos or lengths.
    """
    if unknown := sorted(set(weights) - set(score_sets)):
        raise ValueError(f'fusion: no score sets named {unknown}; there are {sorted(score_sets)}')
    first, *others = weights
    total = {video: weights[first] * np.asarray(v, float) for video, v in score_sets[first].items()}
    for name in others:
        if set(score_sets[name]) != set(total):
            raise ValueError(f'fusion: {name} and {first} hold scores of different videos')
        for video, array in score_sets[name].items():
            if len(array) != len(total[video]):
                raise ValueError(
                    f'fusion: video {video!r} has {len(total[video])} scores in {first} and '
                    f'{len(array)} in {name}'
                )
            total[video] = total[video] + weights[name] * np.asarray(array, float)
    return total
