"""Stage ``test`` of methods that score objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel

from mmvad.datasets import MeasurementDataset
from mmvad.engine import EvaluationStage, Job
from mmvad.evaluation.functional import ScorePolicy, VideoScores
from mmvad.models import ObjectVAD
from mmvad.registry import MODELS, STAGES

from .alarms import normal_threshold, promised_and_found
from .model_file import build_model, normal_scores_of, origins_of, self_check_of
from .why import remove_why, write_why


@STAGES.register_module()
class TestStage(EvaluationStage):
    """Score the objects of the test split; see :class:`~mmvad.engine.EvaluationStage`.

    Args:
        name: Of the stage.
        explain: Of how many objects of highest score, one a happening, to show why they have it;
            see :func:`~mmvad.methods.objects.why.write_why`.
        false_alarms: An hour, that the alarm threshold allows after smoothing on normal video,
            of which the model file holds scores. How long folders of
            images are says the ``frame_rate`` of their dataset.
        kwargs: Arguments of the base class.
    """

    needs = ('calibrate', 'tubes/testing', 'features/testing')
    config = ('model',)
    # Not a test of pytest's, whatever its name.
    __test__ = False

    def __init__(
        self, name: str, explain: int = 8, false_alarms: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(name, **kwargs)
        if not (isinstance(explain, int) and explain >= 0):
            raise ValueError(
                f'stages.{name}.explain: expected a whole number >= 0, got {explain!r}'
            )
        if not (isinstance(false_alarms, (int, float)) and 0 < false_alarms < 3600):
            raise ValueError(
                f'stages.{name}.false_alarms: expected above 0 and below 3600 an hour, got '
                f'{false_alarms!r}'
            )
        self.explain = explain
        self.false_alarms = false_alarms

    def check(self, cfg: Config) -> None:
        super().check(cfg)
        channels = list(MODELS.build(cfg.model.scorer).channels)
        asked = list(self.evaluator.get('channels') or [])
        asked += [self.evaluator['score']] if self.evaluator.get('score') else []
        if lacking := [name for name in asked if name not in channels]:
            raise ValueError(
                f'stages.{self.name}.evaluator: the scorer has no channels {lacking}; with '
                f'model.scorer it has {channels}'
            )

    def chosen(self, job: Job) -> dict[str, Any]:
        """What the self-check chose and why, if there was one."""
        checked = self_check_of(job.inputs['calibrate'].path)
        return {} if checked is None else dict(self_check=checked)

    def alarms(
        self, job: Job, channel: str, policy: ScorePolicy, floors: Mapping[str, float]
    ) -> dict[str, Any] | None:
        path = job.inputs['calibrate'].path
        if (normal := normal_scores_of(path)) is None:
            return None
        why = ''
        if channel not in normal.scores:
            raise ValueError(f'{path}: meta.normal: has no scores of the channel {channel!r}')
        if self.evaluator.get('per_video_min_max'):
            why = 'each video is brought to 0 to 1 by its own scores (per_video_min_max)'
        else:
            try:
                threshold, seconds = normal_threshold(
                    normal, channel, policy, floors, self.false_alarms
                )
            except ValueError as error:
                why = str(error)
        if why:
            job.logger.warning(f'Stage {self.name}: no alarm threshold: {why}')
            return None
        return dict(
            threshold=threshold,
            false_an_hour=self.false_alarms,
            normal_seconds=sum(map(len, seconds)),
            frame_rates=sorted(set(normal.rates.tolist())),
            one_frame_in=normal.step,
            left_out_in_turn=promised_and_found(seconds),
        )

    def scored(self, job: Job) -> tuple[BaseModel, MeasurementDataset, Mapping[str, float]]:
        model = build_model(job.config, job.inputs['calibrate'].path).to(get_device()).eval()
        dataset = MeasurementDataset(
            job.videos('testing'),
            job.inputs['tubes/testing'].path,
            job.inputs['features/testing'].path,
            model.measurements,
            model.tube.first_scored,
            test_mode=True,
        )
        return model, dataset, model.scorer.floors

    def look_closer(
        self,
        job: Job,
        model: ObjectVAD,
        dataset: MeasurementDataset,
        scored: Mapping[str, VideoScores],
        channel: str,
    ) -> None:
        remove_why(job.work_dir)
        if self.explain:
            write_why(
                job.work_dir,
                model,
                dataset,
                scored,
                channel,
                self.explain,
                job.videos('training'),
                origins_of(job.inputs['calibrate'].path),
                job.logger.warning,
            )
