"""Stage ``calibrate``: fit the scorer on training tubes, and write the complete model file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmvad.datasets import MeasuredFrames, MeasurementDataset
from mmvad.engine import BaseStage, Job
from mmvad.models import ObjectVAD
from mmvad.registry import MODELS, STAGES
from mmvad.structures import TubeSpec, write_json

from .alarms import NormalScores
from .model_file import build_model, config_text, write_model_file
from .self_check import alarm_rarity, check_scorer, unseen_scores
from .stored import looked_at, stored_altered


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
        self_check: Whether anomalies that were made of training videos, by the stage
            ``anomalies``, say which terms of the channel ``all`` count, and what would be found
            (``self_check.json``). The model file then also holds scores of unseen normal video,
            from which thresholds are taken.
        false_alarms: An hour, of single frames before smoothing, at which the self-check says what
            is found.
    """

    needs = ('tubes/training', 'features/training')
    config = ('model',)
    in_model = True
    seeded = True
    #: Whether what is not held out has trained a part of the model.
    trained = False

    def __init__(
        self,
        name: str,
        model_file: str,
        num_tubes: int = 10000,
        held_out: float = 0.2,
        self_check: bool = False,
        false_alarms: float = 1.0,
    ) -> None:
        super().__init__(name)
        if not 0 < held_out <= 0.5:
            raise ValueError(
                f'stages.{name}.held_out: expected above 0, at most 0.5, got {held_out!r}'
            )
        if not false_alarms > 0:
            raise ValueError(
                f'stages.{name}.false_alarms: expected above 0 an hour, got {false_alarms!r}'
            )
        self.model_file = model_file
        self.leaves = (f'../{model_file}',)
        self.self_check = self_check
        self.false_alarms = false_alarms
        if self_check:
            self.needs = (*self.needs, 'anomalies')
            self.leaves = (*self.leaves, 'self_check.json')
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
        checked = normal = None
        if self.self_check:
            seen = looked_at(model, dataset.whole_frames(self.num_tubes, self.held_out))
            # Opens every video.
            rates = [dataset.videos.source(video).fps for video in dataset.videos.lengths]
            checked = self._check(job, model, dataset, seen, max(rates))
            normal = self._normal(model, dataset, seen, rates)
        for remark in model.calibrate(measurements, videos, held_out):
            job.logger.warning(remark)
        for name, share in model.scorer.explained_by_place.items():
            how = 'half by place' if model.scorer.by_place[name] else 'alike everywhere'
            job.logger.info(
                f'Place explains {max(0.0, share):.0%} of {name!r} in other videos: compared {how}'
            )
        path = self.output(job.path)
        origins = dataset.origins(self.num_tubes)
        write_model_file(path, model, job.whole_config, job.seed, checked, origins, normal)
        job.logger.info(f'Self-contained model: {path}')

    def _normal(
        self,
        model: ObjectVAD,
        dataset: MeasurementDataset,
        seen: MeasuredFrames,
        rates: Sequence[float],
    ) -> NormalScores:
        """Scores of normal video that the scorer, with its weights, has not seen."""
        scores = unseen_scores(model.scorer, seen)
        kept = seen.held_out[seen.frames] if self.trained else np.ones(len(seen.frames), bool)
        frames, numbers = seen.numbers[seen.frames][kept], seen.videos[seen.frames][kept]
        used, owners = np.unique(numbers, return_inverse=True)
        # Of a single video its end is held out: what is before does not count as time.
        part = self.trained and len(np.unique(seen.videos)) == 1
        start = frames.min() if part and len(frames) else 0
        lengths = np.array(list(dataset.videos.lengths.values()), np.int32)
        apart = np.diff(seen.numbers)[np.diff(seen.videos) == 0]
        return NormalScores(
            owners=owners.astype(np.int32),
            frames=(frames - start).astype(np.int32),
            boxes=seen.objects[kept],
            scores={name: values[kept] for name, values in scores.items()},
            lengths=lengths[used] - np.int32(start),
            rates=np.array(rates, np.float32)[used],
            step=int(apart.min()) if len(apart) else 1,
        )

    def _check(
        self,
        job: Job,
        model: ObjectVAD,
        dataset: MeasurementDataset,
        normal: MeasuredFrames,
        frame_rate: float,
    ) -> dict[str, Any]:
        """Weigh the terms by what they find of anomalies that were made; see
        :mod:`~mmvad.methods.objects.self_check`."""
        altered, kinds = stored_altered(job.inputs['anomalies'].path, dataset, model.measurements)
        given = {name: term.weight for name, term in model.scorer.terms.items()}
        check = check_scorer(model.scorer, normal, looked_at(model, altered), kinds)
        chosen = check.choose(given)
        model.scorer.weigh(chosen)
        rarities = dict(
            found=alarm_rarity(self.false_alarms, frame_rate), found_1_percent=math.log(100)
        )
        alone = {name: round(100 * check.figure({name: 1.0}), 1) for name in given}
        checked = dict(
            weights=chosen,
            auc=round(100 * check.figure(chosen), 1),
            auc_as_given=round(100 * check.figure(given), 1),
            auc_of_terms=alone,
            false_alarms_an_hour=self.false_alarms,
            kinds=check.table(chosen, rarities),
        )
        write_json(job.path / 'self_check.json', checked)
        job.logger.info(
            f'Self-check: made anomalies against normal video of its own, AUC {checked["auc"]} % '
            f'(as given {checked["auc_as_given"]} %), weights {chosen}'
        )
        return checked


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
