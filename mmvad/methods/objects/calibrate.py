"""Stage ``calibrate``: fit the scorer on training tubes, and write the complete model file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmvad.datasets import MeasurementDataset
from mmvad.engine import BaseStage, Job
from mmvad.models import ObjectVAD
from mmvad.registry import MODELS, STAGES
from mmvad.structures import TubeSpec

from .model_file import build_model, config_text, write_model_file


@STAGES.register_module()
class CalibrateStage(BaseStage):
    """Fit the scorer: another term, weight or neighbour runs this again and nothing before it.

    A method whose model is trained subclasses this for :meth:`build_model`.

    Args:
        name: Of the stage.
        model_file: Name of the complete model file, at the top of the work dir.
        num_tubes: Training tubes to fit on, spread evenly.
        held_out: Share of the training videos, at most a half, on which the scale of what is
            learned is taken; what trains leaves them out.
    """

    needs = ('tubes/training', 'features/training')
    config = ('model',)
    in_model = True
    seeded = True

    def __init__(
        self, name: str, model_file: str, num_tubes: int = 10000, held_out: float = 0.2
    ) -> None:
        super().__init__(name)
        if not 0 < held_out <= 0.5:
            raise ValueError(
                f'stages.{name}.held_out: expected above 0, at most 0.5, got {held_out!r}'
            )
        self.model_file = model_file
        self.leaves = (f'../{model_file}',)
        self.num_tubes = num_tubes
        self.held_out = held_out

    def check(self, cfg: Config) -> None:
        # On no device it costs nothing, whatever its size.
        with torch.device('meta'):
            model = MODELS.build(cfg.model)
        if model.scorer is None:
            raise ValueError('model.scorer: expected a scorer to fit')
        # Before hours of work, not when its end is written or read again.
        config_text(cfg)

    def check_model(self, config: Mapping[str, Any], path: Path) -> None:
        build_model(config, path)

    def output(self, folder: Path) -> Path:
        return folder.parent / self.model_file

    def build_model(self, job: Job) -> ObjectVAD:
        """The model, with what was trained."""
        return MODELS.build(job.config['model'])

    def run(self, job: Job) -> None:
        model = self.build_model(job).to(get_device())
        dataset = training_measurements(job, model.measurements, model.tube)
        measurements, videos, held_out = dataset.subset(self.num_tubes, self.held_out)
        if len(dataset.videos.lengths) == 1:
            job.logger.warning(
                f'A single training video: its last {self.held_out:.0%} is held out for the scale '
                'of the scores, in place of other videos'
            )
        for remark in model.calibrate(measurements, videos, held_out):
            job.logger.warning(remark)
        path = self.output(job.path)
        write_model_file(path, model, job.whole_config, job.seed)
        job.logger.info(f'Self-contained model: {path}')


def training_measurements(
    job: Job, names: str | tuple[str, ...], tube: TubeSpec, held_out: float = 0.0
) -> MeasurementDataset:
    """The stored measurements of the training split; see :class:`MeasurementDataset`."""
    return MeasurementDataset(
        job.videos('training'),
        job.inputs['tubes/training'].path,
        job.inputs['features/training'].path,
        names,
        tube.first_scored,
        held_out=held_out,
    )
