"""MMEngine metric around the pure functions of :mod:`mmvad.evaluation.functional`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmvad.evaluation.figures import channel_figures, object_figures
from mmvad.evaluation.functional import (
    PADS,
    Regions,
    ScorePolicy,
    VideoScores,
    kept_frames,
    lowest_scores,
    score_video,
)
from mmvad.evaluation.report import cut
from mmvad.evaluation.samples import (
    FrameSample,
    checked_floors,
    checked_meta,
    chosen_channel,
    join_samples,
    read_sample,
)
from mmvad.registry import METRICS


@METRICS.register_module()
class VADMetric(BaseMetric):
    """Frame-level figures of video anomaly detection, for any model and dataset of any runner.

    Shape letters: n objects of one frame, F frames of one video.

    **Data samples**, what the model's ``predict`` returns, are dicts or data elements, one a frame:

    - ``video`` (str) and ``frame`` (int, 0-based);
    - of a method that scores objects: ``pred_instances`` with one floating-point array (n,) a
      channel, higher is more abnormal, and if need be ``bboxes`` (n, 4) xyxy pixels, for
      ``tracking`` and ``regions``, and ``tubes`` (n,), the number of each object's tube in its
      video, whole numbers, each at most once a frame. A frame without objects may have no sample;
    - of a method that scores whole frames: ``pred_scores``, channel to number.

    A channel is one kind of score that is reported; many methods have a single one. Frames may come
    in any order, in several samples, and more than once: an object counts once, told apart by its
    tube or else by its box.

    **The dataset's metainfo** holds ``videos`` (name to number of frames F); if need be ``labels``
    (name to (F,) of 0 and 1; without them there are counts and no figures) and ``first_scored``
    (0-based number of the first frame that can be scored, 0 by default; the frames before it take
    its score).

    **Figures** in per cent: ``auc/micro``, ``auc/macro`` (one-class videos padded,
    see ``pad``), ``auc/macro_skipped`` (one-class videos left out), ``auc/eer``, ``ap/step`` and
    ``ap/trapezoid`` of the post-processed scores of the channel ``score``, the same with ``_raw``
    behind their names without any post-processing, then ``auc_<channel>/micro`` and
    ``auc_<channel>/micro_raw`` of every channel. With ``tracking`` also ``auc/micro_tracked``:
    smoothed along tracks, but not over frames. With ``regions`` also ``rbdc`` and ``tbdc`` of the
    boxes, whose scores are smoothed along tracks at most, ``rbdc_raw`` and ``tbdc_raw``. Counts:
    ``frames``, ``abnormal_frames``, ``videos``, ``videos_padded``, ``videos_without_objects``
    (without scored frames, where whole frames are scored).

    Args:
        score: The channel that gives the final score. None: ``'all'`` if there is such a channel,
            else the only one.
        channels: The channels to report. None: those of the first data sample.
        smoothing: See :class:`~mmvad.evaluation.functional.ScorePolicy`.
        per_video_min_max: Likewise.
        tracking: Likewise.
        pad: Which videos are padded for ``auc/macro``, see
            :func:`~mmvad.evaluation.functional.frame_auc`.
        subset: Score a part of the test set only, see
            :func:`~mmvad.evaluation.functional.kept_frames`.
        regions: Ground-truth regions; ``videos`` number the videos in the dataset's order.
        floors: Channel to the score of a frame without objects (or without a sample, where whole
            frames are scored): the lowest seen in training. None: the lowest raw score of the
            channel in the whole test set, which is then **the test set's own**, known only when all
            of it is. The attribute of the same name may be set later, before the evaluation.
        collect_device, prefix, collect_dir: See :class:`mmengine.evaluator.BaseMetric`.

    Attributes:
        scored (dict[str, VideoScores]): Video to its scores in the last evaluation, whatever the
            subset; in the main process only.
        final_channel (str): The channel that gave the final score then.
        video_rows (list[dict]): A row for each of its scored videos: ``name``, ``frames``,
            ``abnormal_frames``, ``auc`` and ``auc_raw`` (per cent, None for one class); empty where
            there is no AUC.
    """

    # The names are whole as they are; None would make MMEngine warn of that, run by run.
    default_prefix = ''

    def __init__(
        self,
        score: str | None = None,
        channels: Sequence[str] | None = None,
        smoothing: Mapping | Sequence[Mapping] | None = None,
        per_video_min_max: bool = False,
        tracking: Mapping | None = None,
        pad: str = 'one-class',
        subset: str | None = None,
        regions: Regions | None = None,
        floors: Mapping[str, float] | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.score = score
        self.channels = None if channels is None else tuple(channels)
        if self.channels is not None:
            chosen_channel(score, self.channels)
        self.policy = ScorePolicy(smoothing, tracking, per_video_min_max)
        self.subset = subset
        if pad not in PADS:
            raise ValueError(f'pad: expected one of {PADS}, got {pad!r}')
        self.pad = pad
        self.regions = regions
        self.floors = floors if floors is None else checked_floors(floors, tuple(floors))
        self.scored: dict[str, VideoScores] = {}
        self.final_channel = score
        self.video_rows: list[dict[str, Any]] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the scores, boxes and tubes of every data sample."""
        for sample in data_samples:
            read = read_sample(sample, self._channels(self.results))
            chosen_channel(self.score, tuple(read.scores))
            if read.boxes is None and read.num_scores and (needs := self._needs_boxes()):
                raise ValueError(f'{needs}: expected pred_instances.bboxes, but {read} has none')
            self.results.append(read)

    def evaluate(self, size: int) -> dict:
        """Gather the results of all processes and compute the figures.

        MMEngine gathers item by item and cuts at ``size``, the length of the dataset, which may
        be counted in tubes or videos. Results here are frames, so each process hands over its
        whole list as one item.
        """
        self.results = [self.results]
        try:
            return super().evaluate(get_world_size())
        finally:
            self.results = []

    def compute_metrics(self, results: list[list[FrameSample]]) -> dict[str, float | int]:
        """Figures from the gathered results of all processes.

        Raises:
            ValueError: There is nothing to take a floor from, a sample's video or frame is not in
                the dataset, samples differ in what they hold, labels do not fit the videos, or a
                box cannot be tracked.
        """
        videos, first_scored, labels = checked_meta(self.dataset_meta)
        samples = [sample for part in results for sample in part]
        channels = self._channels(samples) or tuple(self.floors or ())
        columns = join_samples(samples, list(videos), channels)
        floors = self._floors(channels, columns)
        self.final_channel = chosen_channel(self.score, channels)
        scored = {}
        for video, num_frames in videos.items():
            try:
                scored[video] = score_video(
                    **columns[video],
                    num_frames=num_frames,
                    floors=floors,
                    first_scored=first_scored,
                    policy=self.policy,
                )
            except ValueError as error:
                raise ValueError(f'video {video!r}: {error}') from error
        self.scored, self.video_rows = scored, []

        empty = [video for video in videos if not len(columns[video]['frames'])]
        if empty:
            self._log(f'{len(empty)} video(s) have no objects, score floor: {", ".join(empty)}')
        kept = kept_frames(self.subset, videos)
        return {
            **(self._figures(channels, kept, labels) if labels else {}),
            'frames': sum(int(keep.sum()) for keep in kept.values()),
            'videos': len(kept),
            'videos_without_objects': len(empty),
        }

    def _figures(
        self,
        channels: Sequence[str],
        kept: Mapping[str, np.ndarray],
        labels: Mapping[str, np.ndarray],
    ) -> dict[str, float | int]:
        """Everything that needs labels (F,), which are of all videos; sets ``video_rows``."""
        kept_labels = cut(labels, kept)
        all_labels = np.concatenate(list(kept_labels.values()))
        counts = {'abnormal_frames': int(np.count_nonzero(all_labels))}
        if all_labels.min() == all_labels.max():
            self._log(f'all frames are labelled {int(all_labels[0])}: there is no AUC')
            return counts
        figures, self.video_rows = channel_figures(
            self.scored,
            kept_labels,
            kept,
            channels,
            self.final_channel,
            self.policy.tracking,
            self.pad,
        )
        if self.regions is not None:
            figures |= object_figures(self.scored, labels, self.regions, self.final_channel, kept)
        return figures | counts

    def _channels(self, samples: Sequence[FrameSample]) -> tuple[str, ...] | None:
        """The channels that are reported; None where only a first sample can tell."""
        return self.channels or (tuple(samples[0].scores) if samples else None)

    def _floors(self, channels: Sequence[str], columns: dict[str, dict]) -> dict[str, float]:
        """Channel to the score of a frame without objects, given or else the lowest there is."""
        if self.floors is not None:
            return checked_floors(self.floors, channels)
        lowest = lowest_scores(column['scores'] for column in columns.values())
        if not lowest:
            raise ValueError(
                'no data samples with scores: no video has any object, so there is nothing to '
                'score; check the objects of the test split, or give floors'
            )
        return lowest

    def _needs_boxes(self) -> str:
        """The arguments that need the objects' boxes; empty without any."""
        used = dict(tracking=self.policy.tracking, regions=self.regions is not None)
        return ' and '.join(name for name in used if used[name])

    @staticmethod
    def _log(text: str) -> None:
        print_log(f'VADMetric: {text}', logger='current', level=logging.WARNING)
