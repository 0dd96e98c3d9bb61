"""Detectors in ONNX Runtime find what they find in torch."""

from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.ops import box_iou

from mmvad.engine.components import shaping_settings
from mmvad.proposals import (
    MeasureTokens,
    MMDetDetector,
    MMDetProposer,
    onnx_forward,
    save_random_weights,
)
from mmvad.structures import onnx_graph

YOLOX = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
#: Families, and whether the head is in the graph.
FAMILIES = {
    'mmdet::rpn/rpn_r50_fpn_1x_coco.py': True,
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py': False,
    'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py': True,
    YOLOX: True,
    'mmdet::detr/detr_r50_8xb2-150e_coco.py': False,
}
SCALE = {'test_dataloader.dataset.pipeline.1.scale': (160, 160)}
# Random weights are sure of nothing, and give boxes without end where the input is bright.
OPTIONS = {
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py': {
        'model.test_cfg.rcnn.score_thr': 0.0,
        'model.test_cfg.rpn.max_per_img': 50,
    },
    YOLOX: {'test_dataloader.dataset.pipeline.2.pad_val.img': (0, 0, 0)},
}
# What the README advises for frames that are not square.
NO_SQUARE = {
    'test_dataloader.dataset.pipeline.2.pad_to_square': False,
    'test_dataloader.dataset.pipeline.2.size_divisor': 32,
}


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp('weights'), {}

    def make(config: str) -> str:
        if config not in made:
            made[config] = save_random_weights(config, folder / f'{len(made)}.pth')
        return made[config]

    return make


def frame_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 3, (height, width, 3), np.uint8)


def assert_seen_alike(seen, expected) -> None:
    assert list(seen.maps) == list(expected.maps)
    for name, level in expected.maps.items():
        # Float noise adds up in units of the largest value.
        near = dict(rtol=0, atol=1e-4 * float(level.abs().max()))
        torch.testing.assert_close(seen.maps[name], level, **near)
        torch.testing.assert_close(seen.scales[name], expected.scales[name])
    ours, theirs = seen.instances, expected.instances
    # Nearly all: some random boxes are a tie, of which noise makes one first, and NMS drops the
    # other.
    assert len(ours) == pytest.approx(len(theirs), rel=0.05) and len(theirs) > 0
    # Pixels, and scores to a thousandth.
    ours, theirs = (torch.cat([i.bboxes, 10 * i.scores[:, None]], dim=1) for i in (ours, theirs))
    away = (ours - theirs[:, None]).abs().amax(dim=2).amin(dim=1)
    assert (away < 0.01).float().mean() > 0.95


@pytest.mark.parametrize('config', FAMILIES)
def test_every_family_sees_the_same_at_any_size(config, weights):
    options = {**SCALE, **OPTIONS.get(config, {})}
    settings = (config, weights(config), 'cpu')
    plain = MMDetDetector(*settings, dict(options))
    detector = MMDetDetector(*settings, dict(options), runtime='onnx')
    in_torch = []
    parts = [detector.model.backbone, detector.model.neck]
    parts += [detector.model.bbox_head] if FAMILIES[config] else []
    for layer in (layer for part in parts for layer in part.modules()):
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda *_: in_torch.append(1))
    for size in ((60, 80), (80, 60), (37, 90)):
        frame = frame_of(*size)
        assert_seen_alike(detector(frame), plain(frame))
    assert not in_torch


def test_proposers_and_tokens_hand_it_on(weights):
    options = {**SCALE, **OPTIONS[YOLOX]}
    settings = dict(config=YOLOX, checkpoint=weights(YOLOX), device='cpu', cfg_options=options)
    item = dict(imgs=[frame_of(60, 80)], objects=np.array([[4, 6, 30, 50]], np.float32))
    boxes, tokens = [], []
    for runtime in ('torch', 'onnx'):
        proposer = MMDetProposer(score_thr=0, min_side=1, runtime=runtime, **settings)
        measure = MeasureTokens(levels=('neck.0',), runtime=runtime, **settings)
        for detector in (proposer.detector, measure.detector):
            assert ('extract_feat' in vars(detector.model)) == (runtime == 'onnx')
        boxes.append(proposer.propose(item['imgs'][0])[1])
        tokens.append(measure.transform(dict(item))['measurements']['tokens'].astype(np.float32))
    assert len(boxes[0])
    np.testing.assert_allclose(*boxes, atol=0.01)
    np.testing.assert_allclose(*tokens, rtol=1e-2, atol=1e-3 * np.abs(tokens[0]).max())


def test_a_head_that_does_not_export_stays_in_torch(weights, monkeypatch):
    from mmdet.models import YOLOXHead

    forward = YOLOXHead.forward

    def frozen(self, feats):
        # Its value is that of the tracing, for ever.
        height = int(feats[0].shape[2])
        return forward(self, tuple(level * height for level in feats))

    monkeypatch.setattr(YOLOXHead, 'forward', frozen)
    settings = (YOLOX, weights(YOLOX), 'cpu', dict(SCALE))
    frame = frame_of(60, 80)
    detector = MMDetDetector(*settings, runtime='onnx')
    assert 'forward' not in vars(detector.model.bbox_head)
    seen, expected = detector(frame), MMDetDetector(*settings)(frame)
    torch.testing.assert_close(seen.instances.scores, expected.instances.scores)


