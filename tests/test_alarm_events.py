"""Events by hysteresis: when they open, when they are over, what is kept of them."""

from __future__ import annotations

import pytest

from mmvad.apis.alarm_events import AlarmState


def events(scores: list[float], threshold: float, hold: float, rate: float = 8.0, shown=None):
    """(start, end, peak) of each by frame, and how long after its end it was known to be over."""
    state, found, opened = AlarmState(threshold, hold), [], []
    for frame, score in enumerate(scores):
        new, over = state.step(frame, frame / rate, score, (shown or {}).get(frame))
        if new is not None:
            opened.append(frame)
            assert new.start_frame == frame and new.score == score
        if over is not None:
            found.append((over.start_frame, over.end_frame, over.peak_frame, frame))
    if (last := state.finish()) is not None:
        found.append((last.start_frame, last.end_frame, last.peak_frame, None))
    assert opened == [event[0] for event in found]
    return found


def test_a_short_dip_does_not_end_it():
    #         0  1  2  3  4  5  6  7  8  9
    scores = [0, 5, 6, 0, 0, 5, 0, 0, 0, 0, 0, 0]
    # At eight frames a second, 0.375 s hold frames 3 and 4 together, and are over with frame 9.
    assert events(scores, 4, 0.375) == [(1, 5, 2, 9)]
    assert events(scores, 4, 0.125) == [(1, 2, 2, 4), (5, 5, 5, 7)]
    assert events(scores, 4, 0) == [(1, 2, 2, 3), (5, 5, 5, 6)]
    assert events(scores, 4, 60) == [(1, 5, 2, None)]
    # Equal to the threshold is not above it.
    assert events(scores, 6, 1) == []


def test_seconds_count_and_not_frames():
    scores = [0, 5, 0, 0, 0, 5, 0, 0]
    assert len(events(scores, 4, 1.0, rate=10)) == 1
    assert len(events(scores, 4, 1.0, rate=2)) == 2


def test_a_gap_in_the_stream_ends_it():
    """Nothing was seen for a minute: what comes is another event, and the first ends where it was
    last seen."""
    state = AlarmState(4, 2.0)
    state.step(0, 0.0, 5.0)
    opened, closed = state.step(1, 60.0, 5.0)
    assert (closed.start, closed.end) == (0.0, 0.0) and opened.start == 60.0


def test_the_peak_is_a_frame_that_shows_something():
    scores = [5, 9, 7, 6, 0]
    assert events(scores, 4, 9)[0][2] == 1
    assert events(scores, 4, 9, shown={2: 'a', 3: 'b'})[0][2] == 2
    state = AlarmState(4, 9)
    for frame, score in enumerate(scores):
        state.step(frame, frame, score, {2: 'a', 3: 'b'}.get(frame))
    # The event's score is the highest all the same.
    assert (state.open.score, state.open.evidence, state.open.shown) == (9, 'a', 7)


def test_settings_that_are_none():
    with pytest.raises(ValueError, match='hold: expected seconds from 0 up, got -1'):
        AlarmState(3.0, -1)
    with pytest.raises(ValueError, match='threshold: expected a number, got nan'):
        AlarmState(float('nan'))
