"""Detectors of mmdet as eyes: boxes and feature maps in one pass, and tokens cut out of these."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.ops import roi_align
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

from mmvad.proposals import MeasureTokens, MMDetDetector
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
            from mmdet.registry import MODELS

            torch.manual_seed(0)
            cfg = get_config(config)
            cfg.model.backbone.init_cfg = None
            with DefaultScope.overwrite_default_scope('mmdet'):
                model = MODELS.build(cfg.model)
            path = tmp_path_factory.mktemp('weights') / 'detector.pth'
            torch.save(dict(state_dict=model.state_dict()), path)
            made[config] = str(path)
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
        YOLOX, weights(YOLOX), ('backbone.1', 'neck.0'), 2, 'cpu', dict(SCALE), 'seen'
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


def test_it_is_built_when_it_is_needed():
    """A loader's workers get a copy, and configs are checked without weights."""
    settings = dict(type='MeasureTokens', config=YOLOX, checkpoint='none.pth')
    measure = TRANSFORMS.build(settings)
    with pytest.raises(FileNotFoundError, match='none.pth'):
        measure.transform(dict(imgs=[np.zeros((9, 9, 3), np.uint8)], objects=OBJECTS))


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
