"""What finds objects: the foreground of a static camera, and mmdet detectors."""

import numpy as np
import pytest
import torch
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

from mmvad.proposals import ForegroundProposer, MMDetProposer
from mmvad.proposals.foreground_proposer import grow_vertically

RPN = 'mmdet::rpn/rpn_r50_fpn_1x_coco.py'


def scene(count=30, size=(80, 120)):
    """A textured still background, a bright square that crosses it, light that flickers."""
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 90, (*size, 3))
    frames, truth = [], []
    for i in range(count):
        frame = ground + 8 * (i % 2) + rng.integers(-2, 3, ground.shape)
        x = 5 + 3 * i
        frame[30:50, x : x + 14] = 200
        frames.append(frame.clip(0, 255).astype(np.uint8))
        truth.append((x, 30, x + 14, 50))
    return frames, truth


class TestForeground:
    def test_follows_a_moving_object_under_flicker(self):
        frames, truth = scene()
        proposer = ForegroundProposer(threshold=25)
        proposer.start(frames)
        for frame, box in zip(frames, truth, strict=True):
            boxes, objects = proposer.propose(frame)
            assert boxes.shape == objects.shape == (1, 4) and boxes.dtype == np.float32
            np.testing.assert_allclose(objects[0], box, atol=3)
            width, height = boxes[0, 2:] - boxes[0, :2]
            assert width == pytest.approx(height) and width >= 1.25 * 20

    def test_an_empty_scene_has_no_objects(self):
        frames, _ = scene()
        still = [frames[0]] * 10
        proposer = ForegroundProposer()
        proposer.start(still)
        assert proposer.propose(still[0])[0].shape == (0, 4)

    def test_only_the_largest_are_kept(self):
        frame = np.zeros((60, 60, 3), np.uint8)
        proposer = ForegroundProposer(max_objects=2, blur=0, close_size=(1, 1))
        proposer.start([frame] * 3)
        busy = frame.copy()
        for x, side in ((2, 8), (20, 12), (40, 10)):
            busy[10 : 10 + side, x : x + side] = 255
        # Median flicker correction needs most of the frame to be background.
        _, objects = proposer.propose(busy)
        np.testing.assert_allclose(objects[:, 0], [20, 40], atol=1)

    def test_who_stands_about_in_one_video_is_no_background_of_the_split(self):
        ground = np.full((60, 80, 3), 80, np.uint8)
        stands = ground.copy()
        stands[20:40, 30:40] = 200
        first, second = [stands] * 20, [ground] * 30
        own = ForegroundProposer(background='video')
        own.start(first)
        assert len(own.propose(stands)[0]) == 0
        shared = ForegroundProposer(background='split')
        with pytest.raises(RuntimeError, match='needs fit'):
            shared.start(first)
        shared.fit([first, second, second])
        shared.start(first)
        np.testing.assert_allclose(shared.propose(stands)[1], [(30, 20, 40, 40)], atol=2)
        with pytest.raises(ValueError, match='frames of size'):
            shared.start([np.zeros((50, 80, 3), np.uint8)])
        with pytest.raises(ValueError, match='several sizes'):
            shared.fit([first, [np.zeros((50, 80, 3), np.uint8)]])
        with pytest.raises(ValueError, match="background: expected 'video' or 'split'"):
            ForegroundProposer(background='camera')

    def test_shadows_are_left_out_and_clothes_are_not(self):
        ground = np.full((60, 80, 3), (120, 140, 160), np.uint8)
        frame = ground.copy()
        frame[10:50, 20:30] = (160, 60, 40)  # another colour
        frame[40:50, 30:60] = ground[40:50, 30:60] * 0.6  # the same colour, darker
        plain, aware = ForegroundProposer(), ForegroundProposer(shadow=(0.4, 0.97))
        for proposer, right in ((plain, 60), (aware, 30)):
            proposer.start([ground] * 5)
            (x1, y1, x2, y2) = proposer.propose(frame)[1][0]
            assert (x1, x2) == pytest.approx((20, right), abs=3)

    def test_grey_legs_are_kept_and_the_shadow_beside_them_is_not(self):
        ground = np.full((60, 80, 3), (120, 140, 160), np.uint8)
        frame = ground.copy()
        frame[10:30, 20:30] = (160, 60, 40)  # a coat
        frame[30:50, 20:30] = ground[30:50, 20:30] * 0.6  # legs in the colour of a shadow
        frame[38:41, 20:30] = ground[38:41, 20:30]  # with a gap
        frame[45:50, 30:65] = ground[45:50, 30:65] * 0.6
        proposer = ForegroundProposer(shadow=(0.4, 0.97), blur=0)
        proposer.start([ground] * 5)
        # The last closing, 3 pixels wide, doesn't reach out to the side.
        np.testing.assert_array_equal(proposer.propose(frame)[1], [(20, 10, 30, 50)])
        shadow = ground.copy()
        shadow[45:50, 30:65] = frame[45:50, 30:65]
        assert len(proposer.propose(shadow)[0]) == 0

    @pytest.mark.parametrize(
        ('name', 'value'),
        [
            ('background_frames', 0),
            ('background_frames', 2.5),
            ('open_size', 2.5),
            ('close_size', (0, 3)),
            ('close_size', (3.5, 3)),
        ],
    )
    def test_sizes_and_counts_are_whole(self, name, value):
        with pytest.raises(ValueError, match=f'proposer.{name}: expected .*whole number'):
            ForegroundProposer(**{name: value})

    def test_start_comes_first(self):
        with pytest.raises(RuntimeError, match='call start'):
            ForegroundProposer().propose(np.zeros((10, 10, 3), np.uint8))


