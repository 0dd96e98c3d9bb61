"""The self-check: what it counts, what it chooses, and that it reads no label."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mmvad.datasets import MeasuredFrames
from mmvad.methods.objects.altered import UNALTERED, AlteredMoments
from mmvad.methods.objects.self_check import (
    Check,
    alarm_rarity,
    check_scorer,
)
from mmvad.models import ObjectScorer


def made(seed: int = 0, count: int = 400) -> Check:
    """One object a frame. ``good`` tells the altered frames, ``noise`` tells nothing, loudly."""
    rng = np.random.default_rng(seed)
    kinds = np.array([UNALTERED] * count + ['faster'] * 50 + ['lying'] * 50)
    good = rng.exponential(1, len(kinds)) + 3 * (kinds != UNALTERED)
    noise = rng.exponential(4, len(kinds))
    return Check(
        dict(good=good, noise=noise, same=good + rng.exponential(0.1, len(kinds))),
        np.arange(len(kinds)),
        np.arange(len(kinds)) % 10,
        kinds,
    )


class TestCheck:
    def test_a_frame_has_the_highest_score_of_its_objects(self):
        check = Check(
            dict(a=np.array([1.0, 5.0, 2.0]), b=np.array([1.0, 0.0, 0.5])),
            np.array([0, 0, 2]),
            np.zeros(3, int),
            np.array([UNALTERED] * 3),
        )
        assert check.frame_scores(dict(a=1.0, b=2.0)).tolist() == [5.0, 0.0, 3.0]
        assert check.frame_scores(dict(a=0.0, b=1.0)).tolist() == [1.0, 0.0, 0.5]

    def test_aucs_are_those_of_scikit_learn(self):
        check = made()
        scores = check.frame_scores(dict(good=1.0, noise=1.0))
        aucs = check.aucs(scores)
        assert set(aucs) == {'faster', 'lying'}
        for kind in aucs:
            rows = np.isin(check.kinds, [kind, UNALTERED])
            assert aucs[kind] == roc_auc_score(check.kinds[rows] == kind, scores[rows])
        assert check.figure(dict(good=1.0, noise=1.0)) == pytest.approx(np.mean([*aucs.values()]))

    def test_a_term_that_only_disturbs_is_left_out(self):
        chosen = made().choose(dict(good=2.0, noise=1.0))
        assert chosen == dict(good=2.0, noise=0.0)

    def test_terms_stay_where_nothing_is_gained(self):
        given = dict(good=1.0, same=1.0)
        assert made().choose(given) == given
        assert made().choose(dict(noise=1.0)) == dict(noise=1.0)

    def test_what_is_found_at_a_rate_of_false_alarms(self):
        check = made(count=5000)
        rarities = dict(found=np.log(100), everything=0.0)
        table = check.table(dict(good=1.0), rarities)
        normal = check.terms['good'][check.kinds == UNALTERED]
        for kind, row in table.items():
            altered = check.terms['good'][check.kinds == kind]
            share = 100 * (altered > np.quantile(normal, 0.99)).mean()
            assert row['found'] == pytest.approx(share, abs=4)
            assert row['found_low'] <= row['found'] <= row['found_high']
            assert row['auc_low'] <= row['auc'] <= row['auc_high'] and row['frames'] == 50
            assert row['everything'] == pytest.approx(100, abs=0.1)

    def test_an_alarm_an_hour(self):
        # 90,000 frames: a normal one in as many.
        assert alarm_rarity(1.0, 25.0) == pytest.approx(np.log(90_000))
        assert alarm_rarity(10.0, 25.0) == pytest.approx(np.log(9_000))


def frames(count: int, videos: int, shift: float, seed: int) -> MeasuredFrames:
    """Frames of two objects each, whose values are off by so much in one of them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2 * count, 3)).astype(np.float32)
    values[::2, 0] += shift
    owners = np.sort(np.arange(count) % videos)
    return MeasuredFrames(
        dict(attributes=torch.from_numpy(values)),
        np.repeat(np.arange(count), 2),
        owners,
        np.concatenate([np.arange((owners == v).sum()) for v in range(videos)]),
        owners == videos - 1,
        np.tile(np.float32([0, 0, 9, 9]), (2 * count, 1)),
    )


@pytest.mark.parametrize('videos', [1, 2, 7])
def test_frames_are_scored_by_scorers_that_have_not_seen_their_video(videos, monkeypatch):
    normal, altered = frames(300, videos, 0, 0), frames(40, videos, 9, 1)
    if videos == 1:
        normal.held_out[:240] = False
    scorer = ObjectScorer(dict(near=dict(type='NearestDistance', of='attributes')))
    seen = []
    fit = ObjectScorer.fit

    def spy(self, values, owners, held_out):
        seen.append({tuple(row) for row in values['attributes'].tolist()})
        return fit(self, values, owners, held_out)

    monkeypatch.setattr(ObjectScorer, 'fit', spy)
    check = check_scorer(scorer, normal, altered, np.full(40, 'off'))
    assert not scorer.fitted and len(seen) == 3
    # Each object is left out of one fit and no other.
    for row in normal.measurements['attributes'].tolist():
        assert sum(tuple(row) in part for part in seen) == 2
    assert len(check.kinds) == 340 and (check.kinds == 'off').sum() == 40
    assert len(check.frames) == len(check.terms['near']) == 680
    assert np.bincount(check.frames).tolist() == [2] * 340
    assert check.figure(dict(near=1.0)) > 0.99
    # Normal objects of unseen videos are as rare as promised; of parts of one or two, rarer, since
    # the parts are unequal, and distances to the smaller one, which make the scale, are larger.
    unseen = check.terms['near'][np.isin(check.frames, np.flatnonzero(check.kinds == UNALTERED))]
    share = (unseen > np.log(10)).mean()
    assert share == pytest.approx(0.1, abs=0.04) if videos > 2 else share < 0.14


class TestFile:
    def moments(self) -> AlteredMoments:
        return AlteredMoments(
            kinds=np.array([UNALTERED, 'faster']),
            frames=np.array([3, 3], np.int32),
            regions=np.ones((2, 4), np.float32),
            items=np.array([0, 1, 1], np.int32),
            objects=np.ones((3, 4), np.float32),
            measurements=dict(speed=np.arange(3, dtype=np.float32)[:, None]),
        )

    def test_what_is_written_is_read(self, tmp_path):
        path = tmp_path / 'a/01.npz'
        self.moments().save(path)
        read = AlteredMoments.load(path, ['speed'])
        for name, value in vars(self.moments()).items():
            if name != 'measurements':
                np.testing.assert_array_equal(getattr(read, name), value)
        np.testing.assert_array_equal(read.measurements['speed'][:, 0], [0, 1, 2])

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (dict(items=np.array([0, 1, 2], np.int32)), 'items: expected numbers of 2 moments'),
            (dict(items=np.array([0, 1], np.int32)), 'expected as many rows of all'),
            (dict(frames=np.array([3], np.int32)), 'expected as many rows of all'),
            (dict(measurements={}), "no array named 'measured.speed'"),
        ],
    )
    def test_what_does_not_fit_is_named(self, tmp_path, change, message):
        path = tmp_path / '01.npz'
        AlteredMoments(**dict(vars(self.moments()), **change)).save(path)
        with pytest.raises(ValueError, match=message) as error:
            AlteredMoments.load(path, ['speed'])
        assert '01.npz' in str(error.value)


def test_figures_are_plain_json():
    json.dumps(made().table(dict(good=1.0), dict(found=1.0)))