class Model(nn.Module):
    """As much of a detector as is exported; it computes what ``of`` says."""

    data_preprocessor = SimpleNamespace(pad_size_divisor=32)

    def __init__(self, of) -> None:
        super().__init__()
        self.backbone, self.of = nn.Conv2d(3, 2, 3, 2, 1), of

    def extract_feat(self, image):
        return (self.of(self.backbone(image)),)


@pytest.mark.parametrize(
    ('of', 'reason'),
    [
        (lambda x: torch.linalg.svd(x).U, 'svd'),
        (lambda x: x * int(x.shape[2]), 'off by'),
        (lambda x: x + torch.zeros(int(x.shape[2]), 1), 'ONNXRuntimeError'),
        (lambda x: x.shape[0], 'more than tensors'),
    ],
)
def test_what_cannot_be_exported_is_refused_by_the_config(of, reason, capfd):
    model = Model(of).eval()
    with pytest.raises(ValueError, match=rf"a\.py: .*; use runtime='torch' \(.*{reason}") as caught:
        onnx_forward.forward_by_onnx(model, {}, 'a.py')
    assert '\n' not in str(caught.value)
    assert capfd.readouterr().out == ''
    onnx_forward.forward_by_onnx(Model(lambda x: x.relu()).eval(), {}, 'a.py')


def test_what_cannot_run_is_refused(weights, monkeypatch):
    for make in (MMDetDetector, MMDetProposer, MeasureTokens):
        with pytest.raises(ValueError, match=r"runtime: expected one of .*'onnx'.*got 'tensorrt'"):
            make(YOLOX, 'none.pth', runtime='tensorrt')
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: [])
    with pytest.raises(ValueError, match="onnxruntime installed does not run on 'cpu'"):
        MMDetDetector(YOLOX, weights(YOLOX), 'cpu', runtime='onnx')
    monkeypatch.setattr(onnx_graph, 'find_spec', lambda name: None)
    for make in (MMDetDetector, MMDetProposer, MeasureTokens):
        with pytest.raises(ValueError, match=r"pip install 'mmvad\[onnx\]'"):
            make(YOLOX, 'none.pth', runtime='onnx')


def test_it_takes_as_many_threads_as_torch(weights, monkeypatch):
    """Whenever these are set, and one in a loader's workers."""
    made = []
    options = onnxruntime.SessionOptions
    monkeypatch.setattr(
        onnxruntime, 'SessionOptions', lambda: (made.append(options()), made[-1])[1]
    )
    detector = MMDetDetector(YOLOX, weights(YOLOX), 'cpu', dict(SCALE), runtime='onnx')
    frame, before = frame_of(60, 80), torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            expected = detector(frame.copy()).maps['neck.0']
            assert made[-1].intra_op_num_threads == threads
        count = len(made)
        detector(frame.copy())
        assert len(made) == count

        class Looks:
            def __len__(self):
                return 1

            def __getitem__(self, index):
                return detector(frame.copy()).maps['neck.0'].clone()

        loader = DataLoader(
            Looks(), num_workers=1, timeout=60, batch_size=None, multiprocessing_context='fork'
        )
        torch.testing.assert_close(next(iter(loader)), expected)
    finally:
        torch.set_num_threads(before)


def test_stages_of_one_runtime_hold_for_the_other():
    for kind, key in (('MMDetProposer', 'proposer'), ('MeasureTokens', 'tokens')):
        plain, other = (
            shaping_settings({key: dict(type=f'mmvad.{kind}', config='a.py', **runtime)}, str)
            for runtime in ({}, dict(runtime='onnx'))
        )
        assert plain == other


def test_a_real_detector_on_a_real_frame(shared):
    """In both runtimes, and with the input padded to a square and to multiples of 32."""
    checkpoint = shared.parent / 'weights/yolox_nano_coco.pth'
    video = shared / 'avenue/testing_videos/08.avi'
    if not (checkpoint.is_file() and video.is_file()):
        pytest.skip(f'needs {checkpoint} and {video}')
    capture = cv2.VideoCapture(str(video))
    for _ in range(30):
        frame = capture.read()[1]
    config = 'mmdet::yolox/yolox_nano_8xb8-300e_coco.py'
    scale = {'test_dataloader.dataset.pipeline.1.scale': (640, 640)}
    tight = {**scale, **NO_SQUARE}
    expected, seen = (
        MMDetDetector(config, str(checkpoint), 'cpu', dict(tight), runtime)(frame)
        for runtime in ('torch', 'onnx')
    )
    assert_seen_alike(seen, expected)
    ours, theirs = seen.instances, expected.instances
    torch.testing.assert_close(ours.bboxes, theirs.bboxes, rtol=0, atol=0.01)
    torch.testing.assert_close(ours.labels, theirs.labels)
    square = MMDetDetector(config, str(checkpoint), 'cpu', dict(scale), 'onnx')(frame)
    assert square.maps['neck.2'].shape[1:] == (20, 20)
    assert seen.maps['neck.2'].shape[1:] == (12, 20)
    sure, also = square.instances, seen.instances
    sure, also = sure[sure.scores > 0.3], also[also.scores > 0.25]
    assert len(sure) > 2
    best, partner = box_iou(sure.bboxes, also.bboxes).max(dim=1)
    assert (best > 0.9).all()
    torch.testing.assert_close(sure.scores, also.scores[partner], rtol=0, atol=0.05)
