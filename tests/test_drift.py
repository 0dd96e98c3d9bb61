"""Drift: told once when the last hour is unlike normal video, and when that is over."""

from __future__ import annotations

import numpy as np

from mmvad.apis.drift import Drift


def run(scores: np.ndarray, rate: int = 4) -> tuple[Drift, list[str]]:
    """A score a second, whose peak is one of its frames."""
    said: list[str] = []
    drift = Drift(1.0, said.append)
    for second, score in enumerate(scores):
        for frame in range(rate):
            drift.step(second + frame / rate, score if frame == 1 else 0.0)
    return drift, said


def test_normal_video_is_none():
    rng = np.random.default_rng(0)
    drift, said = run((rng.random(8000) < 0.1) * 2.0)
    assert said == [] and not drift.now and 0.08 < drift.share < 0.12


def test_events_of_minutes_are_none():
    """A tenth of normal seconds, and two events of two minutes in an hour."""
    scores = (np.random.default_rng(0).random(3600) < 0.1) * 2.0
    scores[1000:1120] = scores[3000:3120] = 9.0
    assert run(scores)[1] == []


def test_a_camera_that_was_moved_is_told_once_and_when_it_is_back():
    rng = np.random.default_rng(0)
    share = np.repeat([0.1, 0.6, 0.1], [3600, 3600, 7200])
    drift, said = run((rng.random(len(share)) < share) * 2.0)
    assert drift.times == 1 and not drift.now
    begun, ended = said
    assert 'unlike what was learned: of the last 60 minutes, 30% are above what 10%' in begun
    # 0.1 + 0.5 x = 0.3: two fifths of the hour; and 0.2 is left when four fifths of it are over.
    assert 3600 + 1100 < int(begun.split(' s:')[0]) < 3600 + 1800
    assert ended.endswith('like what was learned again')
    assert 7200 + 2500 < int(ended.split(' s:')[0]) < 7200 + 3300


def test_nothing_is_said_of_minutes():
    assert run(np.full(500, 9.0))[1] == []
