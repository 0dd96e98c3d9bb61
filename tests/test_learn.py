"""A model of one's own camera by one call: no labels, no config to write."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
import torch
from camera import write_video

from mmvad.apis import VADInferencer, find_model_file, learn
from mmvad.apis.learn import survey
from mmvad.engine import read_config


def test_what_is_left_behind(camera):
    learned = camera.learned
    assert learned.model == camera.root / 'yard/objects.pth' and learned.model.is_file()
    assert find_model_file('yard', camera.root) == learned.model
    # Two videos of eight seconds, in which the scorer of the other one looked at every fourth.
    assert learned.seconds == pytest.approx(16, abs=1)
    # One false alarm an hour, by much less than an hour: well above what was seen.
    stored = torch.load(learned.model, weights_only=True)['meta']['normal']['scores']['all']
    assert learned.threshold > float(stored.quantile(0.99))
    checked = json.loads((camera.root / 'yard/calibrate/self_check.json').read_text())
    assert f'AUC {checked["auc"]:.1f} %' in learned.line
    assert re.search(rf'alarm above {learned.threshold:.2f} \(1 false an hour', learned.line)
    # The config that is left is what was run, and short.
    cfg = read_config(learned.config)
    assert cfg.train_dataset.data_root == str(camera.normal) and cfg.proposer.type
    assert len(learned.config.read_text().splitlines()) < 10
    assert learned.config == camera.root / 'yard/config/yard.py'
    assert 'AnomaliesStage' in (camera.root / 'yard/yard.py').read_text()
    (result,) = VADInferencer(learned.model)(camera.new / '00.mp4', show_progress=False)
    assert result.scores.shape == (camera.frames,)


def test_more_false_alarms_have_a_lower_threshold(camera):
    from mmvad.apis.learn import learned

    often = learned(camera.learned.model, camera.learned.config, 60.0)
    assert often.threshold < camera.learned.threshold


def test_what_a_person_should_know_of_the_videos(tmp_path):
    rng = np.random.default_rng(0)
    frames = list(rng.integers(0, 255, (20, 48, 64, 3), np.uint8))
    write_video(tmp_path / 'a/1.mp4', frames, rate=10)
    write_video(tmp_path / 'a/2.ts', [cv2.resize(f, (96, 64)) for f in frames], rate=20)
    (tmp_path / 'b.mp4').write_bytes(b'nothing')
    said = '\n'.join(survey(tmp_path))
    assert '2 videos, 3 s, 64 x 48, 96 x 64 pixels, 10, 20 frames a second' in said
    assert re.search('left out: .*b.mp4: cannot be opened', said)
    assert 'of several sizes: 64 x 48 (1), 96 x 64 (1)' in said
    assert 'of several frame rates: 10 (1), 20 (1)' in said


def test_what_cannot_be_learned_from(tmp_path, camera):
    with pytest.raises(FileNotFoundError, match='gone: no such folder'):
        learn(tmp_path / 'gone', 'x', tmp_path)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty: holds no images, no videos'):
        learn(tmp_path / 'empty', 'x', tmp_path)
    (tmp_path / 'empty/a.mp4').write_text('text')
    with pytest.raises(ValueError, match='none of its 1 videos can be read: .*a.mp4'):
        learn(tmp_path / 'empty', 'x', tmp_path)
    for name in ('../x', 'a/b', '', '..', '-x'):
        with pytest.raises(ValueError, match='name: expected the name of one folder'):
            learn(camera.normal, name, tmp_path)
    with pytest.raises(ValueError, match='detector and checkpoint: expected both or neither'):
        learn(camera.normal, 'x', tmp_path, detector='mmdet::yolox/yolox_nano_8xb8-300e_coco.py')
    with pytest.raises(FileNotFoundError, match='w.pth: no such weights of a detector'):
        learn(camera.normal, 'x', tmp_path, detector='d.py', checkpoint=tmp_path / 'w.pth')
    # None of them left a model or a config behind.
    assert sorted(path.name for path in tmp_path.iterdir()) == ['empty']


def test_model_files_by_name_folder_and_path(tmp_path, camera):
    assert find_model_file(camera.root / 'yard') == camera.learned.model
    assert find_model_file(camera.learned.model) == camera.learned.model
    with pytest.raises(FileNotFoundError, match='gate: no such model.*there are yard'):
        find_model_file('gate', camera.root)
    (tmp_path / 'gate').mkdir()
    with pytest.raises(FileNotFoundError, match='gate: holds no model file'):
        find_model_file('gate', tmp_path)
    for name in 'ab':
        (tmp_path / f'gate/{name}.pth').touch()
    with pytest.raises(ValueError, match=r'several model files \(a.pth, b.pth\)'):
        find_model_file('gate', tmp_path)


def test_recordings_in_a_folder_of_the_models_name_hide_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'yard').mkdir()
    model = tmp_path / 'models' / 'yard' / 'objects.pth'
    model.parent.mkdir(parents=True)
    model.touch()
    assert find_model_file('yard', tmp_path / 'models') == model


def test_with_a_detector(tmp_path, camera):
    """The config names the detector; one that is no YOLOX gets no settings of YOLOX's config."""
    from mmvad.apis.learn import config_text

    for detector, has in (('mmdet::yolox/yolox_s_8xb8-300e_coco.py', True), ('d.py', False)):
        text = config_text(camera.normal, tmp_path, detector, tmp_path / 'w.pth', 'onnx', 'cpu')
        (tmp_path / 'config.py').write_text(text)
        cfg = read_config(tmp_path / 'config.py')
        for part in (cfg.proposer, cfg.model.tube.measure.tokens):
            assert part.config == detector and part.checkpoint == str(tmp_path / 'w.pth')
            assert (part.runtime, part.device) == ('onnx', 'cpu')
            assert bool(part.cfg_options) == has
