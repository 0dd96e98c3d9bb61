"""Stage ``temporal``: fusion and SMM learn to predict the patterns (paper, section 3.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.runner import set_random_seed

from mmvad.engine import Job, TrainingStage
from mmvad.methods.objects.calibrate import training_measurements
from mmvad.methods.objects.tubes import tube_fields
from mmvad.models.localvad import temporal_config
from mmvad.registry import MODELS, STAGES
from mmvad.structures import TubeSpec

from .hooks import PredictionHook
from .weights import part_digest, save_part


@STAGES.register_module()
class TemporalStage(TrainingStage):
    """Train the temporal part: MMEngine's checkpoints, then ``temporal.pth``.

    Training leaves out the videos that ``stages.calibrate`` holds out; the predictor's diagnostics
    are logged on these after every epoch.

    Args:
        name: Of the stage.
        statistics_tubes: Training tubes that the patterns' mean and standard deviation are taken
            from, and at most as many that the diagnostics are measured on.
        training: See :class:`~mmvad.engine.TrainingStage`.
    """

    needs = ('tubes/training', 'features/training')
    leaves = ('temporal.pth',)
    config = (
        'model.temporal',
        'stages.calibrate.held_out',
        'model.tube.window',
        'model.tube.horizon',
    )
    optional = config[2:]
    in_model = True

    def __init__(self, name: str, statistics_tubes: int = 5000, **training: Any) -> None:
        super().__init__(name, **training)
        self.statistics_tubes = statistics_tubes

    def output(self, folder: Path) -> Path:
        return folder / 'temporal.pth'

    def content(self, path: Path) -> str:
        return part_digest('temporal', path)

    def run(self, job: Job) -> None:
        tube = TubeSpec.of(tube_fields(job.config))
        share = job.config['stages.calibrate.held_out']
        set_random_seed(job.seed)
        model = MODELS.build(temporal_config(job.config['model.temporal'], tube))
        dataset = training_measurements(job, 'patterns', tube, held_out=share)
        measured, _, held_out = dataset.subset(self.statistics_tubes, share)
        patterns = measured['patterns']
        model.fit_statistics(patterns[~held_out])
        self.train(job, model, dataset, hooks=[PredictionHook(patterns[held_out])])
        if job.processes.main:
            save_part(model, 'temporal', self.output(job.path))
