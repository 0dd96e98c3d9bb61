"""What VADMetric takes of data samples and of a dataset's metainfo.

Shape letters: n objects of one frame or video.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class FrameSample:
    """The scores of one frame, as arrays.

    Attributes:
        video: Name of the video.
        frame: 0-based number of the frame.
        scores: Channel to scores (n,) float32; of whole frames (1,).
        boxes: (n, 4) float32 xyxy, pixels, where there are any.
        tubes: Number of every object's tube in its video (n,), where they are given.
        of_objects: False where the whole frame was scored.
    """

    video: str
    frame: int
    scores: dict[str, np.ndarray]
    boxes: np.ndarray | None = None
    tubes: np.ndarray | None = None
    of_objects: bool = True

    def __str__(self) -> str:
        return f'video {self.video!r}, frame {self.frame}'

    @property
    def num_scores(self) -> int:
        """n; 1 where the whole frame was scored."""
        return len(next(iter(self.scores.values())))


def chosen_channel(score: str | None, channels: Sequence[str]) -> str:
    """The channel that gives the final score.

    Args:
        score: Its name; None: ``'all'`` if there is such a channel, else the only one.
        channels: Names of all channels.

    Raises:
        ValueError: There is no such channel, or None leaves a choice.
    """
    if score is None:
        if 'all' not in channels and len(channels) != 1:
            raise ValueError(
                "score: expected the name of a channel, since there are several and none is 'all': "
                f'{tuple(channels)}'
            )
        score = 'all' if 'all' in channels else channels[0]
    if score not in channels:
        raise ValueError(f'score: expected one of the channels {tuple(channels)}, got {score!r}')
    return score


def read_sample(sample: Mapping[str, Any], channels: Sequence[str] | None = None) -> FrameSample:
    """Check one data sample, see :class:`~mmvad.evaluation.VADMetric`, and take its arrays.

    Args:
        sample: The data sample, as a dict.
        channels: Names of the channels to take. None: all that there are, which are the keys of
            ``pred_scores``, or those of the floating-point arrays (n,) in ``pred_instances``; in
            alphabetical order.

    Raises:
        ValueError: Something is missing, a shape differs or a score is not finite; the message
            names video, frame and channel.
    """
    video, frame = _place(sample)
    where = f'video {video!r}, frame {frame}'
    kinds = [key for key in ('pred_instances', 'pred_scores') if key in sample]
    if len(kinds) != 1:
        raise ValueError(
            f'{where}: expected either pred_instances or pred_scores, found {kinds or "neither"}'
        )
    of_objects = kinds == ['pred_instances']
    values = sample[kinds[0]]
    if channels is None:
        # A data element holds its names in no order that another process would repeat.
        channels = sorted(values.keys())
        if of_objects:
            channels = [name for name in channels if _is_channel(name, values[name])]
    if not channels:
        raise ValueError(
            f'{where}: expected a channel in {kinds[0]}, a floating-point array (n,) of objects or '
            f'a number of a whole frame, found only {sorted(values.keys())}'
        )
    if missing := [channel for channel in channels if channel not in values]:
        raise ValueError(
            f'{where}: no channel {missing[0]!r} in {kinds[0]}, found {sorted(values.keys())}'
        )
    scores = {channel: _to_numpy(values[channel]) for channel in channels}
    if not of_objects:
        scores = {channel: array.reshape(-1) for channel, array in scores.items()}
    boxes = _to_numpy(values['bboxes']) if of_objects and 'bboxes' in values else None
    tubes = None
    if of_objects and 'tubes' in values:
        tubes = torch.as_tensor(values['tubes']).detach().cpu().numpy()
    _check_shapes(where, scores, boxes, tubes, of_objects)
    for channel, array in scores.items():
        if not np.isfinite(array).all():
            raise ValueError(
                f'{where}: channel {channel!r}: expected finite scores, got {array.tolist()}'
            )
    if tubes is not None and len(tubes):
        # A second object of the same number would be taken for a repetition of the first.
        if tubes.dtype.kind not in 'iu' or len(np.unique(tubes)) != len(tubes):
            raise ValueError(
                f'{where}: tubes: expected whole numbers, each once, got {tubes.tolist()}'
            )
    return FrameSample(video, frame, scores, boxes, tubes, of_objects)


def _place(sample: Mapping[str, Any]) -> tuple[str, int]:
    """Name of the video and number of the frame of a data sample."""
    if missing := [key for key in ('video', 'frame') if key not in sample]:
        raise ValueError(f'data sample: no {" and no ".join(missing)}, found {sorted(sample)}')
    try:
        return sample['video'], operator.index(sample['frame'])
    except TypeError:
        raise ValueError(
            f'video {sample["video"]!r}: frame: expected a whole number, got {sample["frame"]!r}'
        ) from None


def _is_channel(name: str, value: Any) -> bool:
    """Whether an entry of ``pred_instances`` is a channel; mmdet's labels, for one, are not."""
    if name in ('bboxes', 'tubes'):
        return False
    value = torch.as_tensor(value)
    return value.ndim == 1 and value.is_floating_point()


