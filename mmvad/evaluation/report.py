"""From frame scores and ground truth to figures, with a statement of what was done.

Shape letters: F frames of one video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    psnr,
    region_track_auc,
)

Scores = Mapping[str, np.ndarray]


def check_scores(
    scores: Scores, labels: Scores, cut_leading: int = 0, clip_infinite: bool = False
) -> dict[str, np.ndarray]:
    """Scores as float64, after checks against the ground truth; nothing is cut or padded.

    Args:
        scores: Video to scores (F,).
        labels: Video to labels (F,).
        cut_leading: Number of each video's first frames that do not count, whatever their score.
        clip_infinite: Scores of minus infinity and infinity, of frames that a method could not
            score, become the lowest and highest number of the whole test set.

    Raises:
        ValueError: If a video is missing or too much, a length differs, no frame of a video counts,
            or a score is not a finite number; the message names the video and the numbers.
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
        if len(label) <= cut_leading:
            raise ValueError(
                f'video {video!r}: {len(label)} frames, of which the first {cut_leading} are cut: '
                'none is left'
            )
        fine = ~np.isnan(array) if clip_infinite else np.isfinite(array)
        bad = cut_leading + np.flatnonzero(~fine[cut_leading:])
        if len(bad):
            raise ValueError(
                f'video {video!r}: {len(bad)} of {len(array)} scores are not finite, the first is '
                f'{array[bad[0]]} in frame {bad[0]}'
            )
        checked[video] = array.astype(np.float64)
    return _clipped(checked) if clip_infinite else checked


def _clipped(scores: Scores) -> dict[str, np.ndarray]:
    """Infinite scores replaced by the lowest and highest finite one of all videos."""
    every = np.concatenate([*scores.values()])
    if not len(finite := every[np.isfinite(every)]):
        raise ValueError('no score of the test set is finite')
    low, high = finite.min(), finite.max()
    return {
        video: np.where(np.isneginf(array), low, np.where(np.isposinf(array), high, array))
        for video, array in scores.items()
    }


def postprocess(
    scores: Scores,
    smoothing: Mapping | Sequence[Mapping] | None = None,
    per_video_min_max: bool = False,
    cut_leading: int = 0,
    errors: bool = False,
) -> dict[str, np.ndarray]:
    """Smooth every video's scores, then bring them to 0 ... 1 if asked.

    Args:
        scores: Video to scores (F,).
        smoothing: See :func:`~mmvad.evaluation.functional.build_smoother`.
        per_video_min_max: See :func:`~mmvad.evaluation.functional.min_max`.
        cut_leading: Number of first frames that take no part, as if the video began after them.
            Their scores come out as NaN.
        errors: The scores are mean squared errors of frames whose values are 0 to 1. In their place
            goes the negative peak signal-to-noise ratio, see
            :func:`~mmvad.evaluation.functional.psnr`.

    Raises:
        ValueError: If ``smoothing`` is off, or an error is not above 0; the message names it.
    """
    policy = ScorePolicy(smoothing, per_video_min_max=per_video_min_max)
    done = {}
    for video, array in scores.items():
        rest = array[cut_leading:]
        if errors:
            try:
                rest = -psnr(rest)
            except ValueError as error:
                raise ValueError(f'video {video!r}, from frame {cut_leading}: {error}') from error
        done[video] = np.concatenate([np.full(cut_leading, np.nan), policy.smooth(rest)])
    return done


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


def score_figures(
    scores: Scores,
    labels: Scores,
    pad: str = 'one-class',
    pad_scores: tuple[float, float] | None = None,
) -> tuple[FrameAUC, dict[str, float]]:
    """The ROC of a test set, and all frame-level figures of :func:`frame_figures`.

    Args:
        scores: Video to scores (F,).
        labels: Video to labels (F,) of the same videos.
        pad, pad_scores: See :func:`~mmvad.evaluation.functional.frame_auc`.

    Raises:
        ValueError: See :func:`~mmvad.evaluation.functional.frame_auc`.
    """
    roc = frame_auc(scores, labels, pad, pad_scores)
    return roc, frame_figures(roc, average_precision(scores, labels))


