"""Detectors of mmdet as eyes: boxes and feature maps in one pass, and tokens cut out of these."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.ops import roi_align
from mmengine.registry import DefaultScope

from mmvad.proposals import CutTubeTokens, MeasureTokens, MMDetDetector, save_random_weights
from mmvad.registry import TRANSFORMS

YOLOX = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
WEIGHTS = Path(__file__).parents[2] / 'shared/weights/yolox_nano_coco.pth'
#: Families: what gives the input's size in the test pipeline, and strides of backbone and neck.
FAMILIES = {
    'mmdet::rpn/rpn_r50_fpn_1x_coco.py': ([4, 8, 16, 32], [4, 8, 16, 32, 64]),
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py': ([4, 8, 16, 32], [4, 8, 16, 32, 64]),
    'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py': ([8, 16, 32], [8, 16, 32]),
    YOLOX: ([8, 16, 32], [8, 16, 32]),
    'mmdet::detr/detr_r50_8xb2-150e_coco.py': ([32], [32]),
}
SCALE = {'test_dataloader.dataset.pipeline.1.scale': (160, 160)}


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights of a family, as a file."""
    made = {}

    def make(config: str) -> str:
        if config not in made:
            path = tmp_path_factory.mktemp('weights') / 'detector.pth'
            made[config] = save_random_weights(config, path)
        return made[config]

    return make


@pytest.fixture(scope='module')
def frame():
    return np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)


OBJECTS = np.array([[4, 6, 30, 50], [40, 10, 78, 59], [0, 0, 80, 60]], np.float32)


@pytest.mark.parametrize('config', FAMILIES)
def test_every_family_gives_boxes_and_maps_in_one_pass(config, weights, frame, monkeypatch):
    from mmdet.apis import inference_detector

    detector = MMDetDetector(config, weights(config), 'cpu', dict(SCALE))
    passes = []
    detector.model.backbone.register_forward_hook(lambda *_: passes.append(1))
    seen = detector(frame)
    assert len(passes) == 1
    assert detector(frame) is seen and len(passes) == 1
    detector(frame.copy())
    assert len(passes) == 2
    backbone, neck = FAMILIES[config]
    names = [f'{part}.{n}' for part, all_ in (('backbone', backbone), ('neck', neck)) for n in
             range(len(all_))]  # fmt: skip
    assert list(seen.maps) == names
    for name, stride in zip(names, backbone + neck, strict=True):
        # The frame is 80 x 60, the input twice that.
        assert seen.scales[name].tolist() == pytest.approx([2 / stride] * 2, rel=0.35)
    with DefaultScope.overwrite_default_scope('mmdet'):
        expected = inference_detector(detector.model, frame).pred_instances
    torch.testing.assert_close(seen.instances.bboxes, expected.bboxes)
    torch.testing.assert_close(seen.instances.scores, expected.scores)


def test_tokens_are_roi_aligned_maps(weights, frame):
    """Held against mmcv's operator, on maps that are computed step by step."""
    measure = MeasureTokens(
        YOLOX, weights(YOLOX), ('backbone.1', 'neck.0'), 2, 'cpu', dict(SCALE), name='seen'
    )
    results = measure.transform(dict(imgs=[frame * 0, frame], objects=OBJECTS))
    tokens = results['measurements']['seen']
    model = measure.detector.model
    # mmdet's YOLOX takes BGR as it is, 80 x 60 scaled to 160 x 120, padded below with 114.
    import cv2

    image = np.full((160, 160, 3), 114, np.uint8)
    image[:120] = cv2.resize(frame, (160, 120))
    with torch.no_grad():
        maps = model.backbone(torch.from_numpy(image).permute(2, 0, 1)[None].float())
        levels = [(maps[1], 16), (model.neck(maps)[0], 8)]
    boxes = torch.cat([torch.zeros(3, 1), torch.from_numpy(OBJECTS * 2)], dim=1)
    cells = [roi_align(m, boxes, 2, 1 / stride, 2, 'avg', True) for m, stride in levels]
    expected = torch.cat(cells, dim=1).flatten(2).transpose(1, 2)
    assert tokens.shape == (3, 4, expected.shape[2]) and tokens.dtype == np.float16
    np.testing.assert_allclose(tokens, expected, rtol=1e-2, atol=1e-3)


def test_frames_without_objects(weights, frame):
    measure = MeasureTokens(YOLOX, weights(YOLOX), device='cpu', cfg_options=dict(SCALE))
    empty = measure.transform(dict(imgs=[frame], objects=np.zeros((0, 4))))['measurements']
    some = measure.transform(dict(imgs=[frame], objects=OBJECTS[:1]))['measurements']
    assert empty['tokens'].shape == (0, *some['tokens'].shape[1:])


