"""Alarm thresholds from normal video, and what they raise."""

import numpy as np
import pytest
import torch
from scipy import stats

from mmvad.evaluation.functional import ScorePolicy, alarm_figures, second_peaks
from mmvad.methods.objects.alarms import NormalScores, alarm_threshold, promised_and_found
from mmvad.models.scoring import TailProbability


def normal(**changes) -> NormalScores:
    """Two videos of 6 and 4 frames, of which every second was looked at."""
    values = dict(
        owners=np.int32([0, 0, 1]),
        frames=np.int32([0, 4, 2]),
        boxes=np.tile(np.float32([0, 0, 9, 9]), (3, 1)),
        scores=dict(all=np.float32([1, 3, 2])),
        lengths=np.int32([6, 4]),
        rates=np.float32([2, 2]),
        step=2,
    )
    return NormalScores(**dict(values, **changes))


class TestSeconds:
    def test_each_has_the_highest_of_its_frames(self):
        scores = np.array([1, 5, 2, 3, 0, 4, 9.0])
        assert second_peaks(scores, 3).tolist() == [5, 4]
        assert second_peaks(scores, 3, whole=False).tolist() == [5, 4, 9]
        # Of 2.5 frames a second: 0, 2, 5 begin one.
        assert second_peaks(scores[:6], 2.5, whole=False).tolist() == [5, 3, 4]
        assert second_peaks(scores[:2], 25).tolist() == [5]
        assert second_peaks(scores[:3], 0.5).tolist() == [1, 5, 2]

    def test_objects_stay_until_the_next_frame_that_was_looked_at(self):
        found = normal().seconds('all', ScorePolicy(), dict(all=0.5))
        # Frames 1 1 . . 3 3 and . . 2 2, where a point stands for the floor.
        assert [part.tolist() for part in found] == [[1, 0.5, 3], [0.5, 2]]

    def test_the_policy_of_the_test_is_that_of_the_threshold(self):
        # Half of each object's score, then the median over five frames.
        policy = ScorePolicy(dict(type='median', size=5), dict(sigma=0.0, prior=1.0))
        found = normal().seconds('all', policy, dict(all=0.25))
        # Of 0.5 0.5 . . 1.5 1.5 and . . 1 1.
        assert [part.tolist() for part in found] == [[0.5, 0.5, 1.5], [0.25, 1]]

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            (dict(owners=np.int32([0, 0])), r'owners: expected shape \(3,\), got \(2,\)'),
            (dict(owners=np.int32([0, 0, 2])), 'owners: expected numbers of 2 videos'),
            (dict(frames=np.int32([0, 6, 2])), 'frames: expected frames of their videos'),
            (dict(scores=dict(all=np.float32([1, np.nan, 2]))), 'scores.all: .* not finite'),
            (dict(rates=np.float32([2, 0])), 'rates: expected above 0 and at most 1000'),
            (dict(rates=np.float32([2, 1e30])), 'rates: expected above 0 and at most 1000'),
            (dict(step=0), 'step: expected from 1 to'),
            (dict(step=10**12), 'step: expected from 1 to'),
            (dict(lengths=np.int32([6, 2**31 - 1])), 'lengths: expected 1 to'),
            (dict(scores={}), 'expected a video and a channel'),
            (dict(boxes=np.tile(np.float32([9, 0, 0, 9]), (3, 1))), 'boxes: expected x1 <= x2'),
        ],
    )
    def test_what_does_not_fit_is_refused(self, changes, message):
        with pytest.raises(ValueError, match=message):
            normal(**changes)


class TestThreshold:
    @pytest.mark.parametrize('law', [stats.expon(), stats.pareto(3), stats.halfnorm()], ids='eph')
    def test_it_is_that_of_the_law_the_seconds_are_from(self, law):
        seconds = law.rvs(40000, random_state=0)
        for per_hour in (1800, 360, 36):
            expected = law.isf(per_hour / 3600)
            assert alarm_threshold(seconds, per_hour) == pytest.approx(expected, rel=0.05)

    def test_it_is_where_the_surprisal_is_reached(self):
        for seed, power in enumerate((0.3, 1, 4)):
            values = torch.rand(3000, generator=torch.Generator().manual_seed(seed)) ** power
            for count in (40, 3000):
                tail = TailProbability()
                tail.fit(values[:count])
                for surprisal in (0.01, 0.5, 2.3, 3, 5, 8.2, 14):
                    value = torch.tensor([tail.reached(surprisal)], dtype=torch.double)
                    assert float(tail(value)) == pytest.approx(surprisal, abs=0.01)

    @pytest.mark.parametrize('busy', [0.3, 0.01])
    def test_seconds_without_anything_are_not_as_rare_as_they_are_many(self, busy):
        """A quiet camera: most seconds are at the floor, in the others something is there."""
        rng = np.random.default_rng(0)
        seconds = rng.exponential(size=200_000) * (rng.random(200_000) < busy)
        for per_hour in (36, 3.6):
            rate = (seconds > alarm_threshold(seconds, per_hour)).mean() * 3600
            assert rate == pytest.approx(per_hour, rel=0.35)

    def test_too_few_seconds(self):
        with pytest.raises(ValueError, match='9 s of normal .* too few .* at least 10'):
            alarm_threshold(np.arange(9.0), 1)

    def test_what_is_promised_is_found_on_the_video_that_was_left_out(self):
        rng = np.random.default_rng(0)
        told = promised_and_found([rng.gumbel(size=2000) for _ in range(5)])
        assert [row['one_in'] for row in told] == [10, 100]
        for row in told:
            assert row['seconds'] == 10000 and row['promised'] == 10000 / row['one_in']
            assert abs(row['found'] - row['promised']) < 4 * row['promised'] ** 0.5
        # One that is like no other raises what it raises.
        odd = [rng.gumbel(size=2000) for _ in range(4)] + [rng.gumbel(size=2000) + 50]
        assert promised_and_found(odd)[0]['found'] >= 2000
        assert promised_and_found([np.arange(9.0)]) == []


class TestFigures:
    def test_alarms_are_runs_of_seconds(self):
        high = dict(a=np.float32([0, 9, 9, 0, 0, 0, 0, 9, 0, 0, 9, 0]))
        labels = dict(a=np.int8([0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0]))
        # Seconds of two frames: over in 0 and 1, in 3, and in 5.
        found = alarm_figures(high, labels, dict(a=2.0), 5)
        assert found.pop('alarms_false_an_hour') == pytest.approx(2 / (10 / 2 / 3600))
        assert found.pop('alarm_frames_normal') == pytest.approx(40)
        assert found == dict(alarms=3, alarms_false=2, alarm_frames_abnormal=0)
        assert alarm_figures(high, {}, dict(a=2.0), 5) == dict(alarms=3)
        assert alarm_figures(high, labels, dict(a=2.0), 10)['alarms'] == 0

    def test_videos_are_counted_apart(self):
        scores = {name: np.float32([9, 9]) for name in 'ab'}
        labels = dict(a=np.int8([1, 1]), b=np.int8([0, 0]))
        found = alarm_figures(scores, labels, dict(a=1.0, b=1.0), 5)
        assert (found['alarms'], found['alarms_false']) == (2, 1)
        assert found['alarm_frames_abnormal'] == found['alarm_frames_normal'] == 100
        assert found['alarms_false_an_hour'] == 1800
        only = {name: np.int8([1, 1]) for name in 'ab'}
        found = alarm_figures(scores, only, dict(a=1.0, b=1.0), 5)
        assert found == dict(alarms=2, alarms_false=0, alarm_frames_abnormal=100)