def frame_figures(roc: FrameAUC, precision: AveragePrecision) -> dict[str, float]:
    """All frame-level figures, in per cent.

    ``auc/micro``, ``auc/macro`` (videos padded as was asked for), ``auc/macro_skipped`` (one-class
    videos left out; absent when every video is of one class), ``auc/eer``, ``ap/step``,
    ``ap/trapezoid``.
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
    smoothing: Mapping | Sequence[Mapping] | None = None,
    per_video_min_max: bool = False,
    cut_leading: int = 0,
    errors: bool = False,
    clip_infinite: bool = False,
    pad: str = 'one-class',
    pad_scores: tuple[float, float] | None = None,
    subset: str | None = None,
    scenes: Mapping[str, str] | None = None,
    regions: Regions | None = None,
    detections: Detections | None = None,
) -> dict[str, Any]:
    """Evaluate the scores of a test set.

    First frames are cut, then post-processing runs on what is left of the whole videos, then a
    subset is taken. Region figures know no post-processing of frame scores: they are of the boxes'
    own scores. :data:`~mmvad.evaluation.functional.PROTOCOLS` has the arguments of peers.

    Args:
        scores: Video to scores (F,), higher is more abnormal.
        labels: Video to labels (F,), 0 normal and 1 abnormal.
        smoothing, per_video_min_max, cut_leading, errors: See :func:`postprocess`.
        clip_infinite: See :func:`check_scores`.
        pad, pad_scores: See :func:`~mmvad.evaluation.functional.frame_auc`.
        subset: Name of a subset of the test set.
        scenes: Video to scene, for a table by scene.
        regions: Ground-truth regions; ``videos`` number the videos in the order of ``labels``.
        detections: Scored boxes, likewise.

    Returns:
        ``protocol`` (what was done), ``raw`` and ``processed`` (figures in per cent; the latter
        None without post-processing), ``regions`` (``rbdc`` and ``tbdc`` in per cent, or None),
        ``videos`` and ``scenes`` (rows with frames, abnormal frames and AUC, None for one class).
    """
    scores = check_scores(scores, labels, cut_leading, clip_infinite)
    changed = smoothing is not None or per_video_min_max or errors
    kept = kept_frames(subset, {video: len(label) for video, label in labels.items()})
    for keep in kept.values():
        keep[:cut_leading] = False
    raw = cut(scores, kept)
    truth = cut({video: np.asarray(label) for video, label in labels.items()}, kept)
    final = raw
    if changed:
        done = postprocess(scores, smoothing, per_video_min_max, cut_leading, errors)
        final = cut(done, kept)
    roc, figures = score_figures(final, truth, pad, pad_scores)
    report: dict[str, Any] = dict(
        protocol=dict(
            videos=len(truth),
            frames=sum(map(len, truth.values())),
            abnormal_frames=int(sum(label.sum() for label in truth.values())),
            subset=subset,
            cut_leading=cut_leading,
            errors=errors,
            clip_infinite=clip_infinite,
            smoothing=smoothing,
            per_video_min_max=per_video_min_max,
            pad=pad,
            pad_scores=pad_scores,
        ),
        raw=score_figures(raw, truth, pad, pad_scores)[1] if changed else figures,
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
        report['regions'] = region_figures(regions, detections, labels, kept)
    return report


def region_figures(
    regions: Regions, detections: Detections, labels: Scores, kept: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """``rbdc`` and ``tbdc`` in per cent.

    Args:
        regions, detections, labels: As for :func:`evaluate`.
        kept: Video to (F,) bool; only these videos and frames count.
    """
    masks = [kept.get(video, np.zeros(len(label), bool)) for video, label in labels.items()]
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