def test_levels_that_there_are_not(weights, frame):
    measure = MeasureTokens(YOLOX, weights(YOLOX), ('neck.9',), device='cpu')
    with pytest.raises(ValueError, match=r"levels: mmdet::yolox.* gives no \['neck.9'\].*'neck.0'"):
        measure.transform(dict(imgs=[frame], objects=OBJECTS))
    with pytest.raises(ValueError, match='MeasureTokens.grid: expected a whole number >= 1, got 0'):
        MeasureTokens(YOLOX, 'x.pth', grid=0)


def test_a_detector_without_a_neck_has_maps_of_its_backbone(weights, frame):
    config = 'mmdet::rpn/rpn_r50-caffe-c4_1x_coco.py'
    settings = dict(config=config, checkpoint=weights(config), device='cpu', cfg_options=SCALE)
    item = dict(imgs=[frame], objects=OBJECTS)
    measured = MeasureTokens(**settings).transform(dict(item))['measurements']
    assert measured['tokens'].shape == (3, 9, 1024)
    with pytest.raises(ValueError, match=r"gives no \['neck.0'\]; it gives \['backbone.0'\]"):
        MeasureTokens(levels=('neck.0',), **settings).transform(dict(item))


@pytest.mark.parametrize(
    ('content', 'options', 'said'),
    [
        ('a = 1', None, 'model'),
        ("model = dict(type='Nothing', backbone=dict(type='ResNet'))", None, 'Nothing'),
        ('def', None, 'syntax'),
        (None, {'test_dataloader': None}, 'dataset'),
        (None, {'test_dataloader.dataset.pipeline.9.scale': (1, 1)}, 'Index 9'),
        # Of an input that is neither square nor of whole strides.
        (None, {'test_dataloader.dataset.pipeline.2.pad_to_square': False}, 'size_divisor'),
    ],
)
def test_configs_of_no_detector_are_refused_in_one_line(weights, tmp_path, content, options, said):
    config = YOLOX
    if content is not None:
        config = str(tmp_path / 'detector.py')
        Path(config).write_text(content)
    with pytest.raises(ValueError, match=said) as caught:
        MMDetDetector(config, weights(YOLOX), 'cpu', options)
    assert str(caught.value).startswith(f'{config}: no detector of mmdet can be built of it')
    assert '\n' not in str(caught.value)


def test_a_detector_that_finds_no_boxes_is_refused(weights, frame, monkeypatch):
    detector = MMDetDetector(YOLOX, weights(YOLOX), 'cpu', dict(SCALE))
    test_step = detector.model.test_step

    def segments(data):
        (sample,) = test_step(data)
        del sample.pred_instances
        return [sample]

    monkeypatch.setattr(detector.model, 'test_step', segments)
    with pytest.raises(ValueError, match=r'^mmdet::yolox.*: finds no boxes; it gives \[.*\]$'):
        detector(frame)


def test_it_is_built_when_it_is_needed():
    """A loader's workers get a copy, and configs are checked without weights."""
    settings = dict(type='MeasureTokens', config=YOLOX, checkpoint='none.pth')
    measure = TRANSFORMS.build(settings)
    with pytest.raises(FileNotFoundError, match='none.pth'):
        measure.transform(dict(imgs=[np.zeros((9, 9, 3), np.uint8)], objects=OBJECTS))


@pytest.fixture
def passes(monkeypatch):
    """Frames that detectors look at."""
    looked = []
    look = MMDetDetector._look
    monkeypatch.setattr(
        MMDetDetector, '_look', lambda self, frame: (looked.append(frame), look(self, frame))[1]
    )
    return looked