def test_growing_stays_in_vertical_runs():
    within = np.array([[1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 0, 1]], np.uint8) * 255
    seed = np.zeros_like(within)
    seed[0, 0] = seed[3, 1] = seed[0, 2] = 255
    expected = [[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 0]]
    np.testing.assert_array_equal(grow_vertically(seed, within), np.array(expected) * 255)


@pytest.fixture(scope='module')
def rpn_weights(tmp_path_factory):
    """Random weights of mmdet's RPN."""
    from mmdet.registry import MODELS

    torch.manual_seed(0)
    cfg = get_config(RPN)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        model.init_weights()
    path = tmp_path_factory.mktemp('rpn') / 'rpn.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


class TestMMDet:
    def test_gives_boxes_of_the_detector(self, rpn_weights):
        # Random weights are hardly sure of anything, and like small anchors best.
        proposer = MMDetProposer(
            RPN,
            str(rpn_weights),
            score_thr=0.0,
            min_side=1,
            max_objects=7,
            device='cpu',
            cfg_options={'test_dataloader.dataset.pipeline.1.scale': (160, 120)},
        )
        frame = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
        boxes, objects = proposer.propose(frame)
        assert 1 <= len(boxes) <= 7
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [80, 60]).all()
        assert proposer.propose(frame)[0].shape == boxes.shape
        proposer.score_thr = 1.1
        assert proposer.propose(frame)[1].shape == (0, 4)

    def test_weights_of_another_detector_are_refused(self, rpn_weights, tmp_path):
        state = torch.load(rpn_weights, weights_only=True)['state_dict']
        state.pop('bbox_head.rpn_cls.weight')
        path = tmp_path / 'other.pth'
        torch.save(dict(state_dict=state), path)
        with pytest.raises(ValueError, match='other.pth: made by another config.*rpn_cls'):
            MMDetProposer(RPN, str(path), device='cpu')

    def test_missing_files_are_named(self, rpn_weights, tmp_path):
        with pytest.raises(FileNotFoundError, match='none.pth'):
            MMDetProposer(RPN, str(tmp_path / 'none.pth'))
        with pytest.raises(FileNotFoundError, match='proposer.config: none.py'):
            MMDetProposer('none.py', str(rpn_weights))
