import math
import time

import numpy as np
import pytest

from mmvad.evaluation.functional import link_objects, smooth_along_tracks


def box(left, top=0, size=10):
    return [left, top, left + size, top + size]


def test_two_crossing_objects_keep_their_tracks():
    # One walks right and one walks left, at slightly different heights; they cross in frame 5.
    frames = np.repeat(np.arange(10), 2)
    boxes = [b for frame in range(10) for b in (box(2 * frame), box(20 - 2 * frame, top=4))]
    np.testing.assert_array_equal(link_objects(frames, boxes), [0, 1] * 10)
    # The order within a frame only decides which number is given first.
    swapped = np.array(boxes).reshape(10, 2, 4)
    swapped[1::2] = swapped[1::2, ::-1]
    np.testing.assert_array_equal(link_objects(frames, swapped.reshape(-1, 4)), [0, 1, 1, 0] * 5)


def test_gap_within_and_beyond_max_gap():
    boxes = [box(0)] * 4
    np.testing.assert_array_equal(link_objects([4, 7, 11, 12], boxes), [0, 0, 1, 1])
    np.testing.assert_array_equal(link_objects([4, 7, 11, 12], boxes, max_gap=4), [0, 0, 0, 0])
    np.testing.assert_array_equal(link_objects([4, 7, 11, 12], boxes, max_gap=1), [0, 1, 2, 2])


def test_a_gap_is_bridged_beside_objects_without_one():
    frames = [0, 0, 1, 2, 2]
    boxes = [box(0), box(50), box(50), box(50), box(0)]
    np.testing.assert_array_equal(link_objects(frames, boxes), [0, 1, 1, 1, 0])


def test_min_iou():
    # IoU of neighbours: (10 - 4) / (10 + 4) = 0.43.
    frames, boxes = [0, 1], [box(0), box(4)]
    np.testing.assert_array_equal(link_objects(frames, boxes, min_iou=0.42), [0, 0])
    np.testing.assert_array_equal(link_objects(frames, boxes, min_iou=0.44), [0, 1])


def test_assignment_is_optimal_and_not_greedy():
    # The best single pair, 3 to 2 (0.82), would leave 0 with 5 (0.33): less together than 0 to 2
    # and 3 to 5 (0.67 each).
    frames, boxes = [0, 0, 1, 1], [box(0), box(3), box(2), box(5)]
    np.testing.assert_array_equal(link_objects(frames, boxes), [0, 1, 0, 1])


def test_pairs_too_poor_to_link_do_not_outweigh_a_good_one():
    # 0 to 2 is 0.67 and leaves 6 with -4 (no overlap). The crossed pairs, 0 to -4 and 6 to 2, are
    # 0.43 each: more together, but neither may be linked.
    frames, boxes = [0, 0, 1, 1], [box(0), box(6), box(2), box(-4)]
    np.testing.assert_array_equal(link_objects(frames, boxes, min_iou=0.5), [0, 1, 0, 2])


def test_tracks_do_not_depend_on_later_frames():
    rng = np.random.default_rng(0)
    frames = np.sort(rng.integers(0, 30, 100))
    corner = rng.uniform(0, 20, (100, 2))
    boxes = np.hstack([corner, corner + 10])
    tracks = link_objects(frames, boxes)
    first = np.flatnonzero(np.r_[True, tracks[1:] > np.maximum.accumulate(tracks)[:-1]])
    np.testing.assert_array_equal(tracks[first], np.arange(tracks.max() + 1))
    np.testing.assert_array_equal(
        link_objects(frames[frames < 15], boxes[frames < 15]), tracks[frames < 15]
    )


def test_boxes_without_area_start_tracks_of_their_own():
    np.testing.assert_array_equal(link_objects([0, 1], [box(3, size=0)] * 2), [0, 1])


def random_tracks(seed):
    """Objects of 6 tracks with gaps, in frames with several objects."""
    rng = np.random.default_rng(seed)
    frames, tracks = np.nonzero(rng.random((60, 6)) < 0.6)
    shuffled = np.lexsort((rng.random(len(frames)), frames))
    return frames[shuffled], tracks[shuffled], rng.normal(size=len(frames)).astype(np.float32)


def naive_smooth(frames, tracks, scores, sigma, causal, prior):
    smoothed = []
    for frame, track in zip(frames, tracks, strict=True):
        total = weight_sum = 0.0
        for other, other_track, score in zip(frames, tracks, scores, strict=True):
            distance = int(frame) - int(other)
            if other_track != track or abs(distance) > math.ceil(4 * sigma):
                continue
            if causal and distance < 0:
                continue
            weight = math.exp(-(distance**2) / (2 * sigma**2))
            total += weight * float(score)
            weight_sum += weight
        smoothed.append(total / (weight_sum + prior))
    return smoothed


@pytest.mark.parametrize('prior', [0, 2.5])
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('sigma', [0.5, 2, 5.0, 100])
def test_smoothing_matches_a_naive_double_loop(sigma, causal, prior):
    frames, tracks, scores = random_tracks(0)
    np.testing.assert_allclose(
        smooth_along_tracks(frames, tracks, scores, sigma, causal, prior),
        naive_smooth(frames, tracks, scores, sigma, causal, prior),
    )


