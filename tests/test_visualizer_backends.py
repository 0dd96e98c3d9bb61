"""Backends of MMEngine's visualizer are named in the config and get what training logs."""

from __future__ import annotations

import shutil

from conftest import tiny_config
from mmengine.visualization import BaseVisBackend

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
