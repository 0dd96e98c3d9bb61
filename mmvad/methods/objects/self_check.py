"""What would be found: anomalies that were made, against normal video that the scorer has not seen.

No label is read. Shape letters: n objects, F frames, B resamples.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mmvad.datasets import MeasuredFrames
from mmvad.models import ObjectScorer
from mmvad.models.scoring import TailProbability, damped

from .altered import UNALTERED

_FOLDS = 3
_RESAMPLES = 200
# An AUC's gain below which the lack of a term is chance.
_LEAST_GAIN = 0.01


@dataclass(frozen=True)
class Check:
    """Surprisals of normal and of altered frames, each by a scorer that has not seen their video.

    Args:
        terms: Term to surprisals (n,), of the objects of all frames, as they count in a sum.
        frames: (n,) which of the F frames each is in.
        videos: (F,) number of the video of each frame.
        kinds: (F,) what was done to it.
    """

    terms: Mapping[str, np.ndarray]
    frames: np.ndarray
    videos: np.ndarray
    kinds: np.ndarray

    @cached_property
    def names(self) -> list[str]:
        """Of the kinds that were made."""
        return sorted(set(self.kinds.tolist()) - {UNALTERED})

    def frame_scores(self, weights: Mapping[str, float]) -> np.ndarray:
        """(F,) the highest weighted sum of a frame's objects; 0 without any."""
        total = sum(weight * self.terms[name] for name, weight in weights.items() if weight)
        scores = np.zeros(len(self.videos))
        np.maximum.at(scores, self.frames, total)
        return scores

    def aucs(self, scores: np.ndarray, chosen: np.ndarray | None = None) -> dict[str, float]:
        """Kind to AUC of altered against normal frames, in [0, 1].

        Args:
            scores: (F,).
            chosen: Numbers of the frames that count, each as often as it is there; None: all.
        """
        kinds = self.kinds if chosen is None else self.kinds[chosen]
        scores = scores if chosen is None else scores[chosen]
        normal = scores[kinds == UNALTERED]
        found = {}
        for name in self.names:
            altered = scores[kinds == name]
            if len(altered) and len(normal):
                labels = np.repeat([0, 1], [len(normal), len(altered)])
                found[name] = float(roc_auc_score(labels, np.concatenate([normal, altered])))
        return found

    def figure(self, weights: Mapping[str, float]) -> float:
        """Mean of the kinds' AUCs: what weights are chosen by."""
        return float(np.mean(list(self.aucs(self.frame_scores(weights)).values())))

    def choose(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Which terms count: one after the other is left out (weight 0) whose absence lifts the
        :meth:`figure` most, as long as that is by a point at least."""
        chosen, best = dict(weights), self.figure(weights)
        while len(counting := [name for name, weight in chosen.items() if weight]) > 1:
            tried = {name: self.figure(dict(chosen, **{name: 0.0})) for name in counting}
            name = max(tried, key=tried.get)
            if tried[name] < best + _LEAST_GAIN:
                break
            chosen[name], best = 0.0, tried[name]
        return chosen

    def table(
        self, weights: Mapping[str, float], rarities: Mapping[str, float]
    ) -> dict[str, dict[str, float]]:
        """What would be found of each kind.

        Args:
            weights: Of the terms.
            rarities: Name to the surprisal of a normal frame from which there is an alarm.

        Returns:
            Kind to ``auc`` and, by the names of ``rarities``, the share of its frames that raise an
            alarm, in per cent, each with the bounds of a 95 % interval over videos (``auc_low``,
            ``auc_high``), and ``frames``, their number.
        """
        scores = self.frame_scores(weights)
        tail = TailProbability()
        tail.fit(torch.from_numpy(scores[self.kinds == UNALTERED]))
        rare = tail(torch.from_numpy(scores)).numpy()

        def figures(rows: np.ndarray) -> dict[str, dict[str, float]]:
            shares = {key: self._shares(rare > least, rows) for key, least in rarities.items()}
            return dict(auc=self.aucs(scores, rows), **shares)

        found = figures(np.arange(len(scores)))
        resampled = [figures(rows) for rows in self._resamples()]
        table = {}
        for name in self.names:
            row = dict(frames=int((self.kinds == name).sum()))
            for key, values in found.items():
                spread = [part[key][name] for part in resampled if name in part[key]]
                low, high = np.percentile(spread, (2.5, 97.5)) if spread else (0.0, 1.0)
                for suffix, number in (('', values[name]), ('_low', low), ('_high', high)):
                    row[key + suffix] = round(100 * float(number), 1)
            table[name] = row
        return table

    def _shares(self, alarm: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        kinds = self.kinds[rows]
        return {
            name: float(alarm[rows][kinds == name].mean())
            for name in self.names
            if (kinds == name).any()
        }

    def _resamples(self) -> Iterator[np.ndarray]:
        """Numbers of the frames of videos drawn with replacement; of parts of a single video."""
        owners = self.videos
        if len(np.unique(owners)) == 1:
            owners = np.zeros(len(self.kinds), int)
            for name in np.unique(self.kinds):
                rows = np.flatnonzero(self.kinds == name)
                owners[rows] = np.arange(len(rows)) * 10 // len(rows)
        members = [np.flatnonzero(owners == owner) for owner in np.unique(owners)]
        rng = np.random.default_rng(0)
        for _ in range(_RESAMPLES):
            drawn = rng.integers(0, len(members), len(members))
            yield np.concatenate([members[i] for i in drawn])


def check_scorer(
    scorer: ObjectScorer, normal: MeasuredFrames, altered: MeasuredFrames, kinds: np.ndarray
) -> Check:
    """Score normal and altered frames by scorers that are fitted without their part of the videos.

    Args:
        scorer: Its settings are taken; it is left as it is.
        normal: Training frames as they are, video by video in the order of time, whose
            measurements are the quantities that terms look at.
        altered: Frames of the same videos in which something was made to go wrong.
        kinds: (F,) what was done to the latter.

    Raises:
        ValueError: If there are too few objects to fit.
    """
    unaltered = np.full(len(normal.videos), UNALTERED)
    folds = _folds(normal.videos, normal.held_out)
    altered_folds = _nearest_fold(normal, folds, altered)
    parts = []
    for fold, fitted in _fitted_without(scorer, normal, folds):
        for these, own, done in (
            (normal, folds, unaltered),
            (altered, altered_folds, kinds),
        ):
            chosen = own == fold
            rows = chosen[these.frames]
            found = fitted(_rows(these.measurements, rows))
            parts.append(
                (
                    {name: damped(found[name]).numpy() for name in scorer.terms},
                    (np.cumsum(chosen) - 1)[these.frames[rows]],
                    these.videos[chosen],
                    done[chosen],
                )
            )
    starts = np.cumsum([0, *(len(videos) for _, _, videos, _ in parts)])
    return Check(
        {name: np.concatenate([terms[name] for terms, *_ in parts]) for name in scorer.terms},
        np.concatenate([part[1] + at for part, at in zip(parts, starts, strict=False)]),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([part[3] for part in parts]),
    )


def unseen_scores(scorer: ObjectScorer, normal: MeasuredFrames) -> dict[str, np.ndarray]:
    """Scores of normal objects by scorers that are fitted without their part of the videos.

    Args:
        scorer, normal: See :func:`check_scorer`.

    Returns:
        Channel to (n,) float32.
    """
    folds = _folds(normal.videos, normal.held_out)
    scores = {name: np.zeros(len(normal.frames), np.float32) for name in scorer.channels}
    for fold, fitted in _fitted_without(scorer, normal, folds):
        rows = folds[normal.frames] == fold
        for name, found in fitted(_rows(normal.measurements, rows)).items():
            scores[name][rows] = found.numpy()
    return scores


def _fitted_without(
    scorer: ObjectScorer, normal: MeasuredFrames, folds: np.ndarray
) -> Iterator[tuple[int, ObjectScorer]]:
    """Each fold of normal frames (F,), and a copy of the scorer that is fitted on the others."""
    for fold in np.unique(folds):
        fitted = copy.deepcopy(scorer).cpu()
        rest = folds[normal.frames] != fold
        fitted.fit(
            _rows(normal.measurements, rest),
            torch.from_numpy(normal.videos[normal.frames][rest]),
            torch.from_numpy(normal.held_out[normal.frames][rest]),
        )
        yield int(fold), fitted


def alarm_rarity(per_hour: float, frame_rate: float) -> float:
    """The surprisal that normal frames reach so many times an hour.

    Args:
        per_hour: False alarms an hour.
        frame_rate: Frames a second.
    """
    return math.log(3600 * frame_rate / per_hour)


def _rows(values: Mapping[str, Tensor], rows: np.ndarray) -> dict[str, Tensor]:
    return {name: value[torch.from_numpy(rows)] for name, value in values.items()}


def _folds(videos: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """(F,) in which fold each frame is: whole videos, those that are held out spread over the
    folds; where there are fewer of either sort than folds, parts of them in the order of time."""
    folds = np.zeros(len(videos), int)
    for mark in (False, True):
        rows = np.flatnonzero(held_out == mark)
        names = np.unique(videos[rows])
        if len(names) >= _FOLDS:
            folds[rows] = np.searchsorted(names, videos[rows]) % _FOLDS
        else:
            folds[rows] = np.arange(len(rows)) * _FOLDS // max(1, len(rows))
    return folds


def _nearest_fold(normal: MeasuredFrames, folds: np.ndarray, altered: MeasuredFrames) -> np.ndarray:
    """(F,) folds of altered frames: those of the normal frames nearest in time."""
    found = np.zeros(len(altered.videos), int)
    for video in np.unique(altered.videos):
        there = np.flatnonzero(normal.videos == video)
        here = np.flatnonzero(altered.videos == video)
        if len(there):
            away = np.abs(altered.numbers[here, None] - normal.numbers[there][None])
            found[here] = folds[there[away.argmin(axis=1)]]
    return found