def test_the_prior_holds_what_is_seen_once_to_be_usual():
    frames, tracks = [0, 5, 6, 7], [0, 1, 1, 1]
    for sigma in (0, 1e6):
        smoothed = smooth_along_tracks(frames, tracks, [6.0] * 4, sigma, prior=2)
        seen = np.array([1, 3, 3, 3]) if sigma else 1
        np.testing.assert_allclose(smoothed, 6 * seen / (seen + 2))


def test_smoothing_by_hand():
    # exp(-1/2) = 0.6065 one frame away and exp(-2) = 0.1353 two frames away.
    frames, tracks = [0, 0, 1, 3], [0, 1, 0, 0]
    smoothed = smooth_along_tracks(frames, tracks, [1.0, 9.0, 0.0, 0.0], 1)
    far = math.exp(-4.5)
    near, middle = math.exp(-0.5), math.exp(-2)
    np.testing.assert_allclose(
        smoothed, [1 / (1 + near + far), 9, near / (near + 1 + middle), far / (far + middle + 1)]
    )


def test_causal_smoothing_depends_on_no_later_frame():
    frames, tracks, scores = random_tracks(1)
    past = frames < 30
    changed = np.where(past, scores, scores + 100)
    before = smooth_along_tracks(frames, tracks, scores, 3, causal=True)[past]
    after = smooth_along_tracks(frames, tracks, changed, 3, causal=True)[past]
    alone = smooth_along_tracks(frames[past], tracks[past], scores[past], 3, causal=True)
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(before, alone)
    assert not np.allclose(
        smooth_along_tracks(frames, tracks, scores, 3)[past],
        smooth_along_tracks(frames, tracks, changed, 3)[past],
    )


def test_sigma_0_gives_a_copy():
    frames, tracks, scores = random_tracks(2)
    smoothed = smooth_along_tracks(frames, tracks, scores, 0)
    np.testing.assert_array_equal(smoothed, scores)
    assert smoothed.dtype == np.float64
    scores = scores.astype(np.float64)
    assert not np.shares_memory(smooth_along_tracks(frames, tracks, scores, 0), scores)


def test_constant_scores_stay():
    frames, tracks, scores = random_tracks(3)
    for causal in (False, True):
        smoothed = smooth_along_tracks(frames, tracks, np.full(len(scores), 0.7), 4, causal)
        np.testing.assert_allclose(smoothed, 0.7)


def test_no_objects():
    none = np.zeros(0)
    tracks = link_objects(none, np.zeros((0, 4)))
    assert tracks.shape == (0,)
    assert tracks.dtype == np.int64
    for sigma in (0, 3):
        assert smooth_along_tracks(none, tracks, none, sigma).shape == (0,)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(frames=[[0], [1]]), r'frames: expected shape \(n,\), got \(2, 1\)'),
        (dict(frames=[0]), r'boxes: expected shape \(1, 4\) for 1 objects, got \(2, 4\)'),
        (dict(boxes=np.zeros((2, 5))), r'boxes: .*\(2, 5\)'),
        (dict(frames=[7, 6]), 'frames: expected ascending numbers, got 6 after 7'),
        (dict(boxes=[box(0), box(0, size=-3)]), 'boxes: expected finite'),
        (dict(boxes=[box(0), box(math.nan)]), 'boxes: expected finite.*nan'),
        (dict(boxes=[box(0), box(math.inf)]), 'boxes: expected finite.*inf'),
        (dict(min_iou=0), 'min_iou: .*got 0'),
        (dict(min_iou=1.5), 'min_iou: .*1.5'),
        (dict(max_gap=0), 'max_gap: .*got 0'),
        (dict(max_gap=2.5), 'max_gap: .*2.5'),
    ],
)
def test_bad_input_of_linking_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        link_objects(**{'frames': [0, 1], 'boxes': [box(0), box(1)], **change})


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(frames=0), r'frames: expected shape \(n,\), got \(\)'),
        (dict(tracks=[0]), r'tracks: expected shape \(2,\) for 2 objects, got \(1,\)'),
        (dict(scores=[[1.0, 2.0]]), r'scores: .*\(1, 2\)'),
        (dict(frames=[3, 1]), 'frames: .*got 1 after 3'),
        (dict(sigma=-1), 'sigma: .*-1'),
        (dict(sigma=math.nan), 'sigma: .*nan'),
        (dict(sigma='5'), "sigma: .*'5'"),
        (dict(prior=-1), 'prior: .*-1'),
    ],
)
def test_bad_input_of_smoothing_is_named(change, words):
    good = dict(frames=[0, 1], tracks=[0, 0], scores=[1.0, 2.0], sigma=2)
    with pytest.raises(ValueError, match=words):
        smooth_along_tracks(**{**good, **change})


def test_a_long_crowded_video_takes_seconds():
    """100,000 objects in 10 tracks of 10,000 frames; a double loop would take hours."""
    frames = np.repeat(np.arange(10_000), 10)
    drift = np.sin(frames / 50)
    left = np.tile(np.arange(10) * 20.0, 10_000) + drift
    boxes = np.stack([left, drift, left + 10, drift + 10], axis=1)
    start = time.perf_counter()
    tracks = link_objects(frames, boxes)
    smoothed = smooth_along_tracks(frames, tracks, drift, 10)
    assert time.perf_counter() - start < 30
    np.testing.assert_array_equal(tracks, np.tile(np.arange(10), 10_000))
    assert 0.9 < smoothed.max() < 1
