"""One sweep over a video gives what two give, in less time, whatever threads there are."""

from __future__ import annotations

import gc
import threading
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from mmvad.apis import init_model
from mmvad.datasets import FrameSource
from mmvad.methods.objects import find_and_measure, find_tubes, measure_tubes
from mmvad.methods.objects.sweeps import _ahead
from mmvad.models import ObjectVAD
from mmvad.proposals import (
    REMEMBERED,
    BaseProposer,
    ForegroundProposer,
    MeasureTokens,
    MMDetDetector,
    MMDetProposer,
    save_random_weights,
)
from mmvad.registry import PROPOSERS

YOLOX = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
SCALE = {'test_dataloader.dataset.pipeline.1.scale': (160, 160)}


@pytest.fixture(scope='module')
def tiny(tmp_path_factory) -> dict:
    """Settings of a small detector with random weights."""
    path = tmp_path_factory.mktemp('weights') / 'detector.pth'
    return dict(
        config=YOLOX,
        checkpoint=save_random_weights(YOLOX, path),
        device='cpu',
        cfg_options=dict(SCALE),
    )


@pytest.fixture
def looks(monkeypatch) -> list[np.ndarray]:
    """Frames that detectors look at."""
    looked = []
    look = MMDetDetector._look
    monkeypatch.setattr(
        MMDetDetector, '_look', lambda self, frame: (looked.append(frame), look(self, frame))[1]
    )
    return looked


def frames_of(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 255, (count, 60, 80, 3), np.uint8))


class Inputs(ObjectVAD):
    """Keeps what branches would be given, beside what is measured."""

    measurements = ('inputs', 'speed', 'tokens')

    def extract(self, item):
        return dict(super().extract(item), inputs=item['inputs'])


def both_ways(frames, proposer, model, batch_size=64):
    """By two sweeps and by one: the tubes, and what is measured on all of them."""
    tubes = find_tubes(frames, proposer, model.tube.first_scored)
    two = list(measure_tubes(frames, tubes, model, 'video', batch_size))
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in two]), range(len(tubes)))
    one = list(find_and_measure(frames, proposer, model, 'video', batch_size))
    assert [len(rows) for rows, _ in two] == [len(part) for part, _ in one]
    for name in ('frames', 'boxes', 'objects'):
        joined = np.concatenate([getattr(part, name) for part, _ in one])
        np.testing.assert_array_equal(joined, getattr(tubes, name))
        assert joined.dtype == getattr(tubes, name).dtype
    for (_, expected), (_, measured) in zip(two, one, strict=True):
        assert set(measured) == set(expected) == set(model.measurements)
        for name, values in expected.items():
            assert torch.equal(measured[name], values) and measured[name].dtype == values.dtype
    return tubes, one


@pytest.mark.parametrize('batch_size', [1, 7, 1000])
def test_crops_and_the_foreground(finished, plaza, batch_size):
    """Also of frames in memory, and of a file, which is read in order only."""
    model = init_model(finished / 'localvad.pth')
    with DefaultScope.overwrite_default_scope('mmvad'):
        proposer = PROPOSERS.build(model.cfg.proposer)
        source = FrameSource(plaza / 'testing/frames/00')
        proposer.fit([source])
        tubes, _ = both_ways(source, proposer, model, batch_size)
        assert len(tubes) > 20
        if batch_size == 7:
            both_ways(np.stack(list(source)), proposer, model, batch_size)


@pytest.mark.parametrize('flow', [None, dict(type='ComputeTubeFlow')])
def test_a_real_detector_s_boxes_and_tokens_at_every_step(shared, looks, flow):
    """Of each frame that has objects or is a step of a tube one look, and the same with any number
    of threads."""
    checkpoint = shared.parent / 'weights/yolox_nano_coco.pth'
    if not checkpoint.is_file():
        pytest.skip(f'needs {checkpoint}')
    settings = dict(
        config='mmdet::yolox/yolox_nano_8xb8-300e_coco.py',
        checkpoint=str(checkpoint),
        device='cpu',
        cfg_options={'test_dataloader.dataset.pipeline.1.scale': (320, 320)},
        runtime='onnx',
    )
    model = Inputs(
        dict(
            window=3,
            flow=flow,
            tokens=dict(type='CutTubeTokens', levels=('neck.0',), **settings),
            measure=dict(
                speed=dict(type='MeasureAttributes', quantities=('speed',)),
                tokens=dict(type='MeasureTokens', levels=('backbone.0', 'neck.1'), **settings),
            ),
        )
    ).eval()
    proposer = MMDetProposer(score_thr=0.3, merge='none', **settings)
    capture = cv2.VideoCapture(str(shared / 'avenue_sample/testing_videos/21.avi'))
    frames = [capture.read()[1] for _ in range(14)]
    before, threads, found = torch.get_num_threads(), cv2.getNumThreads(), []
    try:
        with DefaultScope.overwrite_default_scope('mmvad'):
            for count in (1, 2):
                torch.set_num_threads(count)
                cv2.setNumThreads(count)
                tubes, one = both_ways(frames, proposer, model, 20)
                found.append((tubes, one))
            looks.clear()
            list(find_and_measure([f.copy() for f in frames], proposer, model, 'video'))
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(threads)
    assert len(looks) <= len(frames) and len(tubes) > 20
    (one_tubes, one), (two_tubes, two) = found
    np.testing.assert_array_equal(one_tubes.boxes, two_tubes.boxes)
    for (_, expected), (_, measured) in zip(one, two, strict=True):
        assert all(torch.equal(measured[name], values) for name, values in expected.items())


