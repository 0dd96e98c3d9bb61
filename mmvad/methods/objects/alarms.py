"""Above which score there is an alarm: by normal video that the scorer has not seen, so many
false ones an hour.

No label is read. Shape letters: n objects, V videos, F frames of one, S seconds of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmvad.evaluation.functional import ScorePolicy, score_video, second_peaks
from mmvad.models.scoring import TailProbability

# One second in so many, of which normal video at hand holds enough to count.
_COUNTED = (10, 100)
# Seconds, with fewer of which there is no threshold.
_LEAST = 10
# Frames of a video, ten days at 30 a second: more are of a damaged file.
_MOST = 30_000_000


@dataclass(frozen=True)
class NormalScores:
    """Scores of the objects of training videos, each by a scorer that has not seen its video.

    Args:
        owners: (n,) int32 number of the video each object is from.
        frames: (n,) int32 0-based frame, ascending in a video.
        boxes: (n, 4) float32 xyxy, pixels.
        scores: Channel to (n,) float32.
        lengths: (V,) int32, F of each video.
        rates: (V,) float32 frames a second.
        step: Of so many frames each was looked at.

    Raises:
        ValueError: If shapes differ, or numbers are none of a video, a frame or a rate.
    """

    owners: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray
    scores: Mapping[str, np.ndarray]
    lengths: np.ndarray
    rates: np.ndarray
    step: int

    def __post_init__(self) -> None:
        n, v = len(self.frames), len(self.lengths)
        shapes = dict(owners=(n,), frames=(n,), boxes=(n, 4), lengths=(v,), rates=(v,))
        arrays = {name: getattr(self, name) for name in shapes}
        arrays |= {f'scores.{name}': values for name, values in self.scores.items()}
        for name, array in arrays.items():
            if array.shape != (shape := shapes.get(name, (n,))):
                raise ValueError(f'NormalScores.{name}: expected shape {shape}, got {array.shape}')
            if not np.isfinite(array).all():
                raise ValueError(f'NormalScores.{name}: holds values that are not finite')
        if not v or not self.scores:
            raise ValueError('NormalScores: expected a video and a channel at least')
        if n and not 0 <= self.owners.min() <= self.owners.max() < v:
            raise ValueError(f'NormalScores.owners: expected numbers of {v} videos')
        if not 1 <= self.lengths.min() <= self.lengths.max() <= _MOST:
            raise ValueError(f'NormalScores.lengths: expected 1 to {_MOST} frames')
        if n and not (self.frames >= 0).all() & (self.frames < self.lengths[self.owners]).all():
            raise ValueError('NormalScores.frames: expected frames of their videos')
        if not ((self.rates > 0) & (self.rates <= 1000)).all():
            raise ValueError('NormalScores.rates: expected above 0 and at most 1000')
        if not 1 <= self.step <= self.lengths.max():
            raise ValueError('NormalScores.step: expected from 1 to the frames of a video')
        if (self.boxes[:, :2] > self.boxes[:, 2:]).any():
            raise ValueError('NormalScores.boxes: expected x1 <= x2 and y1 <= y2')

    def seconds(
        self, channel: str, policy: ScorePolicy, floors: Mapping[str, float]
    ) -> list[np.ndarray]:
        """The highest final score of each second of each video, a (S,) of each.

        Between frames that were looked at, objects stay as they are. So smoothing averages fewer
        scores than in a test, which looks at every frame: what flickers from frame to frame raises
        fewer alarms there than the threshold allows.

        Args:
            channel: Which.
            policy: What is done to scores after the model.
            floors: Channel to the score of a frame without objects.
        """
        found = []
        for video, (length, rate) in enumerate(zip(self.lengths, self.rates, strict=True)):
            rows = np.flatnonzero(self.owners == video)
            held = (self.frames[rows, None] + np.arange(self.step)).ravel()
            rows = rows.repeat(self.step)[held < length]
            held = held[held < length]
            order = held.argsort(kind='stable')
            rows, held = rows[order], held[order]
            final = score_video(
                held,
                {channel: self.scores[channel][rows]},
                int(length),
                floors,
                boxes=self.boxes[rows],
                tubes=rows,
                policy=policy,
            ).final[channel]
            found.append(second_peaks(final, float(rate)))
        return found


def alarm_threshold(seconds: np.ndarray, per_hour: float) -> float:
    """The score that normal seconds reach so many times an hour, on average.

    Where there is less normal video than an hour of it, this goes on along the tail that is fitted
    to it. Seconds that follow each other are one alarm, so there are rather fewer.

    Args:
        seconds: (S,) highest score of each.
        per_hour: False alarms, below 3600.

    Raises:
        ValueError: If there are too few seconds.
    """
    return _tail(seconds).reached(math.log(3600 / per_hour))


def normal_threshold(
    normal: NormalScores,
    channel: str,
    policy: ScorePolicy,
    floors: Mapping[str, float],
    per_hour: float,
) -> tuple[float, list[np.ndarray]]:
    """The threshold of a channel's final scores, and what it is taken of.

    Args:
        normal: Of the model file.
        channel: Which.
        policy: What is done to scores after the model.
        floors: Channel to the score of a frame without objects.
        per_hour: False alarms, below 3600.

    Returns:
        The threshold, and the highest score of each second of each video.

    Raises:
        ValueError: If there are no scores of the channel, or too few seconds.
    """
    if channel not in normal.scores:
        raise ValueError(f'meta.normal: has no scores of the channel {channel!r}')
    if normal.step > normal.rates.min():
        raise ValueError(
            f'one in {normal.step} frames of normal video was looked at, not one a second'
        )
    seconds = normal.seconds(channel, policy, floors)
    return alarm_threshold(np.concatenate(seconds), per_hour), seconds


def promised_and_found(seconds: list[np.ndarray]) -> list[dict[str, Any]]:
    """Of thresholds from all videos but one, how many seconds of that one are over.

    Args:
        seconds: Highest scores of each video's.

    Returns:
        For one second in 10 and in 100: ``one_in``, ``seconds`` (their number), ``promised`` and
        ``found`` (how many are over). Nothing where the others are too few.
    """
    found = dict.fromkeys(_COUNTED, 0)
    for number, own in enumerate(seconds):
        rest = [*seconds[:number], *seconds[number + 1 :]]
        if sum(map(len, rest)) < _LEAST:
            return []
        tail = _tail(np.concatenate(rest))
        for one_in in _COUNTED:
            found[one_in] += int((own > tail.reached(math.log(one_in))).sum())
    total = sum(map(len, seconds))
    return [
        dict(one_in=one_in, seconds=total, promised=round(total / one_in, 1), found=count)
        for one_in, count in found.items()
    ]


def _tail(seconds: np.ndarray) -> TailProbability:
    if len(seconds) < _LEAST:
        raise ValueError(
            f'{len(seconds)} s of normal video that was not seen are too few for an alarm '
            f'threshold, expected at least {_LEAST}'
        )
    tail = TailProbability()
    tail.fit(torch.from_numpy(np.asarray(seconds, np.float64)))
    return tail
