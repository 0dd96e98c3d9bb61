import time
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvad.datasets.ground_truth.pixel_masks import read_pixel_masks
from mmvad.evaluation.functional import (
    MIN_REGION_AREA,
    Detections,
    Regions,
    mask_components,
    rbdc_tbdc,
    region_track_auc,
    regions_from_masks,
)


def box(left, top=0, size=10):
    return [left, top, left + size, top + size]


def regions(*rows):
    """Regions of rows (video, frame, box, track)."""
    videos, frames, boxes, tracks = zip(*rows, strict=True)
    return Regions(videos, frames, boxes, tracks)


def detections(*rows):
    """Detections of rows (video, frame, box, score)."""
    videos, frames, boxes, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Detections(videos, frames, np.reshape(boxes, (-1, 4)), scores)


def naive_iou(a, b):
    """IoU of boxes with whole-numbered corners, exactly."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = sum(int((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b))
    return Fraction(int(width * height), areas - int(width * height))


def naive_curve(truth, found, iou, share):
    """(false positives, region rate, track rate) at every threshold, by the definitions."""
    points = []
    for threshold in [np.inf, *sorted(set(found.scores.tolist()), reverse=True)]:
        hit = [False] * len(truth.videos)
        false_positives = 0
        for video, frame, box, score in zip(
            found.videos, found.frames, found.boxes, found.scores, strict=True
        ):
            if score < threshold:
                continue
            touched = [
                index
                for index, there in enumerate(truth.boxes)
                if (truth.videos[index], truth.frames[index]) == (video, frame)
                and naive_iou(box, there) >= iou
            ]
            for index in touched:
                hit[index] = True
            false_positives += not touched
        tracks = {}
        for video, track, is_hit in zip(truth.videos, truth.tracks, hit, strict=True):
            tracks.setdefault((video, track), []).append(is_hit)
        hit_tracks = [Fraction(sum(h), len(h)) >= share for h in tracks.values()]
        points.append((false_positives, np.mean(hit), np.mean(hit_tracks)))
    return points


def naive_area(x, y, limit):
    """Area under the curve up to ``limit``, piece by piece, divided by it."""
    total = 0.0
    for x0, y0, x1, y1 in zip(x, y, x[1:], y[1:], strict=False):
        if x0 < limit < x1:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        total += max(min(x1, limit) - x0, 0) * (y0 + y1) / 2
    return (total + max(limit - x[-1], 0) * y[-1]) / limit


def random_case(seed):
    """A few videos with tracks, and boxes near them and elsewhere; scores with many ties."""
    rng = np.random.default_rng(seed)
    videos, frames, tracks = np.nonzero(rng.random((3, 6, 4)) < 0.4)
    if not len(videos):
        videos = frames = tracks = np.zeros(1, dtype=np.int64)
    corner = rng.integers(0, 30, (len(videos), 2))
    truth = Regions(
        videos * 7, frames, np.hstack([corner, corner + rng.integers(1, 15, corner.shape)]), tracks
    )
    count = int(rng.integers(0, 60))
    corner = rng.integers(0, 30, (count, 2))
    found = Detections(
        rng.integers(0, 3, count) * 7,
        rng.integers(0, 8, count),
        np.hstack([corner, corner + rng.integers(1, 15, corner.shape)]),
        rng.integers(0, int(rng.integers(2, 40)), count) / 8 - 2,
    )
    return truth, found


corners = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 9)] * 2).map(
    lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3])
)
places = st.tuples(st.integers(0, 1), st.integers(0, 3))


@settings(max_examples=300, deadline=None)
@given(
    truth=st.dictionaries(st.tuples(places, st.integers(0, 2)), corners, min_size=1, max_size=8),
    found=st.lists(st.tuples(places, corners, st.integers(-3, 3)), max_size=12),
)
def test_matches_the_definitions_on_what_hypothesis_finds(truth, found):
    truth = regions(*((v, f, corner, track) for ((v, f), track), corner in truth.items()))
    found = detections(*((v, f, corner, score) for (v, f), corner, score in found))
    result = region_track_auc(truth, found, num_frames=8)
    points = naive_curve(truth, found, Fraction(1, 10), Fraction(1, 10))
    x, y, z = (np.array(column, float) for column in zip(*points, strict=True))
    np.testing.assert_allclose(result.false_positives_per_frame, x / 8)
    np.testing.assert_allclose(result.region_rate, y)
    np.testing.assert_allclose(result.track_rate, z)
    assert result.rbdc == pytest.approx(naive_area(x / 8, y, 1))
    assert result.tbdc == pytest.approx(naive_area(x / 8, z, 1))


@pytest.mark.parametrize(
    ('iou', 'share'), [('1/10', '1/10'), ('1/4', '1/2'), ('1/2', '1'), ('1/8', '2/3')]
)
def test_matches_a_naive_run_over_all_thresholds(iou, share, monkeypatch):
    # So that chunks of pairs end within a frame and within a region.
    monkeypatch.setattr(rbdc_tbdc, '_PAIRS', 7)
    iou, share = Fraction(iou), Fraction(share)
    cut = 0
    for seed in range(40):
        truth, found = random_case(seed)
        # 24 frames at most; with all of them few cases would reach 1 false positive a frame.
        present = {*zip(truth.videos, truth.frames, strict=True)}
        num_frames = len(present | {*zip(found.videos, found.frames, strict=True)}) + seed % 2 * 5
        result = region_track_auc(truth, found, num_frames, iou=float(iou), share=float(share))
        false_positives, region_rate, track_rate = zip(
            *naive_curve(truth, found, iou, share), strict=True
        )
        np.testing.assert_allclose(
            result.false_positives_per_frame, np.divide(false_positives, num_frames)
        )
        np.testing.assert_allclose(result.region_rate, region_rate)
        np.testing.assert_allclose(result.track_rate, track_rate)
        assert result.rbdc == pytest.approx(naive_area(false_positives, region_rate, num_frames))
        assert result.tbdc == pytest.approx(naive_area(false_positives, track_rate, num_frames))
        cut += false_positives[-1] > num_frames
    assert 5 < cut < 35


def test_one_region_and_one_detection():
    truth = regions((0, 3, box(0), 0))
    # 5 x 10 pixels are common, and each has as many of its own: an IoU of 1/3.
    hit = region_track_auc(truth, detections((0, 3, box(5), 0.5)), num_frames=4)
    assert (hit.rbdc, hit.tbdc) == (1, 1)
    np.testing.assert_array_equal(hit.thresholds, [np.inf, 0.5])
    np.testing.assert_array_equal(hit.false_positives_per_frame, [0, 0])
    np.testing.assert_array_equal(hit.region_rate, [0, 1])
    np.testing.assert_array_equal(hit.track_rate, [0, 1])
    for elsewhere in [(0, 3, box(50), 0.5), (0, 2, box(0), 0.5), (1, 3, box(0), 0.5)]:
        miss = region_track_auc(truth, detections(elsewhere), num_frames=4)
        assert (miss.rbdc, miss.tbdc) == (0, 0)
        np.testing.assert_array_equal(miss.false_positives_per_frame, [0, 1 / 4])


def test_iou_of_exactly_the_least_hits():
    # 10 x 10 pixels of a box of 10 x 100.
    truth, found = regions((0, 0, box(0), 0)), detections((0, 0, [0, 0, 10, 100], 1))
    assert region_track_auc(truth, found, 1).rbdc == 1
    assert region_track_auc(truth, found, 1, iou=0.101).rbdc == 0


@pytest.mark.parametrize(('length', 'needed'), [(1, 1), (10, 1), (11, 2), (70, 7), (71, 8)])
def test_a_track_is_hit_by_a_tenth_of_its_frames(length, needed):
    # In floats 0.1 * 70 is above 7.
    truth = regions(*[(0, frame, box(0), 5) for frame in range(length)])
    for hits in (needed - 1, needed):
        found = detections(*[(0, frame, box(0), frame + 1) for frame in range(hits)])
        result = region_track_auc(truth, found, length)
        assert result.tbdc == (hits == needed)
        assert result.rbdc == pytest.approx(hits / length)
        # It is hit once the least of the needed ones is in.
        np.testing.assert_array_equal(result.track_rate, (np.arange(hits + 1) == needed) * 1.0)


def test_equal_track_numbers_of_two_videos_are_two_tracks():
    truth = regions((0, 0, box(0), 1), (1, 0, box(0), 1))
    assert region_track_auc(truth, detections((0, 0, box(0), 1)), 2).tbdc == 1 / 2


def test_false_positives_before_a_hit():
    # Out of 4 frames 1 false positive comes before the hit: it is there from 1/4 on.
    truth = regions((0, 0, box(0), 0))
    found = detections((0, 1, box(0), 3), (0, 0, box(0), 2), (0, 2, box(0), 1))
    result = region_track_auc(truth, found, 4)
    assert (result.rbdc, result.tbdc) == (3 / 4, 3 / 4)


def test_further_detections_of_a_region_count_no_more():
    truth = regions((0, 0, box(0), 0), (0, 1, box(0), 0))
    found = detections(*[(0, 0, box(shift), 3 - shift) for shift in range(3)])
    result = region_track_auc(truth, found, 2)
    np.testing.assert_array_equal(result.region_rate, [0, 0.5, 0.5, 0.5])
    np.testing.assert_array_equal(result.false_positives_per_frame, 0)


def test_ties_come_in_together():
    # A hit and a false positive of one score: a straight line from (0, 0) to (1/2, 1), then flat.
    truth = regions((0, 0, box(0), 0))
    rows = [(0, 0, box(0), 1), (0, 1, box(0), 1)]
    for order in (rows, rows[::-1]):
        assert region_track_auc(truth, detections(*order), 2).rbdc == 1 / 2 * 1 / 2 + 1 / 2


def test_one_detection_hits_several_regions():
    truth = regions((0, 0, box(0), 0), (0, 0, box(10), 1), (0, 0, box(80), 2))
    result = region_track_auc(truth, detections((0, 0, [0, 0, 20, 10], 1)), 1)
    assert result.rbdc == result.tbdc == pytest.approx(2 / 3)
    np.testing.assert_array_equal(result.false_positives_per_frame, 0)


def test_no_detections():
    result = region_track_auc(regions((0, 0, box(0), 0)), detections(), 1)
    assert (result.rbdc, result.tbdc) == (0, 0)
    np.testing.assert_array_equal(result.thresholds, [np.inf])


def test_curve_is_cut_at_one_false_positive_a_frame():
    # 2 frames: (0, 0), then 1 false positive: (1/2, 0), then a hit of one of two regions tied with
    # 3 more: (2, 1/2). On the way from 1/2 to 2 the line is at 1/2 * 1/3 where it meets 1.
    truth = regions((0, 0, box(0), 0), (0, 1, box(0), 1))
    far = [(0, 0, box(100 * i), 1) for i in range(1, 4)]
    found = detections((0, 1, box(90), 2), (0, 0, box(0), 1), *far)
    result = region_track_auc(truth, found, 2)
    assert result.rbdc == result.tbdc == pytest.approx(1 / 2 * (1 / 6) / 2)
    np.testing.assert_array_equal(result.false_positives_per_frame, [0, 1 / 2, 2])

    # What is found at exactly 1 false positive a frame or beyond adds no area.
    late = detections((0, 0, box(90), 4), (0, 1, box(90), 3), (0, 0, box(0), 2), (0, 1, box(0), 1))
    assert region_track_auc(truth, late, 2).rbdc == 0


def test_order_and_numbers_do_not_matter():
    truth, found = random_case(3)
    result = region_track_auc(truth, found, 30)
    rng = np.random.default_rng(0)
    mixed, others = rng.permutation(len(truth.videos)), rng.permutation(len(found.videos))
    huge = 2**62
    again = region_track_auc(
        Regions(
            huge - truth.videos[mixed],
            truth.frames[mixed] + huge,
            truth.boxes[mixed],
            -truth.tracks[mixed],
        ),
        Detections(
            huge - found.videos[others],
            found.frames[others] + huge,
            found.boxes[others],
            found.scores[others],
        ),
        30,
    )
    assert (again.rbdc, again.tbdc) == (result.rbdc, result.tbdc)
    np.testing.assert_array_equal(again.region_rate, result.region_rate)


def random_test_set(count):
    """``count`` boxes in 50,000 frames of 50 videos, and 20,000 regions of 200 tracks.

    The first boxes are those of the regions, with a score that is higher on average.
    """
    rng = np.random.default_rng(0)
    index = np.arange(20_000)
    corner = rng.uniform(0, 600, (count, 2))
    boxes = np.hstack([corner, corner + 40])
    videos, frames = rng.integers(0, 50, count), rng.integers(0, 1000, count)
    # In each video four tracks of 100 frames follow each other.
    videos[:20_000], frames[:20_000] = index // 400, index % 400
    scores = rng.normal(size=count)
    scores[:20_000] += 1
    truth = Regions(videos[:20_000], frames[:20_000], boxes[:20_000], index // 100)
    return truth, Detections(videos, frames, boxes, scores)


def test_a_million_boxes_in_time():
    truth, found = random_test_set(1_000_000)
    started = time.perf_counter()
    result = region_track_auc(truth, found, 50_000)
    assert time.perf_counter() - started < 20
    assert 0 < result.rbdc < result.tbdc < 1


def field(**changes):
    fields = {'videos': [0, 0], 'frames': [0, 1], 'boxes': [box(0)] * 2, **changes}
    return {key: value for key, value in fields.items() if value is not None}


@pytest.mark.parametrize(
    ('make', 'changes', 'words'),
    [
        (Regions, {'videos': [[0, 0]]}, ['videos:', '(n,)', '(1, 2)']),
        (Regions, {'frames': [0, 1, 2]}, ['frames:', '(2,)', '(3,)']),
        (Regions, {'frames': [0.0, 1.0]}, ['frames:', 'whole numbers', 'float64']),
        (Regions, {'frames': [0, -1]}, ['frames:', 'from 0 up', '-1']),
        (Regions, {'boxes': [0, 1]}, ['boxes:', '(2, 4)', '(2,)']),
        (Regions, {'boxes': [box(0), [0, 0, 0, 9]]}, ['boxes:', 'x1 < x2', 'index 1']),
        (Regions, {'boxes': [box(0), [0, 9, 9, 8]]}, ['boxes:', 'y1 < y2', 'index 1']),
        (Regions, {'boxes': [[0, 0, np.inf, 1], box(0)]}, ['boxes:', 'finite', 'index 0']),
        (Regions, {'tracks': [True, False]}, ['tracks:', 'whole numbers', 'bool']),
        (Regions, {'frames': [4, 4]}, ['tracks:', 'track 3 of video 0', 'frame 4']),
        (Detections, {'scores': [1.0]}, ['scores:', '(2,)', '(1,)']),
        (Detections, {'scores': [1.0, np.nan]}, ['scores:', 'finite', 'nan', 'index 1']),
        (Detections, {'boxes': [box(0), [5, 0, 4, 9]]}, ['boxes:', 'x1 < x2', 'index 1']),
        (Detections, {'videos': [0.5, 1]}, ['videos:', 'whole numbers']),
    ],
)
def test_errors_name_the_field(make, changes, words):
    last = {'tracks': [3, 3]} if make is Regions else {'scores': [0.5, 1]}
    with pytest.raises(ValueError) as error:
        make(**field(**{**last, **changes}))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ({'truth': Regions([], [], np.zeros((0, 4)), [])}, ['truth:', 'no regions']),
        ({'num_frames': 1}, ['num_frames:', '2 frames']),
        ({'num_frames': 0}, ['num_frames:', 'from 1 up']),
        ({'num_frames': 2.0}, ['num_frames:', '2.0']),
        ({'iou': 0}, ['iou:', 'above 0']),
        ({'iou': 10}, ['iou:', '10']),
        ({'share': float('nan')}, ['share:', 'nan']),
        ({'share': 0.0}, ['share:', 'above 0']),
    ],
)
def test_options_out_of_range(arguments, words):
    usual = {
        'truth': regions((0, 0, box(0), 0)),
        'detections': detections((0, 1, box(0), 1)),
        'num_frames': 2,
    }
    with pytest.raises(ValueError) as error:
        region_track_auc(**{**usual, **arguments})
    for word in words:
        assert word in str(error.value)


def test_regions_from_masks():
    # One object walks right through frames 1 to 4; a pixel that touches it at a corner is part of
    # it. Another stands in frame 3 only, in the last row and column.
    masks = np.zeros((6, 20, 30), dtype=np.uint8)
    for frame in range(1, 5):
        masks[frame, 5:10, 2 * frame : 2 * frame + 8] = 255
        masks[frame, 10, 2 * frame + 8] = 1
    masks[3, 19, 29] = 1
    result = regions_from_masks(masks, video=4, min_region_area=0)
    np.testing.assert_array_equal(result.videos, 4)
    np.testing.assert_array_equal(result.frames, [1, 2, 3, 3, 4])
    np.testing.assert_array_equal(
        result.boxes,
        [[2, 5, 11, 11], [4, 5, 13, 11], [6, 5, 15, 11], [29, 19, 30, 20], [8, 5, 17, 11]],
    )
    np.testing.assert_array_equal(result.tracks, [0, 0, 0, 1, 0])
    same = regions_from_masks(masks > 0, min_region_area=1)
    np.testing.assert_array_equal(same.boxes, result.boxes)
    np.testing.assert_array_equal(same.videos, 0)
    found = mask_components(masks)
    np.testing.assert_array_equal(found.boxes, result.boxes)
    np.testing.assert_array_equal(found.frames, result.frames)
    np.testing.assert_array_equal(found.areas, [41, 41, 41, 1, 41])

    found = Detections(result.videos, result.frames, result.boxes, np.ones(5))
    figures = region_track_auc(result, found, len(masks))
    assert (figures.rbdc, figures.tbdc) == (1, 1)


def test_masks_without_regions():
    assert regions_from_masks(np.zeros((3, 4, 5), dtype=bool)).boxes.shape == (0, 4)


def test_specks_are_no_regions():
    # An object of 8 x 5 pixels stands in four frames, and in the last a speck of 9 beside it.
    masks = np.zeros((5, 20, 30), dtype=bool)
    masks[:4, 5:10, 4:12] = True
    masks[3, 14:17, 20:23] = True
    # A box that is an object's covers the speck, yet its IoU with it is 9 / 100.
    found = detections(
        *((0, frame, [4, 5, 12, 10], 1) for frame in range(4)), (0, 3, box(18, 10), 0)
    )
    raw = regions_from_masks(masks, min_region_area=0)
    assert (len(raw.frames), raw.tracks.max()) == (5, 1)
    kept = regions_from_masks(masks, min_region_area=10)
    np.testing.assert_array_equal(kept.boxes, [[4, 5, 12, 10]] * 4)
    np.testing.assert_array_equal(kept.tracks, [0, 0, 0, 0])
    for truth, rbdc, tbdc in ((raw, 4 / 5, 1 / 2), (kept, 1, 1)):
        figures = region_track_auc(truth, found, 5)
        assert (figures.rbdc, figures.tbdc) == (rbdc, tbdc)
        # The box on the speck is a false positive either way.
        assert figures.false_positives_per_frame[-1] == 1 / 5


@pytest.mark.parametrize(
    ('options', 'frames'),
    [
        ({'min_region_area': 9}, [0, 1]),
        ({'min_region_area': 10}, [0]),
        ({'min_region_area': 11}, []),
        ({}, [0]),
    ],
)
def test_a_region_has_at_least_the_least_area(options, frames):
    # Pixels, not the box: 10 of them on a diagonal are in one of 100.
    masks = np.zeros((2, 20, 20), dtype=np.uint8)
    masks[0][np.arange(10), np.arange(10)] = 255
    masks[1, 3:6, 3:6] = 255
    assert regions_from_masks(masks, **options).frames.tolist() == frames


def test_specks_link_no_tracks():
    # An object of 12 pixels shrinks to 9 for some frames: its track goes on after two of them.
    for away, tracks in ((2, [0, 0]), (3, [0, 1])):
        masks = np.zeros((away + 2, 10, 10), dtype=bool)
        masks[:, 2:5, 2:5] = True
        masks[[0, -1], 2:5, 5] = True
        kept = regions_from_masks(masks, min_region_area=10)
        assert (kept.frames.tolist(), kept.tracks.tolist()) == ([0, away + 1], tracks)
        assert not regions_from_masks(masks, min_region_area=9).tracks.any()
        assert not len(regions_from_masks(masks, min_region_area=13).frames)


@pytest.mark.parametrize('area', [-1, 2.0, True, None, '10', np.nan])
def test_areas_that_are_none(area):
    masks = np.zeros((3, 4, 5), dtype=bool)
    with pytest.raises(ValueError, match=f'min_region_area: expected .* from 0 up, got {area!r}'):
        regions_from_masks(masks, min_region_area=area)


def test_the_speck_of_ped2(shared):
    masks = [read_pixel_masks(p) for p in sorted((shared / 'ped2/testing').glob('Test*_gt'))]
    assert len(masks) == 12
    areas = []
    for video, part in enumerate(masks):
        for frame, mask in enumerate(part):
            _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
            areas += [(int(area), video, frame) for area in stats[1:, cv2.CC_STAT_AREA]]
    # One pixel in Test009; all others are regions, with some room to the least area.
    assert min(areas) == (1, 8, 54)
    assert sorted(areas)[1][0] == 22 > 2 * MIN_REGION_AREA

    kept, raw = (
        [regions_from_masks(part, video, least) for video, part in enumerate(masks)]
        for least in (MIN_REGION_AREA, 0)
    )
    kept, raw = (
        Regions(**{name: np.concatenate([vars(p)[name] for p in parts]) for name in vars(parts[0])})
        for parts in (kept, raw)
    )
    assert (len(raw.frames), len(kept.frames)) == (len(areas), len(areas) - 1)
    # The boxes of all regions, which are the best there can be.
    found = Detections(kept.videos, kept.frames, kept.boxes, np.ones(len(kept.frames)))
    best = region_track_auc(kept, found, 2010)
    assert (best.rbdc, best.tbdc) == (1, 1)
    # Of 22 tracks one is the speck.
    assert region_track_auc(raw, found, 2010).tbdc == pytest.approx(21 / 22)


@pytest.mark.parametrize('masks', [np.zeros((4, 5), np.uint8), np.zeros((3, 4, 5))])
def test_bad_masks(masks):
    with pytest.raises(ValueError, match=r'masks: expected \(F, H, W\) bool or uint8'):
        regions_from_masks(masks)