def _check_shapes(
    where: str,
    scores: Mapping[str, np.ndarray],
    boxes: np.ndarray | None,
    tubes: np.ndarray | None,
    of_objects: bool,
) -> None:
    """Refuse arrays of one frame that do not belong together."""
    found = {channel: array.shape for channel, array in scores.items()}
    n = next(iter(found.values()))[:1] if of_objects else (1,)
    wanted = {channel: n for channel in found}
    for name, array, shape in (('bboxes', boxes, (*n, 4)), ('tubes', tubes, n)):
        if array is not None:
            found[name], wanted[name] = array.shape, shape
    if len(n) != 1 or found != wanted:
        kinds = 'scores (n,), bboxes (n, 4) and tubes (n,)' if of_objects else 'one number each'
        raise ValueError(f'{where}: expected {kinds}, got shapes {found}')


def join_samples(
    samples: Sequence[FrameSample], videos: Sequence[str], channels: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The samples of each video, as :func:`~mmvad.evaluation.functional.score_video` takes them.

    Args:
        samples: Of all processes, in any order, repeated ones too.
        videos: Names of all videos; one without samples has no objects.
        channels: Names of the channels.

    Returns:
        Video to ``frames``, ``scores``, ``boxes``, ``tubes`` and ``of_objects``. Without any object
        in the whole set, boxes and tubes are empty arrays.

    Raises:
        ValueError: A sample's video is unknown, or samples differ in what they hold.
    """
    groups: dict[str, list[FrameSample]] = {video: [] for video in videos}
    if unknown := sorted({sample.video for sample in samples} - set(groups)):
        raise ValueError(
            f'data samples of videos that dataset_meta does not list: {", ".join(unknown)}'
        )
    of_objects = _alike(samples, 'pred_instances', lambda sample: sample.of_objects)
    for channel in channels:
        _alike([*samples], f'channel {channel!r}', lambda sample, c=channel: c in sample.scores)
    # Frames without objects need no boxes.
    full = [sample for sample in samples if sample.num_scores]
    has_boxes = _alike(full, 'bboxes', lambda sample: sample.boxes is not None)
    has_tubes = _alike(full, 'tubes', lambda sample: sample.tubes is not None)
    for sample in full:
        groups[sample.video].append(sample)
    joined = {}
    for video, group in groups.items():
        counts = [sample.num_scores for sample in group]
        joined[video] = dict(
            frames=np.repeat(np.array([sample.frame for sample in group], np.int64), counts),
            scores={
                channel: _joined([sample.scores[channel] for sample in group], np.float32)
                for channel in channels
            },
            boxes=_joined([s.boxes for s in group], np.float32, 4) if has_boxes else None,
            tubes=_joined([s.tubes for s in group], np.int64) if has_tubes else None,
            of_objects=of_objects,
        )
    return joined


def _joined(arrays: Sequence[np.ndarray], dtype: type, *shape: int) -> np.ndarray:
    """The arrays one behind the other; of none an empty one (0, *shape)."""
    return np.concatenate([np.zeros((0, *shape), dtype), *arrays]).astype(dtype)


def _alike(samples: Sequence[FrameSample], name: str, holds: Callable[[FrameSample], bool]) -> bool:
    """Whether the samples hold something, True of none; refuses that only some of them do."""
    first: dict[bool, FrameSample] = {}
    for sample in samples:
        first.setdefault(holds(sample), sample)
    if len(first) > 1:
        raise ValueError(
            f'{name}: expected in all data samples or in none, but they are in {first[True]} and '
            f'not in {first[False]}'
        )
    return next(iter(first), True)


def checked_floors(floors: Mapping[str, float], channels: Sequence[str]) -> dict[str, float]:
    """The floors of the channels, which must be finite numbers.

    Raises:
        ValueError: A channel has none; the message names it.
    """
    for channel in channels:
        if not (channel in floors and math.isfinite(floors[channel])):
            raise ValueError(
                f'floors: expected a finite number for channel {channel!r}, got {dict(floors)}'
            )
    return {channel: float(floors[channel]) for channel in channels}


def checked_meta(
    meta: Mapping[str, Any] | None,
) -> tuple[dict[str, int], int, dict[str, np.ndarray]]:
    """Videos, first scored frame and labels of a dataset; labels only of the dataset's videos.

    Args:
        meta: Metainfo of the dataset: ``videos``, ``first_scored`` (missing: 0), ``labels``
            (missing, None or empty: there are none).

    Raises:
        ValueError: Something is missing or of another kind; the message names the key.
    """
    meta = meta or {}
    if 'videos' not in meta:
        raise ValueError(f'dataset_meta: missing videos, found {sorted(meta)}')
    videos, first_scored, labels = meta['videos'], meta.get('first_scored', 0), meta.get('labels')
    if not isinstance(videos, Mapping) or not videos:
        raise ValueError(f'dataset_meta.videos: expected name to number of frames, got {videos!r}')
    if not isinstance(first_scored, int) or first_scored < 0:
        raise ValueError(
            f'dataset_meta.first_scored: expected a frame number from 0 up, got {first_scored!r}'
        )
    if not labels:
        return dict(videos), first_scored, {}
    if missing := sorted(set(videos) - set(labels)):
        raise ValueError(f'dataset_meta.labels: no labels of {", ".join(missing)}')
    return dict(videos), first_scored, {video: np.asarray(labels[video]) for video in videos}


def _to_numpy(values: Any) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().float().numpy()
