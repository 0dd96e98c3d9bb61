"""Stage ``spatial``: the branches learn by contrast with captions (paper, section 3.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import set_random_seed

from mmvad.datasets import TubeDataset, training_pipeline
from mmvad.engine import Job, TrainingStage
from mmvad.methods.objects.tubes import tube_fields
from mmvad.registry import MODELS, STAGES
from mmvad.structures import TubeSpec

from .weights import part_digest, save_part


@STAGES.register_module()
class SpatialStage(TrainingStage):
    """Train the branches: MMEngine's checkpoints, then ``branches.pth``, without the text sides.

    Args:
        name: Of the stage.
        cache_mb: Decoded frames and flow fields kept in memory, 2**20 bytes (each worker keeps its
            own): three quarters are for frames.
        training: See :class:`~mmvad.engine.TrainingStage`; the data follow from ``model.tube``.
    """

    needs = ('tubes/training', 'captions')
    leaves = ('branches.pth',)
    config = (
        'model.spatial',
        *(f'model.tube.{field}' for field in ('window', 'horizon', 'crop_size', 'flow', 'strides')),
    )
    optional = config[1:]
    reads_frames = 'training'
    speed_only = ('cache_mb',)
    in_model = True

    def __init__(self, name: str, cache_mb: int = 1024, **training: Any) -> None:
        super().__init__(name, **training)
        if not (isinstance(cache_mb, int) and cache_mb >= 0):
            raise ValueError(f'stages.{name}.cache_mb: expected 0 or more, got {cache_mb!r}')
        self.cache_mb = cache_mb

    def check(self, cfg: Config) -> None:
        training_pipeline(TubeSpec.of(cfg.model.tube), '', 8)

    def output(self, folder: Path) -> Path:
        return folder / 'branches.pth'

    def content(self, path: Path) -> str:
        return part_digest('spatial', path)

    def run(self, job: Job) -> None:
        set_random_seed(job.seed)
        # The layout in which a CPU trains convolutions half as fast again.
        model = MODELS.build(job.config['model.spatial']).to(memory_format=torch.channels_last)
        pipeline = training_pipeline(
            TubeSpec.of(tube_fields(job.config)),
            job.inputs['captions'].path,
            model.text_length,
            self.cache_mb // 4,
        )
        dataset = TubeDataset(
            job.videos('training'),
            job.inputs['tubes/training'].path,
            pipeline,
            self.cache_mb * 3 // 4,
            self.train_dataloader['batch_size'],
            self.train_dataloader.get('num_workers', 0),
        )
        self.train(job, model, dataset)
        model.drop_text()
        save_part(model, 'spatial', self.output(job.path))
