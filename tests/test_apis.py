"""From video to scores: the inferencer gives what tools/test.py gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import tiny_config

from mmvad.apis import VADInferencer, init_model
from mmvad.models import LocalVAD, ObjectVAD
from mmvad.registry import RUNNERS


@pytest.fixture(scope='module')
def inferencer(finished) -> VADInferencer:
    return VADInferencer(finished / 'localvad.pth')


def read(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in sorted(folder.iterdir())]


def test_a_folder_of_videos_gives_the_scores_of_the_test(inferencer, finished, plaza, tmp_path):
    results = inferencer(plaza / 'testing/frames', show_progress=False, out_dir=tmp_path)
    assert [result.video for result in results] == ['00', '01']
    for result in results:
        stored = np.load(finished / f'scores/{result.video}.npy', allow_pickle=False)
        np.testing.assert_allclose(result.scores, stored, rtol=1e-3, atol=1e-4)
        assert result.scores.dtype == np.float32 and result.channel == 'all'
        with np.load(finished / f'objects/{result.video}.npz', allow_pickle=False) as table:
            objects = result.objects
            for name in ('frames', 'boxes', 'tracks'):
                np.testing.assert_array_equal(objects[name], table[name])
            # Batches of other sizes round otherwise, and where tails are steep it shows.
            np.testing.assert_allclose(objects['scores'], table['all'], rtol=1e-3, atol=1e-4)
        # Every channel, with and without post-processing.
        assert set(result.details.final) == set(result.details.raw) > {'smm', 'action', 'all'}
        written = np.load(tmp_path / f'scores/{result.video}.npy', allow_pickle=False)
        np.testing.assert_array_equal(written, result.scores)


def test_arrays_lists_and_folders_are_the_same_video(inferencer, plaza):
    folder = plaza / 'testing/frames/00'
    frames = read(folder)
    by_folder = inferencer(folder, show_progress=False)[0]
    for given in (np.stack(frames), frames, [np.stack(frames)]):
        result = inferencer(given, show_progress=False)
        assert [r.video for r in result] == ['array_0']
        np.testing.assert_array_equal(result[0].scores, by_folder.scores)
    two = inferencer([folder, np.stack(frames)], show_progress=False)
    assert [r.video for r in two] == ['00', 'array_1']


def test_a_video_file(inferencer, plaza, tmp_path):
    path = tmp_path / 'my camera, 1.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, (160, 120))
    frames = read(plaza / 'testing/frames/01')
    for frame in frames:
        writer.write(frame)
    writer.release()
    (result,) = inferencer(str(path))
    assert result.video == 'my camera, 1'
    assert result.scores.shape == (len(frames),) and np.isfinite(result.scores).all()


def test_a_video_without_objects_has_the_lowest_score(inferencer):
    still = np.full((12, 120, 160, 3), 90, np.uint8)
    still[:, :40] = 60
    still += np.random.default_rng(0).integers(0, 3, still.shape, np.uint8)  # a sensor's noise
    (result,) = inferencer(still, show_progress=False)
    floor = inferencer.model.scorer.floors['all']
    np.testing.assert_allclose(result.scores, floor, rtol=1e-6)
    assert len(result.objects['frames']) == 0


def test_init_model(finished):
    model = init_model(finished / 'localvad.pth')
    assert isinstance(model, LocalVAD) and model.scorer.fitted and not model.training
    assert model.cfg.model.type == 'LocalVAD'
    assert not any('text' in name for name in model.state_dict())
    untrained = init_model('configs/attributes/plaza.py')
    assert type(untrained) is ObjectVAD and not untrained.scorer.fitted


def test_another_method_by_the_same_object(plaza, tmp_path):
    cfg = tiny_config(plaza, tmp_path, method='attributes')
    RUNNERS.build(cfg).train()
    results = VADInferencer(tmp_path / 'attributes.pth')(plaza / 'testing/frames', False)
    for result in results:
        stored = np.load(tmp_path / f'scores/{result.video}.npy', allow_pickle=False)
        np.testing.assert_allclose(result.scores, stored, rtol=1e-4, atol=1e-4)


class TestBadInput:
    def test_broken_videos_are_left_out_on_request(self, inferencer, plaza, tmp_path):
        whole = plaza / 'testing/frames/00'
        broken = Path(shutil.copytree(whole, tmp_path / 'broken'))
        (broken / sorted(p.name for p in broken.iterdir())[20]).write_bytes(b'no image')
        (tmp_path / 'no.mp4').write_bytes(b'no video')
        inputs = [broken, tmp_path / 'no.mp4', whole, np.zeros((2, 120, 160, 3), np.uint8)]
        (result,) = inferencer(inputs, show_progress=False, on_error='skip')
        assert result.video == '00' and list(inferencer.skipped) == ['broken', 'no', 'array_3']
        np.testing.assert_array_equal(
            result.scores, inferencer(whole, show_progress=False)[0].scores
        )
        assert not inferencer.skipped
        with pytest.raises(ValueError, match='broken/.*does not decode'):
            inferencer(broken, show_progress=False)
        with pytest.raises(ValueError, match="on_error: expected 'raise' or 'skip', got 'ignore'"):
            inferencer(whole, on_error='ignore')

    @pytest.mark.parametrize('of', ['the file', 'the machine'])
    def test_other_faults_leave_no_video_out(self, finished, plaza, monkeypatch, of):
        inferencer = VADInferencer(finished / 'localvad.pth')
        fault = (RuntimeError if of == 'the file' else torch.OutOfMemoryError)('of the program')

        def score(measured):
            raise fault

        monkeypatch.setattr(inferencer.model, 'score', score)
        with pytest.raises((ValueError, torch.OutOfMemoryError)) as raised:
            inferencer(plaza / 'testing/frames', show_progress=False, on_error='skip')
        assert ('localvad.pth: ' in str(raised.value)) == (of == 'the file')
        assert not inferencer.skipped

    def test_no_video_is_left_for_a_shared_background(self, finished, tmp_path):
        (tmp_path / 'no.mp4').write_bytes(b'no video')
        inferencer = VADInferencer(
            finished / 'localvad.pth', dict(type='ForegroundProposer', background='split')
        )
        assert inferencer(tmp_path / 'no.mp4', False, on_error='skip') == []
        assert list(inferencer.skipped) == ['no']

    def test_a_proposer_that_is_none(self, finished):
        for given, words in (
            (dict(type='ForegroundProposer', threshold='high'), 'proposer.threshold: expected a'),
            (7, 'proposer: expected one or its config, got 7'),
        ):
            with pytest.raises(ValueError, match=f'^{words}'):
                VADInferencer(finished / 'localvad.pth', given)

    def test_deep_images_are_scaled_as_in_training(self, finished, plaza, tmp_path):
        model = init_model(finished / 'localvad.pth')
        model.cfg.test_dataset.value_range = (1000, 1000 + 255 * 8)
        (tmp_path / 'deep').mkdir()
        for path in (plaza / 'testing/frames/00').iterdir():
            deep = cv2.imread(str(path)).astype(np.uint16) * 8 + 1000
            cv2.imwrite(str(tmp_path / 'deep' / f'{path.stem}.png'), deep)
        by_depth = VADInferencer(model)(tmp_path / 'deep', show_progress=False)[0].scores
        plain = VADInferencer(finished / 'localvad.pth')(plaza / 'testing/frames/00', False)[0]
        np.testing.assert_allclose(by_depth, plain.scores, atol=1e-4)

    def test_frames_that_show_nothing(self, inferencer):
        black = np.zeros((12, 120, 160, 3), np.uint8)
        with pytest.raises(ValueError, match='array_0: 7 of 7 frames are of a single colour'):
            inferencer(black, show_progress=False)

    def test_an_uncalibrated_model(self):
        with pytest.raises(ValueError, match='model: not calibrated'):
            VADInferencer(init_model('configs/attributes/plaza.py'))

    def test_a_checkpoint_without_its_config(self, tmp_path):
        torch.save(dict(state_dict=dict(a=torch.zeros(1))), tmp_path / 'x.pth')
        with pytest.raises(ValueError, match='x.pth: a checkpoint without its config'):
            VADInferencer(tmp_path / 'x.pth')

    def test_a_checkpoint_of_another_version(self, finished, tmp_path):
        content = torch.load(finished / 'localvad.pth', weights_only=True)
        content['meta']['mmvad_version'] = '7.0.0'
        torch.save(content, tmp_path / 'new.pth')
        with pytest.raises(ValueError, match='new.pth: made by mmvad 7.0.0, this is'):
            VADInferencer(tmp_path / 'new.pth')

    def test_a_config_without_a_proposer(self, finished):
        model = init_model(finished / 'localvad.pth')
        model.cfg.proposer = None
        with pytest.raises(ValueError, match='proposer: the config in the model file names none'):
            VADInferencer(model)

    @pytest.mark.parametrize(
        ('given', 'message'),
        [
            ('nothing.mp4', 'nothing.mp4: no such folder of frames, of videos, or video file'),
            (np.zeros((4, 120, 160, 3), np.uint8), 'has 4 frames, expected at least 6'),
            (np.zeros((9, 120, 160, 3), np.float32), r'uint8 BGR of one size.*float32'),
            (np.zeros((9, 120, 160), np.uint8), r'expected frames \(H, W, 3\)'),
            ([], 'at least one video'),
        ],
    )
    def test_what_is_no_video(self, inferencer, given, message):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            inferencer(given, show_progress=False)

    def test_an_empty_folder_and_two_of_a_name(self, inferencer, plaza, tmp_path):
        with pytest.raises(ValueError, match='holds no images, no videos'):
            inferencer(tmp_path, show_progress=False)
        folder = plaza / 'testing/frames/00'
        with pytest.raises(ValueError, match="two videos are named '00'"):
            inferencer([folder, folder], show_progress=False)
