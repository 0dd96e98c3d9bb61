"""Box geometry against hand-worked cases."""

import numpy as np
import pytest

from mmvad.proposals.geometry import (
    enlarge,
    merge_overlapping,
    overlap_over_smaller,
    shift_inside,
    square,
    tube_boxes,
)


def boxes(*rows):
    return np.array(rows, np.float64)


def test_overlap_is_intersection_over_the_smaller_box():
    # 10 x 10 and 4 x 10, sharing 2 x 10.
    result = overlap_over_smaller(boxes((0, 0, 10, 10), (8, 0, 12, 10)))
    np.testing.assert_allclose(result, [[1, 0.5], [0.5, 1]])


def test_a_chain_is_united_one_hop_at_a_time():
    a, b, c = (0, 0, 10, 10), (8, 0, 18, 10), (16, 0, 26, 10)
    merged = merge_overlapping(boxes(a, b, c))
    np.testing.assert_array_equal(merged, [(0, 0, 18, 10), (0, 0, 26, 10), (8, 0, 26, 10)])
    whole = merge_overlapping(boxes(a, b, c), mode='components')
    np.testing.assert_array_equal(whole, [(0, 0, 26, 10)])


def test_a_pair_becomes_one_box_and_a_single_stays():
    merged = merge_overlapping(boxes((0, 0, 10, 10), (50, 50, 60, 70), (5, 5, 20, 12)))
    np.testing.assert_array_equal(merged, [(0, 0, 20, 12), (50, 50, 60, 70)])


def test_touching_boxes_do_not_overlap():
    pair = boxes((0, 0, 10, 10), (10, 0, 20, 10))
    np.testing.assert_array_equal(merge_overlapping(pair), pair)


@pytest.mark.parametrize(('min_overlap', 'count'), [(0.19, 1), (0.2, 2)])
def test_min_overlap_is_a_strict_bound(min_overlap, count):
    # 2 x 10 shared by boxes of 10 x 10: 0.2 of each.
    pair = boxes((0, 0, 10, 10), (8, 0, 18, 10))
    assert len(merge_overlapping(pair, min_overlap)) == count


def test_no_boxes_stay_no_boxes():
    empty = np.zeros((0, 4), np.float32)
    assert merge_overlapping(empty).shape == (0, 4)
    assert tube_boxes(empty, (100, 100)).shape == (0, 4)


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match="'neighbours'.*got 'all'"):
        merge_overlapping(boxes((0, 0, 1, 1)), mode='all')


def test_square_extends_the_short_side_about_the_centre():
    np.testing.assert_allclose(square(boxes((10, 0, 20, 30))), [(0, 0, 30, 30)])
    np.testing.assert_allclose(square(boxes((0, 10, 40, 20))), [(0, -5, 40, 35)])


def test_enlarge_scales_both_sides():
    np.testing.assert_allclose(enlarge(boxes((0, 0, 80, 40)), 1.25), [(-10, -5, 90, 45)])


def test_boxes_are_shifted_into_the_frame_not_cut():
    moved = shift_inside(boxes((-10, -5, 30, 35), (70, 80, 110, 120)), (100, 100))
    np.testing.assert_allclose(moved, [(0, 0, 40, 40), (60, 60, 100, 100)])


def test_a_box_larger_than_the_frame_becomes_the_frame():
    cut = shift_inside(boxes((-50, 10, 150, 210)), (100, 120))
    np.testing.assert_allclose(cut, [(0, 0, 120, 100)])


def test_the_whole_chain_on_a_worked_case():
    # A person of 10 x 30 at the left edge: squared to 30, enlarged to 37.5, shifted by 13.75.
    result = tube_boxes(boxes((0, 20, 10, 50)), (100, 200))
    np.testing.assert_allclose(result, [(0, 16.25, 37.5, 53.75)])
