"""More normal video for a model of one's own camera."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from camera import write_video

from mmvad.apis import VADInferencer, adapt, find_model_file, learn
from mmvad.engine import read_config
from mmvad.methods.objects import features, tubes

FEW = {'stages.anomalies.moments': 4}
# Without what takes longest.
FAST = FEW | {'stages.calibrate.self_check': False}


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@pytest.fixture
def later(tmp_path, camera) -> Path:
    """A folder with one more recording."""
    (tmp_path / 'later').mkdir()
    shutil.copy(camera.new / '00.mp4', tmp_path / 'later/00.mp4')
    return tmp_path / 'later'


@pytest.fixture
def models(tmp_path, camera) -> Path:
    """The models of the camera, to write to."""
    shutil.copytree(camera.root, tmp_path / 'models')
    return tmp_path / 'models'


@pytest.fixture
def looked_at(monkeypatch) -> list[str]:
    """Which videos are gone through, for boxes and for what is measured."""
    seen = []

    def noting(real, path_of):
        def noted(frames, *args, **kwargs):
            seen.append(Path(path_of(frames)).stem)
            return real(frames, *args, **kwargs)

        return noted

    for module, name in ((tubes, 'find_tubes'), (features, 'measure_tubes')):
        monkeypatch.setattr(module, name, noting(getattr(module, name), lambda f: f.path))
    return seen


def test_only_what_is_new_is_measured_and_the_model_is_that_of_all(
    camera, models, later, looked_at
):
    before = bytes_below(models / 'yard')
    adapted = adapt('yard', [later], root=models, options=FEW)
    assert adapted.model == models / 'yard-2/objects.pth'
    assert find_model_file('yard-2', models) == adapted.model
    assert looked_at == ['00', '00'] and len(list(camera.normal.rglob('*.mp4'))) == 2
    # The model that was is as it was.
    assert bytes_below(models / 'yard') == before
    # The same as from nothing.
    roots = {'train_dataset.more_roots': dict(later=str(later))}
    anew = learn(camera.normal, 'anew', models, options=FEW | roots)
    assert len(looked_at) == 2 + 2 * 3
    one, other = (torch.load(m.model, weights_only=True) for m in (adapted, anew))
    assert one['state_dict'].keys() == other['state_dict'].keys()
    for key, value in one['state_dict'].items():
        torch.testing.assert_close(value, other['state_dict'][key], rtol=0, atol=0)
    for name in ('lengths', 'owners', 'frames', 'boxes'):
        assert torch.equal(one['meta']['normal'][name], other['meta']['normal'][name])
    assert (adapted.threshold, adapted.seconds) == (anew.threshold, anew.seconds)
    assert adapted.seconds == pytest.approx(24, abs=1)
    # What was new is usual now; by the scores that were known of it before.
    scores = [
        VADInferencer(model)(later / '00.mp4', show_progress=False)[0].objects['scores']
        for model in (camera.learned.model, adapted.model)
    ]
    assert len(scores[0]) == len(scores[1]) and np.mean(scores[1]) < np.mean(scores[0])


def test_one_after_the_other(camera, models, later, tmp_path):
    adapt('yard', [later], root=models, options=FAST)
    shutil.copy(camera.new / '01.mp4', tmp_path / 'one.mp4')
    third = adapt('yard-2', [tmp_path / 'one.mp4'], root=models, options=FAST)
    assert third.model.parent.name == 'yard-3'
    cfg = read_config(third.config)
    assert dict(cfg.train_dataset.more_roots) == dict(
        later=str(later), one=str(tmp_path / 'one.mp4')
    )
    videos = {p.stem for p in (models / 'yard-3/proposals/training').rglob('*.npz')}
    assert len(list((models / 'yard-3/proposals/training').rglob('*.npz'))) == 4
    assert 'one' in videos or '01' in videos
    # Another number is taken where a model has that name, or the name that is given.
    named = adapt('yard', [later], 'evening', models, options=FAST)
    assert named.model == models / 'evening/objects.pth'


def test_a_run_that_was_stopped_goes_on(models, later, monkeypatch, looked_at):
    before = bytes_below(models / 'yard')
    real = tubes.find_tubes

    def stopping(*args, **kwargs):
        real(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tubes, 'find_tubes', stopping)
        with pytest.raises(KeyboardInterrupt):
            adapt('yard', [later], root=models, options=FAST)
    assert bytes_below(models / 'yard') == before
    assert not list((models / 'yard-2').glob('*.pth'))
    adapted = adapt('yard', [later], root=models, options=FAST)
    assert adapted.model.parent.name == 'yard-2' and set(looked_at) == {'00'}


def test_a_recording_that_is_added_to_the_folder_leaves_the_others(
    camera, models, later, tmp_path, looked_at
):
    shutil.copytree(camera.normal, tmp_path / 'normal')
    learn(tmp_path / 'normal', 'gate', models, options=FAST)
    looked_at.clear()
    shutil.copy(later / '00.mp4', tmp_path / 'normal/zz.mp4')
    learn(tmp_path / 'normal', 'gate', models, options=FAST)
    assert looked_at == ['zz', 'zz']
    # One whose frames are others is no recording that was there.
    looked_at.clear()
    first = sorted((tmp_path / 'normal/day').iterdir())[0]
    write_video(first, [frame[:, ::-1].copy() for frame in frames_of_video(first)])
    learn(tmp_path / 'normal', 'gate', models, options=FAST)
    assert looked_at == [first.stem] * 2
    # Nor what is damaged a file to take.
    looked_at.clear()
    broken = next((models / 'gate/proposals/training').rglob('zz.npz'))
    broken.write_bytes(broken.read_bytes()[:-1])
    shutil.copy(camera.new / '01.mp4', tmp_path / 'normal/zzz.mp4')
    learn(tmp_path / 'normal', 'gate', models, options=FAST)
    assert looked_at == ['zz', 'zzz', 'zzz']


def frames_of_video(path: Path) -> list[np.ndarray]:
    from mmvad.datasets import FrameSource

    source = FrameSource(path)
    return [source[number] for number in range(len(source))]


def test_copies_of_what_is_known_are_left_out(camera, models, tmp_path, looked_at):
    """A scorer that has seen a video has seen its copy: no score of it would be unseen."""
    shutil.copytree(camera.normal, tmp_path / 'copies')
    adapted = adapt('yard', [tmp_path / 'copies'], root=models, options=FAST)
    assert looked_at == []
    log = next(adapted.model.parent.glob('*.log')).read_text()
    assert '2 of 4 training videos are left out' in log and 'a copy of day/00' in log
    known, other = (
        torch.load(m, weights_only=True)['meta']['origins']['videos']
        for m in (models / 'yard/objects.pth', adapted.model)
    )
    assert known == other


def test_what_cannot_be_added(camera, models, later, tmp_path):
    def refused(match, *args, error=ValueError, **kwargs):
        with pytest.raises(error, match=match):
            adapt(*args, root=models, **kwargs)

    refused('gate: no such model', 'gate', [later], error=FileNotFoundError)
    refused('gone: no such video or folder', 'yard', [tmp_path / 'gone'], error=FileNotFoundError)
    refused('is part of yard already', 'yard', [camera.normal])
    refused('is part of yard already', 'yard', [camera.normal / 'day'])
    refused('is part of yard already', 'yard', [later, later])
    refused('expected recordings to add', 'yard', [])
    refused('yard is the model that is adapted', 'yard', [later], name='yard')
    small = [frame[::2, ::2].copy() for frame in frames_of_video(later / '00.mp4')]
    write_video(tmp_path / 'small/a.mp4', small)
    refused(r'small: has videos of \d+ x \d+ pixels, yard was trained on', 'yard',
            [tmp_path / 'small'])  # fmt: skip
    (tmp_path / 'text').mkdir()
    (tmp_path / 'text/a.mp4').write_text('text')
    refused('none of its 1 videos can be read', 'yard', [tmp_path / 'text'])
    shutil.rmtree(models / 'yard/config')
    refused('not left by mmvad train FOLDER', 'yard', [later])
    assert sorted(path.name for path in models.iterdir()) == ['yard']


def test_recordings_that_are_gone(camera, later, tmp_path):
    shutil.copytree(camera.normal, tmp_path / 'normal')
    learn(tmp_path / 'normal', 'gate', tmp_path / 'models', options=FAST)
    shutil.rmtree(tmp_path / 'normal')
    with pytest.raises(FileNotFoundError, match='normal: the recordings .* are gone'):
        adapt('gate', [later], root=tmp_path / 'models')
