"""Shared fixtures: a tiny plaza, the real data where it is, configs cut to seconds."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvad.engine import resolve_references
from mmvad.preparation.plaza import write_plaza
from mmvad.registry import RUNNERS

REPO = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """MMEngine's runners set a default scope for the life of the process: not for the next test."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())


@pytest.fixture(scope='session')
def shared() -> Path:
    """Folder with the real data; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get('MMVAD_SHARED', REPO.parent / 'shared')) / 'datasets'
    if not path.is_dir():
        pytest.skip(f'needs the real data in {path} (MMVAD_SHARED names another folder)')
    return path


@pytest.fixture(scope='session')
def plaza(tmp_path_factory) -> Path:
    """A tiny plaza: two training and two test videos of 40 frames."""
    root = tmp_path_factory.mktemp('data') / 'plaza'
    write_plaza(root, **TINY_PLAZA)
    return root


TINY_PLAZA = dict(
    seed=0, train_videos=2, train_frames=40, test_videos=2, test_frames=40, size=(120, 160)
)


@pytest.fixture(scope='session')
def camera(tmp_path_factory) -> SimpleNamespace:
    """A camera's recordings as video files, and a model that was trained on the normal ones:
    ``root`` of models, folders ``normal`` and ``new``, ``learned``, ``frames`` of each video."""
    from camera import frames_of, write_video

    from mmvad.apis import learn

    place = tmp_path_factory.mktemp('camera')
    write_plaza(place / 'plaza', **dict(TINY_PLAZA, train_frames=80, test_frames=80))
    for split, folder in (('training', 'normal/day'), ('testing', 'new')):
        for video in sorted((place / f'plaza/{split}/frames').iterdir()):
            write_video(place / folder / f'{video.name}.mp4', frames_of(video))
    root, normal = place / 'models', place / 'normal'
    # Few anomalies are made for the self-check, which takes longest.
    options = {'stages.anomalies.moments': 4}
    learned = learn(normal, 'yard', root, options=options)
    return SimpleNamespace(root=root, normal=normal, new=place / 'new', learned=learned, frames=80)


def tiny_config(
    data: Path | str,
    work_dir: Path | str,
    name: str = 'plaza',
    method: str = 'localvad',
    **options,
) -> Config:
    """A config of ``configs/<method>`` cut to seconds; ``options`` go over the cuts."""
    cfg = Config.fromfile(REPO / 'configs' / method / f'{name}.py')
    cuts = {
        'work_dir': str(work_dir),
        'train_dataset.data_root': str(data),
        'test_dataset.data_root': str(data),
        'default_hooks.logger.interval': 1,
    }
    if 'spatial' in cfg.stages:
        cuts |= {
            'stages.spatial.train_dataloader.batch_size': 8,
            'stages.spatial.train_dataloader.sampler.num_samples': 16,
            'stages.spatial.train_cfg.max_epochs': 2,
            # Few tubes are left where one of two videos is held out.
            'stages.temporal.train_dataloader.batch_size': 8,
            'stages.temporal.train_cfg.max_epochs': 2,
        }
    if name == 'plaza':
        cuts |= {'train_dataset.plaza': TINY_PLAZA, 'test_dataset.plaza': TINY_PLAZA}
    if 'anomalies' in cfg.stages:
        cuts |= {'stages.anomalies.moments': 4}
    cfg.merge_from_dict(cuts | options)
    resolve_references(cfg)
    return cfg


@pytest.fixture(scope='session')
def finished(plaza, tmp_path_factory) -> Path:
    """The work dir of an undisturbed run; to be read, not written to."""
    work_dir = tmp_path_factory.mktemp('work') / 'run'
    RUNNERS.build(tiny_config(plaza, work_dir)).train()
    return work_dir


@pytest.fixture(scope='session')
def undisturbed(plaza, tmp_path_factory) -> Path:
    """The work dir of a run of the fast method; to be read, not written to."""
    work_dir = tmp_path_factory.mktemp('undisturbed') / 'run'
    RUNNERS.build(tiny_config(plaza, work_dir, method='attributes')).train()
    return work_dir
