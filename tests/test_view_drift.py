"""The camera moved, or the light is another: told once, when it lasts, with its size."""

from __future__ import annotations

import re
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from conftest import REPO

from mmvad.apis.view_drift import ViewDrift
from mmvad.datasets import FrameSource
from mmvad.motion.registration import ViewStructure

DATASETS = REPO.parent / 'shared' / 'datasets'
SIZE = (640, 360)
#: What the documentation promises of a change that lasts.
SECONDS = 60
#: Of the width, a shift that is found in real footage as well.
SMALLEST = 0.02


def scene(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A coloured place of boxes and lines, whose edges are not those of pixels."""
    rng = np.random.default_rng(seed)
    image = np.full((2 * size[1], 2 * size[0], 3), 120, np.uint8)
    for _ in range(120):
        x, y = rng.integers(0, 2 * size[0]), rng.integers(0, 2 * size[1])
        w, h = rng.integers(20, 200, 2)
        colour = rng.integers(20, 235, 3).tolist()
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def moved(
    image: np.ndarray, right: float = 0, down: float = 0, degrees: float = 0, zoom: float = 1
) -> np.ndarray:
    """As a camera that was moved shows it, positive degrees counter-clockwise (OpenCV's)."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    matrix[:, 2] += right, down
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


def _noise(shape: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.normal(0, 4, shape).astype(np.int16) for _ in range(7)]


NOISE = {shape: _noise(shape) for shape in ((360, 640, 3), (180, 320, 3), (480, 640, 3))}


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = NOISE[image.shape][rng.integers(7)]
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def watched(
    frame: Callable[[int], np.ndarray], seconds: int, step: int = 2
) -> tuple[ViewDrift, list[str]]:
    said: list[str] = []
    drift = ViewDrift(said.append, 'yard')
    for second in range(0, seconds, step):
        drift.look(frame(second), float(second))
    return drift, said


def second_of(line: str) -> int:
    return int(re.match(r'(\d+) s: ', line)[1])


PLACE = scene()


@pytest.mark.parametrize(
    ('how', 'says'),
    [
        (dict(right=8), 'up to 8 of 640 pixels .*\\(\\+8 right, [+-]0 down'),
        (dict(right=-30, down=20), '\\(-30 right, \\+20 down'),
        (dict(right=150), '\\(\\+150 right'),
        # Clockwise is positive, as in pictures whose rows go down.
        (dict(degrees=-1.5), 'turned \\+1.[456] degrees'),
        (dict(degrees=2), 'turned -(1.9|2.0|2.1) degrees'),
        (dict(zoom=1.05), 'zoom 1.0[456]'),
    ],
)
def test_a_camera_that_was_moved_is_told_and_when_it_is_back(how, says):
    rng, other = np.random.default_rng(0), moved(PLACE, **how)
    drift, said = watched(lambda t: noisy(other if 60 <= t < 160 else PLACE, rng), 230)
    told, back = said
    assert re.search(says, told) and '`mmvad adapt yard RECORDINGS`' in told
    assert 60 < second_of(told) <= 60 + SECONDS and 160 < second_of(back) <= 160 + SECONDS
    assert back.endswith('the view is as at first again')
    assert (drift.moved.times, drift.moved.now, drift.light.times) == (1, False, 0)


def test_another_place_is_told():
    rng, other = np.random.default_rng(0), scene(7)
    drift, said = watched(lambda t: noisy(other if t >= 60 else PLACE, rng), 180)
    assert len(said) == 1 and 'the camera shows another view' in said[0]
    assert drift.moved.now and 60 < second_of(said[0]) <= 60 + SECONDS


def crowd(t: int) -> np.ndarray:
    """Twenty people anywhere, at every look elsewhere."""
    image, rng = PLACE.copy(), np.random.default_rng(t)
    for x, y in zip(rng.integers(0, 600, 20), rng.integers(100, 280, 20), strict=True):
        colour = rng.integers(0, 255, 3).tolist()
        cv2.rectangle(image, (int(x), int(y)), (int(x) + 30, int(y) + 80), colour, -1)
    return image


def lorry(t: int) -> np.ndarray:
    """It stands before a third of the place for good."""
    image = PLACE.copy()
    if t > 60:
        image[80:300, 200:420] = scene(3)[80:300, 200:420]
    return image


def test_what_passes_or_lasts_for_seconds_is_none():
    rng = np.random.default_rng(0)

    def shaken(t: int) -> np.ndarray:
        return moved(PLACE, *rng.normal(0, 6, 2)) if 60 <= t < 90 else PLACE

    cases = dict(
        noise=lambda t: PLACE,
        crowd=crowd,
        lorry=lorry,
        shake=shaken,
        # Each for some seconds: a lamp that is on, a lamp that is out, lightning.
        lamp=lambda t: cv2.convertScaleAbs(PLACE, alpha=0.3) if t % 60 < 10 else PLACE,
        lightning=lambda t: np.full_like(PLACE, 250) if t % 30 == 0 else PLACE,
        # A cloud for minutes.
        cloud=lambda t: cv2.convertScaleAbs(PLACE, alpha=0.7) if t > 60 else PLACE,
    )
    for name, frame in cases.items():
        drift, said = watched(lambda t, f=frame: noisy(f(t), rng), 240)
        assert said == [] and drift.moved.times == drift.light.times == 0, name


def test_dusk_of_an_hour_is_told_as_dark_and_not_as_a_move():
    rng = np.random.default_rng(0)

    def dusk(t: int) -> np.ndarray:
        light = max(0.08, 1 - t / 3600)
        return noisy(cv2.convertScaleAbs(PLACE, alpha=light), rng)

    drift, said = watched(dusk, 3900, step=10)
    assert len(said) == 1 and drift.moved.times == 0 and drift.light.now
    found = re.search(r'it has become dark: brightness (\d+) at first and (\d+)', said[0])
    before, now = map(int, found.groups())
    # Two minutes of dusk are in what was seen at first.
    assert 0.95 < before / cv2.cvtColor(PLACE, cv2.COLOR_BGR2GRAY).mean() < 1
    assert 0.4 < now / before < 0.5
    # Half of the light is gone after half an hour; looks are ten seconds apart here.
    assert 1800 < second_of(said[0]) < 1800 + 400


def test_infrared_is_told_and_when_it_is_day_again():
    rng, grey = np.random.default_rng(0), cv2.cvtColor(PLACE, cv2.COLOR_BGR2GRAY)
    infrared = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    drift, said = watched(
        # Noise of all channels alike, as a camera of one channel has.
        lambda t: infrared if 100 <= t < 300 else noisy(PLACE, rng),
        420,
    )
    told, back = said
    assert 'the picture has lost its colour, as by infrared' in told
    assert 100 < second_of(told) <= 100 + SECONDS and 300 < second_of(back) <= 300 + SECONDS
    assert 'the light is as at first again' in back and drift.moved.times == 0


def test_a_move_at_night_is_a_move():
    rng, night = np.random.default_rng(0), cv2.convertScaleAbs(PLACE, alpha=0.15)
    other = moved(night, right=20)

    def seen(t: int) -> np.ndarray:
        return noisy(PLACE if t < 40 else night if t < 150 else other, rng)

    drift, (dark, shifted) = watched(seen, 230)
    assert 'it has become dark' in dark and 40 < second_of(dark) <= 40 + SECONDS
    assert '(+20 right' in shifted and 150 < second_of(shifted) <= 150 + SECONDS
    assert drift.moved.times == drift.light.times == 1


def test_frames_of_another_size_are_looked_at_anew():
    rng = np.random.default_rng(0)
    half, wide = cv2.resize(PLACE, (320, 180)), scene(0, (640, 480))
    drift, said = watched(lambda t: noisy(half if t > 60 else PLACE, rng), 150)
    assert said == [] and drift.moved.times == 0
    # Of another form: what was seen at first tells nothing of it.
    assert watched(lambda t: noisy(wide if t > 60 else PLACE, rng), 180)[1] == []


def real(names: list[str], count: int) -> list[np.ndarray]:
    found = []
    for path in (DATASETS / name for name in names):
        if not path.exists():
            pytest.skip(f'{path} is not here')
        source = FrameSource(path)
        found += [source[int(n)] for n in np.linspace(0, len(source) - 1, count)]
    return found


@pytest.mark.parametrize(
    ('names', 'count'),
    [
        # One camera that stands still; the recordings of Avenue are a few pixels apart.
        ([f'ped2/training/frames/{n}' for n in ('01', '05', '09', '14')], 20),
        (['avenue/training_videos/01.mp4'], 60),
        (['avenue/training_videos/10.mp4'], 60),
        (['avenue/testing_videos/21.avi'], 60),
    ],
)
def test_real_footage_is_still_until_it_is_shifted(names, count):
    frames = real(names, count)
    width = frames[0].shape[1]
    shift = round(width * SMALLEST)

    def seen(t: int) -> np.ndarray:
        frame = frames[t // 2 % len(frames)]
        return moved(frame, right=shift) if t >= 120 else frame

    drift, said = watched(seen, 190)
    assert len(said) == 1, said
    assert 120 < second_of(said[0]) <= 120 + SECONDS and 'the camera has moved' in said[0]
    assert drift.moved.times == 1 and drift.light.times == 0
    right = int(re.search(r'\(([+-]\d+) right', said[0])[1])
    assert abs(right - shift) <= 0.3 * shift


def test_what_is_registered_stays_as_it_was():
    """OpenCV's phase correlation windows pictures in place where their sides need no padding."""
    picture = cv2.resize(PLACE, (320, 180))[..., 0].copy()
    one, other = ViewStructure.of(picture), ViewStructure.of(np.roll(picture, 40, axis=1))
    before = one.local.copy(), other.local.copy()
    found = one.register(other)
    assert found.shift((320, 180)) == pytest.approx([40, 0], abs=0.5)
    np.testing.assert_array_equal(one.local, before[0])
    np.testing.assert_array_equal(other.local, before[1])


def test_the_structure_of_nothing_registers_nothing():
    flat = ViewStructure.of(np.full((180, 320), 90, np.uint8))
    found = flat.register(ViewStructure.of(cv2.resize(PLACE, (320, 180))[..., 0].copy()))
    assert found.agreement < 0.2 and flat.strength == 0
