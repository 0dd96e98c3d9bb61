"""Optical flow, from frames to the flow channels of a tube's crops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmvad.datasets import TubeSweep
from mmvad.motion import FrameFlow
from mmvad.registry import TRANSFORMS
from mmvad.structures import ObjectTubes

H, W = 120, 160


def moving(places, scale=1, seed=0) -> list[np.ndarray]:
    """A texture that fills the frame, at one place (x, y) a frame."""
    margin = 40
    noise = np.random.default_rng(seed).uniform(
        0, 255, ((H + 2 * margin) // 4, (W + 2 * margin) // 4, 3)
    )
    size = ((W + 2 * margin) * scale, (H + 2 * margin) * scale)
    texture = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    frames = []
    for x, y in places:
        move = np.array([[1, 0, (x - margin) * scale], [0, 1, (y - margin) * scale]], np.float64)
        frames.append(cv2.warpAffine(texture, move, (W * scale, H * scale), flags=cv2.INTER_CUBIC))
    return frames


def steady(velocity, length, **kwargs) -> list[np.ndarray]:
    return moving([(velocity[0] * i, velocity[1] * i) for i in range(length)], **kwargs)


def apart(length, scale=1) -> list[np.ndarray]:
    """The left half moves to the right and the right half to the left, 2 pixels a frame."""
    frames = steady((2, 0), length, scale=scale)
    for frame, other in zip(frames, steady((-2, 0), length, scale=scale, seed=1), strict=True):
        frame[:, W * scale // 2 :] = other[:, W * scale // 2 :]
    return frames


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """Grows by one with every flow between two frames that is computed."""
    calls, create = [], cv2.DISOpticalFlow_create

    class Counting:
        def __init__(self, *args):
            self.method = create(*args)

        def calc(self, *args):
            calls.append(1)
            return self.method.calc(*args)

    monkeypatch.setattr(cv2, 'DISOpticalFlow_create', Counting)
    return calls


class TestFrameFlow:
    @pytest.mark.parametrize('velocity', [(2, 0), (0, -3), (-1.5, 1), (4, -3), (0, 0)])
    def test_a_known_translation_is_measured(self, velocity):
        flow = FrameFlow()(steady(velocity, 3))
        assert flow.shape == (H, W, 2) and flow.dtype == np.float32
        assert np.abs(flow - velocity).mean() < 0.25

    def test_the_last_pairs_are_averaged(self):
        # 9, then 1, then 3 pixels a frame.
        frames = moving([(0, 0), (9, 0), (10, 0), (13, 0)])
        for pairs, speed in ((1, 3), (2, 2), (3, 13 / 3)):
            assert np.median(FrameFlow(pairs)(frames)[..., 0]) == pytest.approx(speed, abs=0.25)

    def test_motion_lies_where_the_last_frame_shows_it(self):
        (ground, _), (thing, _) = steady((0, 0), 2), steady((0, 0), 2, seed=1)
        frames = [ground.copy(), ground.copy()]
        for frame, left in zip(frames, (40, 46), strict=True):
            frame[40:80, left : left + 40] = thing[40:80, 40:80]
        flow = FrameFlow(pairs=1)(frames)
        speed = np.linalg.norm(flow, axis=-1)
        # The middle of the square, which was 60 in the first frame.
        assert (speed.sum(0) * np.arange(0.5, W)).sum() / speed.sum() == pytest.approx(66, abs=2)

    def test_larger_frames_are_reduced_and_give_pixels_of_the_unreduced_frame(self):
        frames = steady((2, -1), 3, scale=4)  # (8, -4) pixels of 480 x 640
        flow = FrameFlow(short_side=240)(frames)
        assert flow.shape == (240, 320, 2)
        np.testing.assert_allclose(np.median(flow, axis=(0, 1)), (8, -4), atol=0.3)
        small = steady((2, -1), 3)
        assert FrameFlow(short_side=240)(small).shape == (H, W, 2)
        np.testing.assert_array_equal(
            FrameFlow(short_side=240)(small), FrameFlow(short_side=H)(small)
        )

    def test_flow_that_is_kept_is_not_computed_again(self, computed):
        frames = steady((2, 1), 5)
        flow = FrameFlow()
        first = flow(frames[:3])
        assert len(computed) == 2
        np.testing.assert_array_equal(flow(frames[:3]), first)
        assert len(computed) == 2
        second = flow(frames[:4])
        assert len(computed) == 3
        np.testing.assert_array_equal(second, FrameFlow()(frames[:4]))
        # The same frames in other pairs are other flows.
        np.testing.assert_array_equal(flow(frames[2::-1]), FrameFlow()(frames[2::-1]))

    def test_more_frames_than_are_kept_give_the_same(self):
        frames = steady((2, 1), 6)
        flow = FrameFlow(keep_mb=0)
        for last in (3, 4, 5, 4, 6):
            np.testing.assert_array_equal(flow(frames[:last]), FrameFlow()(frames[:last]))

    def test_frames_at_the_address_of_earlier_ones_are_not_taken_for_them(self):
        videos = [steady((speed, 0), 2) for speed in range(-3, 4)]
        flow = FrameFlow(pairs=1)
        for video in videos:
            # Those of the video before are freed, and nothing else is made in between.
            frames = [frame.copy() for frame in video]
            np.testing.assert_array_equal(flow(frames), FrameFlow(pairs=1)(video))
            del frames

    def test_bad_input_is_named(self):
        with pytest.raises(ValueError, match='over 2 pairs of frames needs 3 frames, got 2'):
            FrameFlow()(steady((1, 0), 2))
        with pytest.raises(ValueError, match='pairs: .* got 0'):
            FrameFlow(pairs=0)


def crop(results: dict, *flow: dict, single=False, size=(24, 32)) -> dict:
    for cfg in (
        *flow,
        dict(type='CropTubes', size=size),
        dict(type='PackTubeInputs', single=single),
    ):
        results = TRANSFORMS.build(cfg)(results)
    return results


FLOW = dict(type='ComputeTubeFlow')


class TestTubeFlow:
    BOXES = np.array([[20, 30, 60, 60], [100, 40, 130, 100]], np.float32)

    def test_flow_is_two_more_channels_in_per_cent_of_the_short_side(self):
        imgs = steady((3, -1.2), 5)
        packed = crop(dict(imgs=imgs, boxes=self.BOXES), FLOW)
        plain = crop(dict(imgs=imgs[2:], boxes=self.BOXES))
        assert plain['inputs'].shape == (2, 3, 3, 24, 32)
        assert packed['inputs'].shape == (2, 3, 5, 24, 32)
        assert str(plain['inputs'].dtype) == 'torch.uint8'
        assert str(packed['inputs'].dtype) == 'torch.float32'
        # The first frames, which only the flow needs, are gone.
        assert packed['inputs'][:, :, :3].equal(plain['inputs'].float())
        np.testing.assert_allclose(packed['inputs'][:, :, 3].median(), 2.5, atol=0.2)
        np.testing.assert_allclose(packed['inputs'][:, :, 4].median(), -1, atol=0.2)

    def test_a_tube_by_itself(self):
        results = dict(source=steady((3, 0), 9), frame=7, boxes=self.BOXES[:1])
        load = dict(type='LoadTubeFrames', depth=3, strides=(2,))
        packed = crop(results, load, FLOW, single=True)
        assert packed['inputs'].shape == (1, 5, 24, 32)
        np.testing.assert_allclose(packed['inputs'][:, 3].median(), 5, atol=0.2)

    @pytest.mark.parametrize('short_side', [H, 240])
    def test_it_does_not_depend_on_the_resolution(self, short_side):
        """Whether the larger frames are reduced before the flow is measured or not."""
        flow = dict(FLOW, short_side=short_side)
        small = crop(dict(imgs=apart(4), boxes=self.BOXES), flow)['inputs'][:, :, 3:]
        large = crop(dict(imgs=apart(4, scale=2), boxes=self.BOXES * 2), flow)['inputs'][:, :, 3:]
        # Each box shows its own half's motion, so it is cut at the right place.
        for inputs in (small, large):
            np.testing.assert_allclose(inputs[0, :, 0].median(), 100 * 2 / H, atol=0.2)
            np.testing.assert_allclose(inputs[1, :, 0].median(), -100 * 2 / H, atol=0.2)
        assert (large - small).abs().mean() < 0.2

    def test_a_sweep_hands_out_the_frames_that_the_flow_needs(self):
        # From frame i - 1 to i: 0.15 (2 i - 1) pixels; on average over two pairs 0.3 (i - 1).
        frames = moving([(0.15 * i**2, 0) for i in range(12)])
        box = np.array([[60, 40, 100, 80]] * 2, np.float32)
        tubes = ObjectTubes(box, box, np.array([5, 10], np.int32), 12, (H, W))
        pipeline = [FLOW, dict(type='CropTubes', size=(24, 24)), dict(type='PackTubeInputs')]
        pipeline = [dict(t, type=f'mmvad.{t["type"]}') for t in pipeline]
        early, late = (item['inputs'] for item in TubeSweep(frames, tubes, 6, pipeline, '01'))
        assert early.shape == late.shape == (1, 6, 5, 24, 24)
        motion = late[0, :, 3].flatten(1).median(dim=1).values * H / 100
        np.testing.assert_allclose(motion, 0.3 * np.arange(4, 10), atol=0.25)
        images = crop(dict(imgs=frames[5:11], boxes=box[:1]), size=(24, 24))['inputs']
        assert late[:, :, :3].equal(images.float())
        # Before the start of the video its first frame stands in, and nothing moves.
        assert early[0, 0, 3:].abs().max() == 0
        assert early[0, 5, 3].median() * H / 100 == pytest.approx(1.2, abs=0.25)

        plain = list(TubeSweep(frames, tubes, 6, pipeline[1:], '01'))
        assert plain[1]['inputs'].equal(images)
