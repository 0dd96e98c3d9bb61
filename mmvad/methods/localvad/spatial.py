"""Stage ``spatial``: the branches learn by contrast with captions (paper, section 3.2)."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.runner import set_random_seed

from mmvad.datasets import TokenDataset, TubeDataset, text_pipeline, training_pipeline
from mmvad.engine import Job, TrainingStage
from mmvad.methods.objects.tubes import tube_fields
from mmvad.models import SpatialModel
from mmvad.registry import MODELS, STAGES
from mmvad.structures import TubeSpec

from .weights import part_digest, save_part


class BranchesStage(TrainingStage):
    """Train the branches: MMEngine's checkpoints, then ``branches.pth``, without the text sides.

    A subclass says by ``takes`` what they look at, ``'crops'`` or ``'tokens'``, and gives it by
    :meth:`dataset`.
    """

    leaves = ('branches.pth',)
    in_model = True
    takes: str

    def check(self, cfg: Config) -> None:
        gives = TubeSpec.of(cfg.model.tube).gives
        if gives != self.takes:
            raise ValueError(
                f'stages.{self.name}: {type(self).__name__} learns from {self.takes}, but '
                f'model.tube gives {gives or "neither crops nor tokens"} (crop_size, tokens)'
            )

    def output(self, folder: Path) -> Path:
        return folder / 'branches.pth'

    def content(self, path: Path) -> str:
        return part_digest('spatial', path)

    @abstractmethod
    def dataset(self, job: Job, context_length: int) -> BaseDataset:
        """One training tube an item: ``inputs`` (1, ...) of its last step, and ``data_samples``,
        sentence key to (S_t,) int64, where S_t is ``context_length``."""

    def run(self, job: Job) -> None:
        set_random_seed(job.seed)
        # The layout in which a CPU trains convolutions half as fast again.
        model: SpatialModel = MODELS.build(job.config['model.spatial'])
        model.to(memory_format=torch.channels_last)
        self.train(job, model, self.dataset(job, model.text_length))
        model.drop_text()
        if job.processes.main:
            save_part(model, 'spatial', self.output(job.path))


@STAGES.register_module()
class SpatialStage(BranchesStage):
    """Train the branches on crops.

    Args:
        name: Of the stage.
        cache_mb: Decoded frames and flow fields kept in memory, 2**20 bytes (each worker keeps its
            own): three quarters are for frames.
        training: See :class:`~mmvad.engine.TrainingStage`; the data follow from ``model.tube``.
    """

    takes = 'crops'
    needs = ('tubes/training', 'captions')
    config = (
        'model.spatial',
        *(f'model.tube.{field}' for field in ('window', 'horizon', 'crop_size', 'flow', 'strides')),
    )
    optional = config[1:]
    reads_frames = 'training'
    speed_only = ('cache_mb',)

    def __init__(self, name: str, cache_mb: int = 1024, **training: Any) -> None:
        super().__init__(name, **training)
        if not (isinstance(cache_mb, int) and cache_mb >= 0):
            raise ValueError(f'stages.{name}.cache_mb: expected 0 or more, got {cache_mb!r}')
        self.cache_mb = cache_mb

    def check(self, cfg: Config) -> None:
        super().check(cfg)
        training_pipeline(TubeSpec.of(cfg.model.tube), '', 8)

    def dataset(self, job: Job, context_length: int) -> TubeDataset:
        pipeline = training_pipeline(
            TubeSpec.of(tube_fields(job.config)),
            job.inputs['captions'].path,
            context_length,
            self.cache_mb // 4,
        )
        return TubeDataset(
            job.videos('training'),
            job.inputs['tubes/training'].path,
            pipeline,
            self.cache_mb * 3 // 4,
            self.train_dataloader['batch_size'],
            self.train_dataloader.get('num_workers', 0),
        )


@STAGES.register_module()
class TokenSpatialStage(BranchesStage):
    """Train the branches on what stage ``tokens`` stored.

    Args:
        name: Of the stage.
        training: See :class:`~mmvad.engine.TrainingStage`; the data follow from ``model.tube``.
    """

    takes = 'tokens'
    needs = ('tubes/training', 'captions', 'tokens')
    config = ('model.spatial', 'model.tube.tokens', 'model.tube.flow', 'model.tube.strides')
    optional = config[2:]

    def dataset(self, job: Job, context_length: int) -> TokenDataset:
        spec = TubeSpec.of(tube_fields(job.config))
        return TokenDataset(
            job.videos('training'),
            job.inputs['tubes/training'].path,
            job.inputs['tokens'].path,
            text_pipeline(job.inputs['captions'].path, context_length),
            spec.strides,
            spec.flow is not None,
        )