def test_tubes_have_tokens_at_every_step(weights, frame, passes):
    """The same box in each frame, each of which is looked at once in a sweep."""
    settings = dict(config=YOLOX, checkpoint=weights(YOLOX), device='cpu', cfg_options=dict(SCALE))
    settings.update(levels=('neck.0', 'neck.1'), grid=2)
    frames = [np.roll(frame, 5 * step, axis=1) for step in range(6)]
    cut, measure = CutTubeTokens(**settings), MeasureTokens(**settings)
    for last in (4, 5, 6):
        window = frames[last - 4 : last]
        item = dict(imgs=window, boxes=OBJECTS, objects=OBJECTS + [0, 3, 0, -3])
        tokens = cut.transform(item)['visual_tokens']
        assert tokens.shape[:3] == (3, 4, 4) and tokens.dtype == np.float16
        # Those of the last frame, of the boxes and not of the objects in them.
        alone = measure.transform(dict(imgs=window[-1:], objects=OBJECTS))['measurements']
        np.testing.assert_array_equal(tokens[:, -1], alone['tokens'])
        # Maps are kept of the frames of the window alone.
        assert [kept for kept, _ in cut._kept] == window
    # Both look with one detector.
    assert len(passes) == len(frames) and cut.detector is measure.detector
    first = MeasureTokens(**settings).transform(dict(imgs=frames[2:3], objects=OBJECTS))
    np.testing.assert_array_equal(tokens[:, 0], first['measurements']['tokens'])
    # Before the start of a video its first frame stands in.
    passes.clear()
    other = frame.copy()
    twice = cut.transform(dict(imgs=[other, other], boxes=OBJECTS, objects=OBJECTS))
    assert len(passes) == 1
    np.testing.assert_array_equal(*twice['visual_tokens'].swapaxes(0, 1))


def test_flow_is_sampled_in_the_same_cells_in_heights_of_the_object(weights, frame):
    cut = CutTubeTokens(YOLOX, weights(YOLOX), grid=2, device='cpu', cfg_options=dict(SCALE))
    flows = np.zeros((2, 30, 40, 2), np.float32)  # of frames reduced to a half
    flows[1, :, 20:, 0] = 3.0  # per cent of the frame's short side, 60 pixels
    flows[1, 15:, :, 1] = -2.0
    boxes = np.array([[20, 10, 60, 50]], np.float32)
    objects = np.array([[30, 15, 50, 45]], np.float32)
    item = dict(imgs=[frame, frame], flows=list(flows), boxes=boxes, objects=objects)
    sampled = cut.transform(item)['token_flows']
    assert sampled.shape == (1, 2, 4, 2) and sampled.dtype == np.float16
    assert not sampled[0, 0].any()
    # 3 % of 60 pixels are 1.8, 6 % of the object's 30.
    expected = [[0, 0], [6, 0], [0, -4], [6, -4]]
    np.testing.assert_allclose(sampled[0, 1], expected, atol=1.1)
    assert 'token_flows' not in cut.transform(dict(imgs=[frame], boxes=boxes, objects=objects))
    none = dict(item, boxes=boxes[:0], objects=objects[:0])
    assert cut.transform(none)['token_flows'].shape == (0, 2, 4, 2)


def test_a_detector_that_was_written_anew_is_built_anew(weights, frame, tmp_path):
    path = tmp_path / 'detector.pth'
    path.write_bytes(Path(weights(YOLOX)).read_bytes())
    measure = MeasureTokens(YOLOX, str(path), device='cpu', cfg_options=dict(SCALE))
    item = dict(imgs=[frame], objects=OBJECTS)
    before = measure.transform(dict(item))['measurements']['tokens']
    state = torch.load(path, weights_only=True)['state_dict']
    torch.save(dict(state_dict={k: v * 0.5 for k, v in state.items()}), path)
    again = MeasureTokens(YOLOX, str(path), device='cpu', cfg_options=dict(SCALE))
    assert not np.array_equal(again.transform(dict(item))['measurements']['tokens'], before)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason='needs the detector in ../shared')
def test_a_real_detector_knows_what_is_alike():
    """The same picture moved by whole cells has the same tokens; another picture has not."""
    rng = np.random.default_rng(0)
    scene = np.full((256, 256, 3), 90, np.uint8)
    thing = rng.integers(0, 255, (48, 48, 3), np.uint8)
    other = np.full_like(thing, 200)
    frames = []
    for picture, x in ((thing, 64), (thing, 128), (other, 64)):
        frame = scene.copy()
        frame[96:144, x : x + 48] = picture
        frames.append((frame, np.array([[x, 96, x + 48, 144]], np.float32)))
    measure = MeasureTokens(
        'mmdet::yolox/yolox_nano_8xb8-300e_coco.py',
        str(WEIGHTS),
        ('backbone.0', 'neck.0'),
        device='cpu',
        cfg_options={'test_dataloader.dataset.pipeline.1.scale': (256, 256)},
    )
    first, moved, another = (
        measure.transform(dict(imgs=[frame], objects=box))['measurements']['tokens'].astype(float)
        for frame, box in frames
    )
    assert np.abs(first - moved).mean() < 0.2 * np.abs(first - another).mean()
