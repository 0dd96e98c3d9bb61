"""From what a method scores in one video, objects or whole frames, to the video's final scores.

Shape letters: n objects of one video (or n scored frames of it), F frames of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mmvad.evaluation.functional.postprocess import build_smoother, frame_scores, min_max
from mmvad.evaluation.functional.tracks import link_objects, smooth_along_tracks

# Columns of an object table beside the channels, which therefore have other names.
TABLE_COLUMNS = ('frames', 'boxes', 'tubes', 'tracks')


@dataclass(frozen=True)
class VideoScores:
    """The scores of one video, step by step. A channel is one kind of score.

    Attributes:
        raw: Channel to scores (F,) float32 without any post-processing.
        tracked: Channel to scores (F,) float32 of objects smoothed along their tracks, not smoothed
            over frames; ``raw`` itself without tracking.
        final: Channel to scores (F,) float32 after all post-processing.
        objects: The object table: ``frames`` (n,) int32 ascending, ``boxes`` (n, 4) float32 xyxy
            pixels and ``tubes`` (n,) int32 where they were given, ``tracks`` (n,) int32 with
            tracking, and one float32 array (n,) of unsmoothed scores a channel. None where whole
            frames were scored.
        smoothed: Channel to the objects' scores (n,) smoothed along their tracks, float64; without
            tracking those of ``objects``. None where whole frames were scored.
    """

    raw: dict[str, np.ndarray]
    tracked: dict[str, np.ndarray]
    final: dict[str, np.ndarray]
    objects: dict[str, np.ndarray] | None = None
    smoothed: dict[str, np.ndarray] | None = None


class ScorePolicy:
    """What is done to scores after the model; built once from config values, for all videos.

    Args:
        smoothing: Of the frames' scores, see
            :func:`~mmvad.evaluation.functional.build_smoother`; None leaves them as they are.
        tracking: ``dict(sigma=frames)``, and if need be ``min_iou``, ``max_gap``, ``causal`` and
            ``prior``: the objects' scores are smoothed along their tracks before the maximum over
            a frame's objects is taken (see
            :func:`~mmvad.evaluation.functional.link_objects` and
            :func:`~mmvad.evaluation.functional.smooth_along_tracks`). None takes them as they are.
        per_video_min_max: Bring each video's scores to 0 ... 1 after smoothing.

    Attributes:
        tracking (bool): Whether objects are tracked.
        smooth: The function of one video's scores (F,) that smooths them over frames and brings
            them to 0 ... 1 if asked.
        link: The function of frames (n,) and boxes (n, 4) that numbers the tracks (n,); None
            without tracking.
        smooth_tracks: The function of frames (n,), tracks (n,) and scores (n,) that smooths the
            scores; None without tracking.

    Raises:
        ValueError: ``smoothing`` or ``tracking`` has unknown or missing keys or values out of
            range; the message names the key.
    """

    def __init__(
        self,
        smoothing: Mapping | Sequence[Mapping] | None = None,
        tracking: Mapping | None = None,
        per_video_min_max: bool = False,
    ) -> None:
        smooth = build_smoother(smoothing)
        self.smooth = (lambda scores: min_max(smooth(scores))) if per_video_min_max else smooth
        self.link, self.smooth_tracks = _build_tracking(tracking)
        self.tracking = tracking is not None


def score_video(
    frames: np.ndarray,
    scores: Mapping[str, np.ndarray],
    num_frames: int,
    floors: Mapping[str, float],
    first_scored: int = 0,
    boxes: np.ndarray | None = None,
    tubes: np.ndarray | None = None,
    of_objects: bool = True,
    policy: ScorePolicy | None = None,
) -> VideoScores:
    """Turn the scored objects of one video, or its scored frames, into its final scores.

    A frame's score is the highest of its objects', a frame without objects takes the floor, and
    the first ``first_scored`` frames take the score of frame ``first_scored``. What is given twice
    counts once, with the higher score: objects of the same frame and tube number or, without
    tubes, of the same frame and box. With neither they cannot be told apart, and all stay in the
    table.

    Args:
        frames: 0-based frame of every object or scored frame (n,), in any order.
        scores: Channel to scores (n,), higher is more abnormal.
        num_frames: Length F of the video in frames.
        floors: Channel to the score of a frame that has none of its own: the lowest seen in
            training or, where training gives none, :func:`lowest_scores`.
        first_scored: 0-based number of the first frame that can be scored, for a method that needs
            frames before the one it scores.
        boxes: (n, 4) xyxy, pixels; needed for tracking only.
        tubes: Number of every object's tube in its video (n,), whole numbers, each at most once a
            frame; they order the objects of a frame.
        of_objects: False where ``scores`` are of whole frames: there is no object table then.
        policy: The post-processing; None does none.

    Raises:
        ValueError: Shapes differ, a score is not finite, a frame lies outside
            ``first_scored`` ... F - 1, a channel has no floor or the name of a column, or a box
            cannot be tracked.
    """
    policy = policy or ScorePolicy()
    if taken := sorted(set(scores) & set(TABLE_COLUMNS)):
        raise ValueError(f'channels: {taken} name columns of the object table, expected others')
    if missing := [channel for channel in scores if channel not in floors]:
        raise ValueError(f'floors: no floor of the channels {missing}, got {sorted(floors)}')
    if policy.tracking and boxes is None:
        raise ValueError('tracking: expected the boxes of the objects, got none')
    table = _object_table(frames, scores, boxes, tubes)
    smoothed = {channel: table[channel] for channel in scores}

    def over_frames(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Rounded as files are, so that scores that are read back give the same figures.
        return {
            channel: frame_scores(
                table['frames'], values[channel], num_frames, first_scored, floors[channel]
            ).astype(np.float32)
            for channel in scores
        }

    raw = tracked = over_frames(smoothed)
    if policy.tracking:
        table['tracks'] = policy.link(table['frames'], table['boxes']).astype(np.int32)
        smoothed = {
            channel: policy.smooth_tracks(table['frames'], table['tracks'], table[channel])
            for channel in scores
        }
        tracked = over_frames(smoothed)
    return VideoScores(
        raw=raw,
        tracked=tracked,
        final={c: policy.smooth(values).astype(np.float32) for c, values in tracked.items()},
        objects=table if of_objects else None,
        smoothed=smoothed if of_objects else None,
    )


def lowest_scores(videos: Iterable[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """The lowest score of each channel over several videos.

    It stands in for a floor from training. Frames without objects are then as normal as the most
    normal object of these very videos, which a stream cannot know.

    Args:
        videos: Of each video, channel to scores (n,); the same channels in all.

    Returns:
        Channel to score; empty when no video holds any.
    """
    lowest: dict[str, float] = {}
    for scores in videos:
        for channel, values in scores.items():
            if len(values):
                low = float(np.min(values))
                lowest[channel] = min(low, lowest.get(channel, low))
    return lowest


def _object_table(
    frames: np.ndarray,
    scores: Mapping[str, np.ndarray],
    boxes: np.ndarray | None,
    tubes: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """The objects, each once, by frame and then by tube or box; float32 scores, without tracks."""
    frames = np.asarray(frames)
    count = len(frames)
    columns = {channel: np.asarray(values, np.float32) for channel, values in scores.items()}
    shapes = {channel: (values.shape, (count,)) for channel, values in columns.items()}
    shapes['frames'] = frames.shape, (count,)
    if boxes is not None:
        boxes = np.asarray(boxes, np.float32)
        shapes['boxes'] = boxes.shape, (count, 4)
    if tubes is not None:
        tubes = np.asarray(tubes)
        shapes['tubes'] = tubes.shape, (count,)
    for name, (found, wanted) in shapes.items():
        if found != wanted:
            raise ValueError(f'{name}: expected shape {wanted} for {count} frames, got {found}')
    for name, numbers in (('frames', frames), ('tubes', tubes)):
        # An empty list is an array of floats.
        if numbers is None or not count:
            continue
        if numbers.dtype.kind not in 'iu' or (numbers != numbers.astype(np.int32)).any():
            raise ValueError(f'{name}: expected whole numbers of 32 bits, got {numbers}')
    for channel, values in columns.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(
                f'channel {channel!r}: expected finite scores, got {values[bad[0]]} in frame '
                f'{frames[bad[0]]}'
            )

    if tubes is None and boxes is None:
        first = np.argsort(frames, kind='stable')
        merged = {channel: values[first] for channel, values in columns.items()}
    else:
        # What a distributed sampler hands out twice may be rounded in another way the second time,
        # so objects are not told apart by their scores.
        keys = np.column_stack([frames, boxes if tubes is None else tubes])
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        merged = {}
        for channel, values in columns.items():
            merged[channel] = np.full(len(first), -np.inf, np.float32)
            np.maximum.at(merged[channel], inverse.ravel(), values)  # numpy 2.0 gives (n, 1).
    places = dict(frames=frames[first].astype(np.int32))
    if boxes is not None:
        places['boxes'] = boxes[first]
    if tubes is not None:
        places['tubes'] = tubes[first].astype(np.int32)
    return {**places, **merged}


def _build_tracking(tracking: Mapping | None) -> tuple[Callable | None, Callable | None]:
    """The functions that link objects and smooth scores as a config says; None for no tracking."""
    if tracking is None:
        return None, None
    smoothing, linking = {'sigma', 'causal', 'prior'}, {'min_iou', 'max_gap'}
    if 'sigma' not in tracking or set(tracking) - smoothing - linking:
        raise ValueError(
            'tracking: expected the key sigma (in frames) and, if need be, min_iou, max_gap, '
            f'causal and prior, got {sorted(tracking)}'
        )
    link = partial(link_objects, **{key: tracking[key] for key in tracking.keys() & linking})
    smooth = partial(
        smooth_along_tracks, **{key: tracking[key] for key in tracking.keys() & smoothing}
    )
    # A video without objects tells now, and not after the test, if the values are valid.
    none = np.zeros(0)
    try:
        smooth(none, link(none, np.zeros((0, 4))), none)
    except ValueError as error:
        raise ValueError(f'tracking.{error}') from error
    return link, smooth
