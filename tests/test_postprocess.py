import math

import numpy as np
import pytest

from mmvad.evaluation.functional import (
    build_smoother,
    causal_gaussian_smooth,
    frame_scores,
    gaussian_smooth,
)


def test_frame_scores_by_hand():
    # Window 2: frames 0 and 1 take frame 2's score; frame 4 has no objects.
    scores = frame_scores(
        frames=np.array([2, 2, 3, 5, 5, 5]),
        scores=np.array([0.5, 0.7, 0.2, 1.0, 3.0, 2.0]),
        num_frames=6,
        first_scored=2,
        floor=-1.0,
    )
    np.testing.assert_array_equal(scores, [0.7, 0.7, 0.7, 0.2, -1.0, 3.0])


def test_first_frames_take_the_floor_when_the_first_real_frame_is_empty():
    scores = frame_scores(np.array([3]), np.array([4.0]), 5, 2, 0.25)
    np.testing.assert_array_equal(scores, [0.25, 0.25, 0.25, 4.0, 0.25])


def test_scores_below_the_floor_stay():
    scores = frame_scores(np.array([1]), np.array([-5.0]), 3, 1, -1.0)
    np.testing.assert_array_equal(scores, [-5.0, -5.0, -1.0])


@pytest.mark.parametrize('num_frames', [1, 3])
def test_short_video_is_floor_throughout(num_frames):
    scores = frame_scores(np.zeros(0, dtype=int), np.zeros(0), num_frames, 3, 0.5)
    np.testing.assert_array_equal(scores, np.full(num_frames, 0.5))


@pytest.mark.parametrize(('frame', 'words'), [(4, 'frame 4'), (10, 'frame 10'), (-1, 'frame -1')])
def test_frames_outside_the_video_are_refused(frame, words):
    with pytest.raises(ValueError, match=f'{words}, expected frames 5 to 9'):
        frame_scores(np.array([frame]), np.array([1.0]), 10, 5, 0.0)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r'\(2,\).*\(1,\)'):
        frame_scores(np.array([5, 6]), np.array([1.0]), 10, 5, 0.0)


def naive_filter(scores, offsets, sigma):
    """Weighted mean over the offsets, frame by frame; the ends go on beyond the video."""
    smoothed, scores = [], scores.tolist()
    for frame in range(len(scores)):
        total = weight_sum = 0.0
        for offset in offsets:
            weight = math.exp(-(offset**2) / (2 * sigma**2))
            total += weight * scores[min(max(frame + offset, 0), len(scores) - 1)]
            weight_sum += weight
        smoothed.append(total / weight_sum)
    return smoothed


@pytest.mark.parametrize('sigma', [1, 3.0, 7])
def test_smoothing_matches_a_naive_filter(sigma):
    scores = np.random.default_rng(0).normal(size=50).astype(np.float32)
    reach = math.ceil(4 * sigma)
    np.testing.assert_allclose(
        gaussian_smooth(scores, sigma), naive_filter(scores, range(-reach, reach + 1), sigma)
    )
    np.testing.assert_allclose(
        causal_gaussian_smooth(scores, sigma), naive_filter(scores, range(-reach, 1), sigma)
    )


def test_causal_filter_never_looks_ahead():
    scores = np.random.default_rng(1).normal(size=40)
    changed = np.r_[scores[:20], scores[20:] + 100]
    np.testing.assert_array_equal(
        causal_gaussian_smooth(scores, 3)[:20], causal_gaussian_smooth(changed, 3)[:20]
    )
    assert not np.allclose(gaussian_smooth(scores, 3)[:20], gaussian_smooth(changed, 3)[:20])


def test_a_stream_gets_the_same_scores_from_a_short_buffer():
    scores = np.random.default_rng(2).normal(size=60)
    sigma, buffer, streamed = 2.5, [], []
    for score in scores:
        buffer = [*buffer, score][-(math.ceil(4 * sigma) + 1) :]
        streamed.append(causal_gaussian_smooth(np.array(buffer), sigma)[-1])
    np.testing.assert_allclose(streamed, causal_gaussian_smooth(scores, sigma))


@pytest.mark.parametrize('kind', ['gaussian', 'causal'])
def test_built_smoother(kind):
    scores = np.random.default_rng(3).normal(size=30)
    function = {'gaussian': gaussian_smooth, 'causal': causal_gaussian_smooth}[kind]
    smoother = build_smoother(dict(type=kind, sigma=2))
    np.testing.assert_array_equal(smoother(scores), function(scores, 2))
    np.testing.assert_allclose(smoother(np.full(9, 4.0)), 4.0)
    np.testing.assert_array_equal(build_smoother(dict(type=kind, sigma=0))(scores), scores)
    np.testing.assert_array_equal(build_smoother(None)(scores), scores)


@pytest.mark.parametrize(
    ('smoothing', 'words'),
    [
        (dict(type='median', sigma=2), 'smoothing: expected the keys type and size'),
        (dict(type='causal', sigma=-1), 'smoothing.sigma.*-1'),
        (dict(type='causal', sigma=float('nan')), 'smoothing.sigma.*nan'),
        (dict(type='gaussian'), 'type and sigma'),
        (dict(type='gaussian', sigma=2, size=3), 'size'),
    ],
)
def test_bad_smoothing_is_refused(smoothing, words):
    with pytest.raises(ValueError, match=words):
        build_smoother(smoothing)