def test_frames_of_another_size_and_empty_frames_are_told_as_ever(finished, plaza):
    model = init_model(finished / 'localvad.pth')
    with DefaultScope.overwrite_default_scope('mmvad'):
        proposer = ForegroundProposer()
        black = np.zeros((12, 120, 160, 3), np.uint8)
        for go in (
            lambda: find_tubes(black, proposer, model.tube.first_scored, name='dark'),
            lambda: list(find_and_measure(black, proposer, model, 'dark')),
        ):
            with pytest.raises(ValueError, match='^dark: 7 of 7 frames are of a single colour'):
                go()
        frames = list(FrameSource(plaza / 'testing/frames/00'))
        frames[30:] = [frames[29]] * 10
        notes = []
        list(find_and_measure(frames, proposer, model, 'video', note=notes.append))
        assert notes == ['10 of 35 frames equal to the one before']


def ahead_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith('ahead')]


class TestAhead:
    def test_it_is_ahead_and_no_further(self):
        taken = []

        def items():
            for number in range(10):
                taken.append(number)
                yield number

        given = _ahead(items(), 2)
        assert not taken and not ahead_threads()
        for number in given:
            assert len(taken) <= number + 3
        assert taken == list(range(10)) and not ahead_threads()

    def test_what_is_raised_comes_at_its_place(self):
        def items():
            yield 1
            raise ValueError('frame 7: does not decode')

        given = _ahead(items(), 2)
        assert next(given) == 1
        with pytest.raises(ValueError, match='^frame 7: does not decode$'):
            next(given)
        assert not ahead_threads()

    @pytest.mark.parametrize('fault', [ValueError, KeyboardInterrupt])
    def test_an_interrupted_sweep_leaves_no_thread(self, finished, plaza, fault):
        model = init_model(finished / 'localvad.pth')
        source = FrameSource(plaza / 'testing/frames/00')
        with DefaultScope.overwrite_default_scope('mmvad'):
            with pytest.raises(fault):
                for _ in find_and_measure(source, ForegroundProposer(), model, 'video', 1):
                    assert ahead_threads()
                    raise fault
            # Nothing holds it any more.
            gc.collect()
            assert not ahead_threads()
            parts = find_and_measure(source, ForegroundProposer(), model, 'video', 1)
            assert len(list(islice(parts, 2))) == 2 and ahead_threads()
            parts.close()
            assert not ahead_threads()

    def test_a_fault_of_a_proposer_is_told(self, finished, plaza):
        class Faulty(BaseProposer):
            def detect(self, frame):
                raise ValueError('proposer: no idea')

        model = init_model(finished / 'localvad.pth')
        source = FrameSource(plaza / 'testing/frames/00')
        with (
            DefaultScope.overwrite_default_scope('mmvad'),
            pytest.raises(ValueError, match='^proposer: no idea$'),
        ):
            list(find_and_measure(source, Faulty(), model, 'video'))
        assert not ahead_threads()


class TestSharedDetector:
    def test_a_proposer_and_tokens_of_equal_settings_share(self, tiny, looks):
        proposer = MMDetProposer(score_thr=0, min_side=1, **tiny)
        # As a model file has it, where tuples are lists.
        as_read = dict(tiny, cfg_options={key: list(v) for key, v in SCALE.items()})
        same, other = MeasureTokens(**as_read), MeasureTokens(**dict(tiny, cfg_options=None))
        assert same.detector is proposer.detector and other.detector is not proposer.detector
        (frame,) = frames_of(1)
        _, objects = proposer.propose(frame)
        same.transform(dict(imgs=[frame], objects=objects))
        assert len(looks) == 1

    def test_two_detectors_in_turns_are_built_once(self, tiny, monkeypatch):
        built = []
        build = MMDetDetector.__init__
        monkeypatch.setattr(
            MMDetDetector, '__init__', lambda *a, **kw: (built.append(1), build(*a, **kw))[1]
        )
        here, there = (
            MeasureTokens(**dict(tiny, cfg_options={next(iter(SCALE)): (side, side)}))
            for side in (96, 128)
        )
        for frame in frames_of(3):
            for measure in (here, there):
                measure.transform(dict(imgs=[frame], objects=np.array([[4, 6, 30, 50]])))
        assert len(built) == 2

    def test_the_last_frames_are_known_while_they_are_there(self, tiny, looks):
        detector = MMDetDetector(**tiny)
        frames = frames_of(REMEMBERED + 1)
        seen = [detector(frame) for frame in frames[:REMEMBERED]]
        # In turns, too.
        for _ in range(2):
            assert all(detector(f) is s for f, s in zip(frames, seen, strict=False))
        assert len(looks) == REMEMBERED
        looks.clear()
        detector(frames[-1])
        assert detector(frames[1]) is seen[1] and detector(frames[0]) is not seen[0]
        assert len(detector._last) == REMEMBERED
        frames.clear()
        looks.clear()
        detector(frames_of(1)[0])
        assert len(detector._last) == 1

    def test_threads_look_one_at_a_time(self, tiny, looks):
        detector = MMDetDetector(**tiny)
        (frame,) = frames_of(1)
        threads = [threading.Thread(target=detector, args=(frame,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(looks) == 1 and DefaultScope.get_current_instance() is None
