"""The score files of a test.

Shape letters: n objects of one video, F frames of it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvad.evaluation import VADMetric
from mmvad.evaluation.functional import VideoScores
from mmvad.registry import HOOKS
from mmvad.structures import WorkDir, atomic_path


@HOOKS.register_module()
class ScoreFilesHook(Hook):
    """Write what :class:`~mmvad.evaluation.VADMetric` scored, after every test.

    See :func:`write_score_files` for the files. Where the test evaluator holds several such
    metrics, the first one's scores are written.

    Args:
        out_dir: Where to write.
    """

    def __init__(self, out_dir: str | Path) -> None:
        self.out_dir = Path(out_dir)

    def before_test_epoch(self, runner: Runner) -> None:
        """Refuse a test without the metric before it is run."""
        self._metric(runner)

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the files, in the main process only."""
        metric = self._metric(runner)
        write_score_files(
            self.out_dir, metric.scored, metric.final_channel, metric.video_rows, alone=True
        )

    @staticmethod
    def _metric(runner: Runner) -> VADMetric:
        found = runner.test_evaluator.metrics
        for metric in found:
            if isinstance(metric, VADMetric):
                return metric
        raise ValueError(
            'ScoreFilesHook: expected a VADMetric in test_evaluator, found '
            f'{[type(metric).__name__ for metric in found]}'
        )


def write_score_files(
    out_dir: str | Path,
    scored: Mapping[str, VideoScores],
    channel: str,
    rows: Sequence[Mapping[str, Any]] = (),
    alone: bool = False,
) -> None:
    """Write the scores of a test set, each file whole or not at all.

    - ``scores/<video>.npy``: the final scores (F,) float32;
    - ``scores/raw/<video>.npy``: the same without post-processing;
    - ``objects/<video>.npz``: the object table (``frames`` (n,) int32 ascending and, where there
      are any, ``boxes`` (n, 4) float32 xyxy pixels, ``tubes`` (n,) int32 and ``tracks`` (n,) int32;
      one float32 array (n,) of unsmoothed scores a channel); none where whole frames were scored;
    - ``videos.csv``: a line a video with its AUC; none without labels.

    That and ``metrics.json`` of an earlier test are removed.

    Args:
        out_dir: Where to write.
        scored: Video to its scores. A name may hold ``/``: its files then lie in folders.
        channel: The channel of the final scores.
        rows: Of every video ``name``, ``frames``, ``abnormal_frames``, ``auc`` and ``auc_raw`` (per
            cent, or None).
        alone: Remove such files of other videos, which an earlier test left.

    Raises:
        ValueError: A video's name leads out of the folder, or to another video's file.
    """
    place = WorkDir(Path(out_dir))
    arrays: dict[Path, np.ndarray | dict[str, np.ndarray]] = {}
    for video, scores in scored.items():
        if Path(video).is_absolute() or '..' in Path(video).parts:
            raise ValueError(f'video {video!r}: expected a name that is a path below {out_dir}')
        files = {
            place.scores(video): scores.final[channel],
            place.raw_scores(video): scores.raw[channel],
        }
        if scores.objects is not None:
            files[place.objects(video)] = scores.objects
        if taken := sorted(str(path) for path in files.keys() & arrays.keys()):
            raise ValueError(f'video {video!r}: another video has the file {taken[0]}')
        arrays |= files

    # Of an earlier test: not beside these scores, nor beside some of them.
    for path in (place.metrics, place.videos):
        path.unlink(missing_ok=True)
    for path, content in arrays.items():
        with atomic_path(path) as temporary:
            if isinstance(content, dict):
                np.savez(temporary, **content)
            else:
                np.save(temporary, content)
    if alone:
        for one in (place.scores('_'), place.objects('_')):
            for path in one.parent.rglob(f'*{one.suffix}'):
                if path not in arrays:
                    path.unlink()
    if not rows:
        return
    with (
        atomic_path(place.videos) as temporary,
        open(temporary, 'w', newline='', encoding='utf-8') as file,
    ):
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['video', 'frames', 'abnormal_frames', 'auc', 'auc_raw'])
        for row in rows:
            aucs = ['' if row[key] is None else f'{row[key]:.2f}' for key in ('auc', 'auc_raw')]
            writer.writerow([row['name'], row['frames'], row['abnormal_frames'], *aucs])
