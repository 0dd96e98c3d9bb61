"""One video's objects, or its frame scores, turned into its final scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from mmvad.evaluation.functional import (
    ScorePolicy,
    frame_scores,
    link_objects,
    lowest_scores,
    min_max,
    score_video,
    smooth_along_tracks,
)

BOX = np.array([0.0, 0, 10, 20])


def test_objects_by_hand():
    scores = score_video(
        frames=[5, 2, 2, 4],
        scores=dict(a=[0.1, 0.5, 0.7, -3.0], b=[1, 2, 1, 0]),
        num_frames=6,
        floors=dict(a=-1.0, b=0.5, other=7),
        first_scored=2,
        boxes=[BOX, BOX + 50, BOX, BOX],
    )
    np.testing.assert_array_equal(scores.raw['a'], np.float32([0.7, 0.7, 0.7, -1, -3, 0.1]))
    np.testing.assert_array_equal(scores.raw['b'], np.float32([2, 2, 2, 0.5, 0, 1]))
    assert scores.raw['a'].dtype == scores.final['b'].dtype == np.float32
    for channel in 'ab':
        np.testing.assert_array_equal(scores.tracked[channel], scores.raw[channel])
        np.testing.assert_array_equal(scores.final[channel], scores.raw[channel])
        np.testing.assert_array_equal(scores.smoothed[channel], scores.objects[channel])
    # By frame, and in a frame by box.
    assert list(scores.objects) == ['frames', 'boxes', 'a', 'b']
    assert scores.objects['frames'].tolist() == [2, 2, 4, 5]
    np.testing.assert_array_equal(scores.objects['a'], np.float32([0.7, 0.5, -3, 0.1]))
    np.testing.assert_array_equal(scores.objects['boxes'][1], BOX + 50)
    dtypes = {name: column.dtype for name, column in scores.objects.items()}
    assert dtypes == dict(frames=np.int32, boxes=np.float32, a=np.float32, b=np.float32)


def test_whole_frames_need_nothing_else():
    scores = score_video(
        [3, 1, 2], dict(s=[3.0, 1, 2]), num_frames=5, floors=dict(s=0), of_objects=False
    )
    assert scores.raw['s'].tolist() == [0, 1, 2, 3, 0]
    assert scores.objects is None and scores.smoothed is None


def test_a_policy_smooths_along_tracks_then_over_frames():
    rng = np.random.default_rng(0)
    frames = np.repeat(np.arange(3, 40), 2)
    boxes = np.tile(np.stack([BOX, BOX + 100]), (37, 1)) + rng.normal(size=(74, 4))
    values = rng.normal(size=74)
    policy = ScorePolicy(
        smoothing=dict(type='gaussian', sigma=2),
        tracking=dict(sigma=1.5, min_iou=0.2, max_gap=2, causal=True, prior=1.0),
        per_video_min_max=True,
    )
    assert policy.tracking
    scores = score_video(
        frames, dict(s=values), 40, dict(s=0.0), first_scored=3, boxes=boxes, policy=policy
    )
    table = scores.objects
    tracks = link_objects(table['frames'], table['boxes'], min_iou=0.2, max_gap=2)
    np.testing.assert_array_equal(table['tracks'], tracks)
    assert table['tracks'].dtype == np.int32
    smoothed = smooth_along_tracks(
        table['frames'], tracks, table['s'], sigma=1.5, causal=True, prior=1.0
    )
    np.testing.assert_array_equal(scores.smoothed['s'], smoothed)
    tracked = frame_scores(table['frames'], smoothed, 40, 3, 0.0)
    np.testing.assert_array_equal(scores.tracked['s'], tracked.astype(np.float32))
    final = min_max(gaussian_filter1d(tracked, 2, mode='nearest'))
    np.testing.assert_allclose(scores.final['s'], final, atol=1e-6)
    plain = score_video(frames, dict(s=values), 40, dict(s=0.0), 3, boxes)
    np.testing.assert_array_equal(scores.raw['s'], plain.raw['s'])
    np.testing.assert_array_equal(table['s'], plain.objects['s'])


def test_tubes_tell_objects_apart_and_order_them():
    scores = score_video(
        frames=[1, 1, 0, 1],
        scores=dict(s=[1.0, 2.0, 3.0, 1.5]),
        num_frames=2,
        floors=dict(s=0),
        boxes=[BOX, BOX, BOX, BOX],
        tubes=[2, 1, 0, 2],
    )
    assert scores.objects['tubes'].tolist() == [0, 1, 2]
    assert scores.objects['s'].tolist() == [3, 2, 1.5]
    assert scores.objects['tubes'].dtype == np.int32


def test_what_cannot_be_told_apart_stays():
    scores = score_video([1, 0, 1], dict(s=[1.0, 2, 1]), 2, dict(s=0))
    assert list(scores.objects) == ['frames', 's']
    assert scores.objects['frames'].tolist() == [0, 1, 1]
    same_box = score_video([1, 0, 1], dict(s=[1.0, 2, 1]), 2, dict(s=0), boxes=[BOX] * 3)
    assert same_box.objects['frames'].tolist() == [0, 1]


@pytest.mark.parametrize('tracking', [None, dict(sigma=2)])
def test_a_video_without_objects_is_floor_throughout(tracking):
    scores = score_video(
        [], dict(s=[]), 4, dict(s=-2), 1, np.zeros((0, 4)), [], policy=ScorePolicy(None, tracking)
    )
    assert scores.final['s'].tolist() == [-2] * 4
    assert scores.objects['boxes'].shape == (0, 4)
    assert scores.objects['tubes'].shape == scores.objects['s'].shape == (0,)
    assert ('tracks' in scores.objects) is (tracking is not None)


def test_rounded_scores_read_back_give_the_same():
    """A stored object table and the policy give the frame scores again, to the bit."""
    rng = np.random.default_rng(1)
    frames = np.sort(rng.integers(0, 50, 80))
    boxes = BOX + rng.uniform(0, 40, (80, 1))
    policy = ScorePolicy(dict(type='causal', sigma=2), dict(sigma=3))
    first = score_video(frames, dict(s=rng.normal(size=80)), 50, dict(s=0), 0, boxes, policy=policy)
    table = first.objects
    again = score_video(
        table['frames'], dict(s=table['s']), 50, dict(s=0), boxes=table['boxes'], policy=policy
    )
    for kind in ('raw', 'tracked', 'final', 'smoothed'):
        np.testing.assert_array_equal(getattr(first, kind)['s'], getattr(again, kind)['s'])


def test_lowest_scores():
    videos = [dict(a=np.array([3.0, 1]), b=np.array([0.0, 5])), dict(a=np.zeros(0), b=[])]
    assert lowest_scores(videos) == dict(a=1.0, b=0.0)
    assert lowest_scores([dict(a=np.zeros(0))]) == lowest_scores([]) == {}


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(frames=[0, 9]), 'a score of frame 9, expected frames 0 to 4'),
        (dict(frames=[0, 2], first_scored=1), 'frame 0, expected frames 1 to 4 .first_scored 1,'),
        (dict(frames=[0.5, 1]), 'frames: expected whole numbers'),
        (dict(scores=dict(s=[1.0])), r's: expected shape \(2,\) for 2 frames, got \(1,\)'),
        (dict(scores=dict(s=[1.0, np.nan])), "channel 's': expected finite .* nan in frame 2"),
        (dict(scores=dict(s=[-np.inf, 0])), "channel 's': expected finite .*-inf in frame 1"),
        (dict(scores=dict(tracks=[1.0, 0])), r"channels: \['tracks'\] name columns"),
        (dict(floors=dict(t=1)), r"no floor of the channels \['s'\], got \['t'\]"),
        (dict(boxes=np.zeros((2, 3))), r'boxes: expected shape \(2, 4\) .*\(2, 3\)'),
        (dict(tubes=[1]), r'tubes: expected shape \(2,\)'),
        (dict(tubes=[0.5, 1]), 'tubes: expected whole numbers'),
        (dict(tubes=[0, 2**31]), 'tubes: expected whole numbers of 32 bits'),
        (dict(policy=ScorePolicy(tracking=dict(sigma=1))), 'tracking: expected the boxes'),
        (
            dict(policy=ScorePolicy(tracking=dict(sigma=1)), boxes=[BOX, -BOX]),
            'boxes: expected finite numbers with x1 <= x2',
        ),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    arguments = dict(frames=[1, 2], scores=dict(s=[0.0, 1]), num_frames=5, floors=dict(s=0))
    with pytest.raises(ValueError, match=words):
        score_video(**{**arguments, **change})


@pytest.mark.parametrize(
    ('config', 'words'),
    [
        (dict(smoothing=dict(type='box', sigma=1)), 'smoothing.type'),
        (dict(smoothing=dict(type='median', size=2)), 'smoothing.size: .*odd'),
        (dict(tracking=dict(min_iou=0.3)), 'tracking: .*key sigma'),
        (dict(tracking=dict(sigma=2, gap=3)), "tracking: .*'gap'"),
        (dict(tracking=dict(sigma=2, max_gap=0)), 'tracking.max_gap: .*0'),
        (dict(tracking=dict(sigma=2, prior=-1)), 'tracking.prior: .*-1'),
    ],
)
def test_a_bad_policy_is_refused_when_it_is_built(config, words):
    with pytest.raises(ValueError, match=words):
        ScorePolicy(**config)
