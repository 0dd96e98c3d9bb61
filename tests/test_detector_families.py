"""Detectors of mmdet as their users have them: classes, batches, half precision, masks, and what a
family lacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmvad.methods.objects.sweeps import batched, find_tubes
from mmvad.proposals import MMDetDetector, MMDetProposer, save_random_weights
from mmvad.proposals.detector import _boxes_of

TINY = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
SCALE = {
    'test_dataloader.dataset.pipeline.1.scale': (160, 160),
    'test_dataloader.dataset.pipeline.2.size': (160, 160),
    'model.test_cfg.score_thr': 0.0,
    'model.test_cfg.max_per_img': 50,
}


@pytest.fixture(scope='module')
def settings(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    return dict(
        config=TINY,
        checkpoint=save_random_weights(TINY, path),
        device='cpu',
        cfg_options=SCALE,
    )


@pytest.fixture(scope='module')
def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (120, 160, 3)).astype(np.uint8) for _ in range(5)]


OPEN = dict(score_thr=0, min_side=0, merge='none', nms_iou=1.0)


def test_classes_by_name_and_by_number(settings, frames):
    everything = MMDetProposer(**settings, **OPEN)
    names = everything.detector.classes
    assert len(names) == 80 and names[:2] == ('person', 'bicycle')
    found = everything.detector(frames[0]).instances
    assert len(set(found.labels.tolist())) >= 2
    some = [int(found.labels[0])]
    kept = {
        tuple(box) for box, n in zip(found.bboxes.tolist(), found.labels, strict=True) if n in some
    }
    for classes in (some, [names[n] for n in some]):
        boxes = MMDetProposer(**settings, **OPEN, classes=classes).detect(frames[0])
        assert 0 < len(boxes) < len(everything.detect(frames[0]))
        assert {tuple(box) for box in boxes.tolist()} <= kept
    with pytest.raises(
        ValueError, match=r"proposer.classes: 'unicorn': expected some of \['person'"
    ):
        MMDetProposer(**settings, classes=['unicorn'])


def test_a_batch_finds_what_single_frames_do(settings, frames, monkeypatch):
    alone, together = (MMDetProposer(**settings, **OPEN, batch_size=n) for n in (1, 4))
    passes = []
    model = together.detector.model
    step = model.test_step
    monkeypatch.setattr(model, 'test_step', lambda data: passes.append(1) or step(data))

    def found(proposer):
        return find_tubes(np.stack(frames), proposer, 0)

    apart = found(alone)
    assert len(passes) == 5
    passes.clear()
    again = [f.copy() for f in frames]
    frames[:] = again  # not those that it has seen
    joined = found(together)
    assert len(passes) == 2  # of 4 frames and of 1
    np.testing.assert_array_equal(apart.frames, joined.frames)
    np.testing.assert_allclose(apart.objects, joined.objects, atol=0.01)
    with pytest.raises(ValueError, match="batch_size: 4 needs runtime='torch'"):
        MMDetProposer(**settings, batch_size=4, runtime='onnx')
    with pytest.raises(ValueError, match='batch_size: expected a whole number'):
        MMDetProposer(**settings, batch_size=0)


def test_batches_wait_for_no_more_than_they_hold():
    asked = []

    def endless():
        number = 0
        while True:
            asked.append(number)
            yield number
            number += 1

    assert next(batched(endless(), 1)) == [0] and asked == [0]
    assert list(batched('abcde', 2)) == [['a', 'b'], ['c', 'd'], ['e']]


def test_half_precision(settings, frames):
    whole = MMDetDetector(**settings)(frames[0])
    half = MMDetDetector(**settings, amp=True)(frames[0])
    name = next(iter(whole.maps))
    assert half.instances.bboxes.dtype == half.maps[name].dtype == torch.float32
    scale = whole.maps[name].abs().max()
    difference = (half.maps[name] - whole.maps[name]).abs().max() / scale
    assert 0 < difference < 0.1  # bfloat16 has 8 bits
    with pytest.raises(ValueError, match="amp: torch's own, expected runtime='torch'"):
        MMDetDetector(**settings, amp=True, runtime='onnx')


def test_a_head_without_a_loss_finds_boxes(frames, tmp_path):
    """SSD's, whose loss mmdet 3.3 asks for all the same."""
    config = 'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py'
    weights = save_random_weights(config, tmp_path / 'ssd.pth')
    options = {'model.test_cfg.score_thr': 0.0}
    found = MMDetDetector(config, weights, 'cpu', options)(frames[0]).instances
    assert len(found.bboxes) > 0
    height, width = frames[0].shape[:2]
    assert (found.bboxes >= 0).all() and (found.bboxes <= torch.tensor([width, height] * 2)).all()


def test_what_goes_wrong_with_a_frame_is_said(settings, frames, monkeypatch):
    detector = MMDetDetector(**settings)

    def broken(data):
        raise AttributeError('no such\nthing')

    monkeypatch.setattr(detector.model, 'test_step', broken)
    with pytest.raises(ValueError, match='cannot look at a frame .no such thing') as error:
        detector(frames[0])
    assert str(error.value).startswith(TINY)


def test_masks_alone_give_the_boxes_around_them():
    masks = torch.zeros(3, 20, 30, dtype=torch.bool)
    masks[0, 5:9, 10:20] = True
    masks[2, 0, 0] = True
    found = _boxes_of(
        InstanceData(
            masks=masks,
            bboxes=torch.zeros(3, 4),
            scores=torch.ones(3),
            labels=torch.zeros(3, dtype=torch.long),
        )
    )
    assert found.bboxes.tolist() == [[10, 5, 20, 9], [0, 0, 0, 0], [0, 0, 1, 1]]
    # Masks are as large as the frame, and not kept.
    assert set(found.keys()) == {'bboxes', 'scores', 'labels'}


@pytest.mark.parametrize(
    ('config', 'said'),
    [
        ('mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py', 'panopticapi'),
        (
            'mmdet::grounding_dino/grounding_dino_r50_scratch_8xb2_1x_coco.py',
            'transformers|fairscale',
        ),
        ('mmdet::glip/glip_atss_swin-t_a_fpn_dyhead_pretrain_obj365.py', 'transformers|fairscale'),
        (
            'mmdet::bytetrack/bytetrack_yolox_x_8xb4-80e_crowdhuman-mot17halftrain_'
            'test-mot17halfval.py',
            r'tracks over frames.*expected the config of that \(YOLOX\)',
        ),
    ],
)
def test_what_a_family_lacks_is_said(config: str, said: str, tmp_path):
    """In one line, before any frame."""
    for package in ('panopticapi', 'transformers'):
        if package in said and __import__('importlib.util').util.find_spec(package):
            pytest.skip(f'{package} is installed')
    path = tmp_path / 'any.pth'
    torch.save(dict(state_dict=dict(x=torch.zeros(1))), path)
    with DefaultScope.overwrite_default_scope('mmvad'):
        with pytest.raises(ValueError, match=f'(?s){config}: .*({said})') as error:
            MMDetProposer(config, str(path), device='cpu')
    assert '\n' not in str(error.value)
