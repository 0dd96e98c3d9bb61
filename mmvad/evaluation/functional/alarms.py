"""From frame scores and a threshold to alarms.

Shape letters: F frames of a video, S seconds of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


def second_peaks(scores: np.ndarray, rate: float, whole: bool = True) -> np.ndarray:
    """The highest score of each second: (F,) to (S,).

    Args:
        scores: (F,), at least one.
        rate: Frames a second; below 1, a frame counts as a second.
        whole: Leave out what remains of a second at the end, unless there is nothing else.
    """
    starts = np.arange(0, len(scores), max(1.0, rate)).round().astype(int)
    starts = np.unique(starts[starts < len(scores)])
    peaks = np.maximum.reduceat(scores, starts)
    full = starts + math.floor(rate) <= len(scores)
    return peaks[full] if whole and full.any() else peaks


def alarm_figures(
    scores: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    rates: Mapping[str, float],
    threshold: float,
) -> dict[str, float | int]:
    """What a threshold raises: an alarm is a run of seconds with a frame above it.

    Args:
        scores: Video to final scores (F,).
        labels: Video to (F,) of 0 and 1; of no video where they are not known.
        rates: Video to frames a second.
        threshold: Scores above it raise an alarm.

    Returns:
        ``alarms``, their number. With labels ``alarms_false``, those without an abnormal frame in
        their seconds; ``alarms_false_an_hour`` of normal frames; ``alarm_frames_normal`` and
        ``alarm_frames_abnormal``, per cent of either that is above the threshold.
    """
    alarms = false = 0
    hours = 0.0
    over: dict[int, list[np.ndarray]] = {0: [], 1: []}
    for video, values in scores.items():
        high = second_peaks(values, rates[video], whole=False) > threshold
        begins = high & ~np.concatenate([[False], high[:-1]])
        alarms += int(begins.sum())
        if video not in labels:
            continue
        wrong = second_peaks(labels[video], rates[video], whole=False) > 0
        true = np.unique(begins.cumsum()[high & wrong])
        false += int(begins.sum()) - len(true)
        hours += float((labels[video] == 0).sum()) / rates[video] / 3600
        for label, found in over.items():
            found.append(values[labels[video] == label] > threshold)
    figures: dict[str, float | int] = dict(alarms=alarms)
    if labels:
        figures['alarms_false'] = false
        if hours:
            figures['alarms_false_an_hour'] = false / hours
        for label, name in enumerate(('normal', 'abnormal')):
            if len(found := np.concatenate(over[label])):
                figures[f'alarm_frames_{name}'] = 100 * float(found.mean())
    return figures
