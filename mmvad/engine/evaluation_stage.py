"""The stage that methods end with: score the test split, write the scores, figures and report."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.model import BaseModel

from mmvad.datasets import VideoDataset
from mmvad.datasets.ground_truth.regions import check_regions, read_regions
from mmvad.evaluation.functional import (
    MIN_REGION_AREA,
    ScorePolicy,
    VideoScores,
    alarm_figures,
    check_min_region_area,
    kept_frames,
)
from mmvad.evaluation.report import cut
from mmvad.registry import METRICS
from mmvad.structures import write_json
from mmvad.visualization import VADVisualizer, video_encoder

from .report import pictures, write_report
from .stage import BaseStage, Job, plain
from .tested import write_tested
from .trainer import as_it_is, build_runner


class EvaluationStage(BaseStage):
    """Scores of the test split: a subclass gives the model and the dataset.

    Args:
        name: Of the stage.
        evaluator: Config of the :class:`~mmvad.evaluation.VADMetric`.
        annotate: How many videos to draw the scores into: those with the clearest change first.
        batch_size: Samples at a time.
        min_region_area: Fewest pixels of a region of the pixel masks, for RBDC and TBDC; see
            :func:`~mmvad.evaluation.functional.regions_from_masks`.
    """

    needs = ()
    leaves = ()
    always = True
    evaluates = True
    shared = True
    #: Whether the method scores objects, with boxes, and not whole frames.
    of_objects = True

    def __init__(
        self,
        name: str,
        evaluator: Mapping[str, Any],
        annotate: int = 1,
        batch_size: int = 8,
        min_region_area: int = MIN_REGION_AREA,
    ) -> None:
        super().__init__(name)
        self.evaluator = dict(plain(evaluator))
        self.annotate = annotate
        self.batch_size = batch_size
        self.min_region_area = min_region_area

    def check(self, cfg: Config) -> None:
        try:
            METRICS.build(dict(self.evaluator))
        except ValueError as error:
            raise ValueError(f'stages.{self.name}.evaluator.{error}') from error
        try:
            check_min_region_area(self.min_region_area)
        except ValueError as error:
            raise ValueError(f'stages.{self.name}.{error}') from error

    def check_videos(self, cfg: Config, videos: Mapping[str, VideoDataset]) -> None:
        if self.of_objects and 'testing' in videos and videos['testing'].labels:
            check_regions(videos['testing'])

    @abstractmethod
    def scored(self, job: Job) -> tuple[BaseModel, BaseDataset, Mapping[str, float] | None]:
        """What gives the scores.

        Returns:
            A model and a dataset as :class:`~mmvad.evaluation.VADMetric` describes them, and each
            channel's score of a frame without any (None: the lowest of the test split).
        """

    def chosen(self, job: Job) -> dict[str, Any]:
        """What training chose by itself, for the record among the figures."""
        return {}

    def alarms(
        self, job: Job, channel: str, policy: ScorePolicy, floors: Mapping[str, float] | None
    ) -> dict[str, Any] | None:
        """Above which final score there is an alarm, where training says.

        Args:
            job: Whose test.
            channel: The one that gives the final score.
            policy: What is done to scores after the model.
            floors: Those of :meth:`scored`.

        Returns:
            ``threshold``, ``false_an_hour`` and ``normal_seconds``, which it is by, and what else
            belongs among the figures.
        """
        return None

    def look_closer(  # noqa: B027 (most methods have nothing to add)
        self,
        job: Job,
        model: BaseModel,
        dataset: BaseDataset,
        scored: Mapping[str, VideoScores],
        channel: str,
    ) -> None:
        """Add to the report, such as why objects score high.

        Args:
            job: Whose test.
            model, dataset: Those of :meth:`scored`.
            scored: Video to its scores.
            channel: The one that gave the final score.
        """

    def run(self, job: Job) -> dict[str, Any]:
        videos = job.videos('testing')
        model, dataset, floors = self.scored(job)
        # Without labels there are no figures, and a config may have inherited the place of masks.
        wanted = videos.labels and self.of_objects and job.processes.main
        found = read_regions(videos, self.min_region_area) if wanted else None
        if found is not None and found.specks:
            job.logger.info(
                f'Stage {self.name}: pixel masks: {found.specks} component(s) of fewer than '
                f'{found.min_region_area} pixels are no regions '
                f'(stages.{self.name}.min_region_area)'
            )
        runner = build_runner(
            job,
            model,
            test_dataloader=dict(
                batch_size=self.batch_size,
                num_workers=0,
                sampler=dict(type='WholeBatchSampler', batch_size=self.batch_size),
                collate_fn=pseudo_collate,
                dataset=as_it_is(dataset),
            ),
            test_cfg=dict(),
            test_evaluator=dict(
                self.evaluator,
                regions=None if found is None else found.regions,
                floors=floors,
                # Not by files in the folder where the run was started.
                **(dict(collect_device='gpu') if job.processes.count > 1 else {}),
            ),
            custom_hooks=[dict(type='ScoreFilesHook', out_dir=str(job.work_dir.root))],
        )
        # Not beside the scores of this test, should it be stopped.
        if job.processes.main:
            job.work_dir.metrics.unlink(missing_ok=True)
            job.work_dir.tested.unlink(missing_ok=True)
        figures = runner.test()
        if not job.processes.main:
            return figures
        seconds = dict(job.seconds(), **{self.name: round(job.folder.seconds, 1)})
        protocol = dict(self.evaluator, ground_truth=videos.ground_truth)
        if found is not None:
            protocol['regions'] = found.protocol
        protocol |= self.chosen(job)
        if videos.skipped:
            protocol['left_out'] = videos.skipped
        metric = runner.test_evaluator.metrics[0]
        channel, threshold = metric.final_channel, None
        if alarms := self.alarms(job, channel, metric.policy, floors):
            protocol['alarms'], threshold = alarms, alarms['threshold']
            kept = kept_frames(metric.subset, videos.lengths)
            final = cut({name: each.final[channel] for name, each in metric.scored.items()}, kept)
            labels = cut(videos.labels, kept) if videos.labels else {}
            rates = {name: videos.source(name).fps for name in final}
            figures |= alarm_figures(final, labels, rates, threshold)
        write_json(job.work_dir.metrics, dict(figures, seconds=seconds, protocol=protocol))
        write_tested(job.work_dir, videos, channel, job.whole_config)
        drawn = write_report(videos, job.work_dir, metric.scored, channel, self.annotate, threshold)
        if drawn:
            job.logger.info(
                f'Annotated {len(drawn)} of {len(metric.scored)} videos, those with the clearest '
                f'change of score (stages.{self.name}.annotate), as {video_encoder().codec}: '
                f'{drawn[0].parent}'
            )
        self.look_closer(job, model, dataset, metric.scored, channel)
        if isinstance(runner.visualizer, VADVisualizer):
            runner.visualizer.add_pictures(pictures(job.work_dir, metric.scored))
        if 'auc/micro' in figures:
            job.logger.info(
                f'micro-AUC {figures["auc/micro"]:.2f} % (without smoothing '
                f'{figures["auc/micro_raw"]:.2f} %), macro-AUC {figures["auc/macro"]:.2f} %, '
                f'{figures["frames"]} frames, {figures["abnormal_frames"]} abnormal'
            )
        if alarms:
            told = ''.join(
                f', {figures[key]:.1f} % of {what} frames above it'
                for key, what in (
                    ('alarm_frames_abnormal', 'abnormal'),
                    ('alarm_frames_normal', 'normal'),
                )
                if key in figures
            )
            job.logger.info(
                f'{figures["alarms"]} alarms at a threshold of {threshold:.2f}, by '
                f'{alarms["normal_seconds"]} s of normal video {alarms["false_an_hour"]:g} false '
                f'ones an hour{told}'
            )
        job.logger.info(f'Scores, plots and metrics.json: {job.work_dir.root}')
        return figures
