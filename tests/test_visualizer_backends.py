"""Backends of MMEngine's visualizer are named in the config and get what training logs."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import REPO, tiny_config
from mmengine.config import Config
from mmengine.visualization import BaseVisBackend

from mmvad.engine import read_config
from mmvad.registry import RUNNERS, VISBACKENDS

SCALARS: list[dict] = []


@VISBACKENDS.register_module()
class ListVisBackend(BaseVisBackend):
    """Keeps what it is given in a list."""

    def _init_env(self) -> None:
        pass

    @property
    def experiment(self) -> list[dict]:
        return SCALARS

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs) -> None:
        SCALARS.append(dict(scalar_dict, step=step))


def test_a_backend_of_the_users(finished, plaza, tmp_path):
    work_dir = shutil.copytree(finished, tmp_path / 'run')
    options = {
        'visualizer.vis_backends': [dict(type='LocalVisBackend'), dict(type='ListVisBackend')],
        'stages.temporal.optim_wrapper.optimizer.lr': 1e-4,
    }
    RUNNERS.build(tiny_config(plaza, work_dir, stage='temporal', **options)).train()
    assert len(SCALARS) >= 2 and all('loss' in scalars for scalars in SCALARS)
    # The other one still writes its file.
    assert list((work_dir / 'temporal').rglob('scalars.json'))


def events(folder):
    """What lies in TensorBoard's files below a folder, read by TensorBoard itself."""
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    names = dict(scalars=set(), images=set())
    for path in folder.rglob('events.out.tfevents*'):
        found = accumulator.EventAccumulator(str(path), dict(images=0, scalars=0)).Reload()
        for kind in names:
            names[kind] |= set(found.Tags()[kind])
    return names


@pytest.mark.parametrize('path', ['configs/localvad/plaza.py', 'configs/rpn/rpn_r18_fpn_pseudo.py'])
def test_options_name_backends(path):
    """Of every config that trains: an option, and a leaf's dict."""
    options = {'visualizer.vis_backends.0.type': 'TensorboardVisBackend'}
    cfg = read_config(REPO / path, options)
    assert cfg.visualizer.vis_backends == [dict(type='TensorboardVisBackend')]


def test_tensorboard_gets_curves_and_pictures(undisturbed, finished, plaza, tmp_path):
    pytest.importorskip('tensorboard')
    options = {'visualizer.vis_backends': [dict(type='TensorboardVisBackend')]}
    tested = shutil.copytree(undisturbed, tmp_path / 'tested')
    RUNNERS.build(tiny_config(plaza, tested, method='attributes', **options)).train()
    videos = {path.stem for path in (tested / 'plots').glob('*.png')}
    assert (
        videos and {f'plots/{v}' for v in videos} | {'overview', 'why'} == events(tested)['images']
    )

    trained = shutil.copytree(finished, tmp_path / 'trained')
    options['stages.temporal.optim_wrapper.optimizer.lr'] = 1e-4
    RUNNERS.build(tiny_config(plaza, trained, stage='temporal', **options)).train()
    assert {'loss', 'lr'} <= events(trained)['scalars']


def test_config_and_epochs_at_the_top(finished):
    """The whole config lies in the work dir, and the run's one log has the epochs of training."""
    left = Config.fromfile(finished / 'plaza.py')
    made_by = json.loads(json.dumps(left.to_dict()))
    assert made_by['stages']['spatial']['train_cfg']['max_epochs'] == 2
    assert made_by['train_dataset']['plaza']['size'] == [120, 160]
    # Other tests may have looked at the run again, with logs of their own.
    log = min(finished.glob('*.log'))
    lines = log.read_text().splitlines()
    for stage in ('spatial', 'temporal'):
        begin = next(i for i, text in enumerate(lines) if f'Stage {stage}: {finished}' in text)
        end = next(i for i, text in enumerate(lines) if f'Stage {stage}: done' in text)
        epochs = [text for text in lines[begin:end] if 'Epoch(train)' in text and 'loss:' in text]
        assert any('[1]' in text for text in epochs) and any('[2]' in text for text in epochs)
