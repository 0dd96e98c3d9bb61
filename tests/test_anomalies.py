"""Anomalies that are made of normal video: what is altered, where, and what is left alone."""

import numpy as np
import pytest

from mmvad.anomalies import (
    Elsewhere,
    Faster,
    Lying,
    Moment,
    OnTheSpot,
    Resized,
    Reversed,
    Stopped,
    Thrown,
    Vehicle,
    median_frame,
)
from mmvad.registry import ANOMALIES

HEIGHT, WIDTH, STEPS = 120, 200, 6
SIDE = np.array([12, 24])  # width and height of the object
AT, SPEED = np.array([90.0, 40.0]), np.array([2.0, 0.0])


def background() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def look(offset: int) -> np.ndarray:
    """A bright upright thing, brighter above than below, that goes to the right."""
    frame = background()
    x, y = (AT + SPEED * offset).round().astype(int)
    frame[y : y + SIDE[1] // 2, x : x + SIDE[0]] = 250
    frame[y + SIDE[1] // 2 : y + SIDE[1], x : x + SIDE[0]] = 200
    return frame


@pytest.fixture
def moment() -> Moment:
    return Moment(
        look=look,
        object=np.concatenate([AT, AT + SIDE]),
        velocity=SPEED,
        background=background(),
        places=np.array([[AT[0] + 6, AT[1] + 24, 24.0]]),
        steps=STEPS,
        rng=np.random.default_rng(1),
    )


def bright(frame: np.ndarray) -> np.ndarray:
    """(k, 2) x and y of the object's pixels."""
    return np.argwhere(frame.min(axis=2) > 150)[:, ::-1]


def left_edge(frame: np.ndarray) -> int:
    return int(bright(frame)[:, 0].min())


@pytest.mark.parametrize('times', [2, 3])
def test_faster_shows_earlier_times_where_the_object_is(moment, times):
    frames, box = Faster(times)(moment)
    assert len(frames) == STEPS
    found = [left_edge(frame) for frame in frames]
    assert found == [90 - 2 * times * k for k in range(STEPS - 1, -1, -1)]
    np.testing.assert_array_equal(frames[-1], look(0))
    np.testing.assert_array_equal(box, moment.object)


def test_the_rest_of_the_picture_goes_on(moment):
    frames, _ = Faster(3)(moment)
    for frame, offset in zip(frames, range(1 - STEPS, 1), strict=True):
        far = np.ones((HEIGHT, WIDTH), bool)
        far[25:80, 40:115] = False
        np.testing.assert_array_equal(frame[far], look(offset)[far])


def test_stopped_stays_and_is_not_frozen(moment):
    frames, _ = Stopped()(moment)
    assert [left_edge(frame) for frame in frames] == [90] * STEPS
    off = np.abs(frames[0].astype(int) - frames[1].astype(int))[40:64, 90:102]
    assert 0 < off.max() < 15


def test_reversed_comes_from_where_it_went(moment):
    frames, _ = Reversed()(moment)
    assert [left_edge(frame) for frame in frames] == [90 + 2 * k for k in range(STEPS - 1, -1, -1)]


@pytest.mark.parametrize('times', [0.5, 1.7])
def test_resized_keeps_its_feet(moment, times):
    frames, box = Resized(times)(moment)
    for frame in (frames[0], frames[-1]):
        pixels = bright(frame)
        size = np.ptp(pixels, axis=0) + 1
        np.testing.assert_allclose(size, times * SIDE, atol=3)
    pixels = bright(frames[-1])
    assert pixels[:, 1].max() == pytest.approx(64, abs=0.1 * times * 24 + 2)
    assert pixels[:, 0].mean() == pytest.approx(96, abs=2)
    assert (box[2:] - box[:2]) == pytest.approx(1.2 * times * SIDE, abs=3)


def test_lying_is_turned_and_stands_no_more(moment):
    frames, box = Lying()(moment)
    size = np.ptp(bright(frames[-1]), axis=0) + 1
    np.testing.assert_allclose(size, SIDE[::-1], atol=4)
    assert box[2] - box[0] > box[3] - box[1]
    # Its head was above: the background shows there.
    assert frames[-1][42, 96].max() < 150


def test_lying_suits_only_what_stands(moment):
    assert Lying().suits(moment)
    wide = Moment(**dict(vars(moment), object=np.array([10.0, 10, 50, 20])))
    assert not Lying().suits(wide)


def test_on_the_spot_moves_no_more(moment):
    frames, _ = OnTheSpot()(moment)
    middles = np.stack([bright(frame).mean(axis=0) for frame in frames])
    assert np.ptp(middles, axis=0).max() < 1


@pytest.mark.parametrize('kind', [Faster(), Stopped(), Reversed(), OnTheSpot()])
def test_speed_suits_what_moves(moment, kind):
    still = Moment(**dict(vars(moment), velocity=np.zeros(2)))
    if isinstance(kind, (Faster, Stopped, Reversed, OnTheSpot)):
        assert kind.suits(moment) and not kind.suits(still)


def test_elsewhere_is_far_from_training_objects(moment):
    frames, box = Elsewhere()(moment)
    foot = np.array([box[[0, 2]].mean(), box[3]])
    assert np.linalg.norm(foot - moment.places[0, :2]) >= 36
    # It is there twice: where it was, nothing is altered.
    np.testing.assert_array_equal(frames[-1][40:64, 90:102], look(0)[40:64, 90:102])
    assert len(bright(frames[-1])) > 1.5 * len(bright(look(0)))


def test_elsewhere_needs_room(moment):
    x, y = np.meshgrid(np.arange(0, WIDTH, 10), np.arange(0, HEIGHT + 1, 10))
    everywhere = np.stack([x.ravel(), y.ravel(), np.full(x.size, 24)], axis=1).astype(float)
    assert not Elsewhere().suits(Moment(**dict(vars(moment), places=everywhere)))


@pytest.mark.parametrize('kind', [Vehicle(pace=0.1), Thrown(pace=0.1)])
def test_things_that_are_drawn_move(moment, kind):
    frames, box = kind(moment)
    corners = []
    for frame, offset in zip(frames, range(1 - STEPS, 1), strict=True):
        rows = np.argwhere(np.abs(frame.astype(int) - look(offset)).max(axis=2) > 20)
        assert len(rows) > 10
        corners.append(rows[:, 1].mean())
    assert np.abs(np.diff(corners)) == pytest.approx(2.4, abs=1.1)
    assert abs(corners[-1] - corners[0]) == pytest.approx(12, abs=1.5)
    assert 0 <= box[0] < box[2] <= WIDTH


@pytest.mark.parametrize('name', sorted(ANOMALIES.module_dict) or ['Faster'])
def test_the_same_chance_makes_the_same_frames_and_alters_nothing_that_is_read(moment, name):
    kind = ANOMALIES.build(dict(type=name))
    first, box = kind(moment.with_chance(np.random.default_rng(5)))
    second, again = kind(moment.with_chance(np.random.default_rng(5)))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(box, again)
    assert kind.text and kind.reach(STEPS) >= STEPS
    np.testing.assert_array_equal(moment.background, background())


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(type='Faster', times=1), 'Faster.times: expected a whole number above 1'),
        (dict(type='Resized', times=1), 'Resized.times: expected 0.1 to 10 and not 1'),
        (dict(type='Resized', times=0), 'Resized.times'),
    ],
)
def test_bad_settings_are_named(cfg, message):
    with pytest.raises(ValueError, match=message):
        ANOMALIES.build(cfg)


def test_the_median_shows_the_view_without_anybody():
    frames = [look(offset) for offset in range(-40, 41)]
    np.testing.assert_array_equal(median_frame(frames), background())
