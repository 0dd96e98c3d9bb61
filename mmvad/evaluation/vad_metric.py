"""MMEngine metric around the frame-level functions of :mod:`mmvad.evaluation.functional`.

Shape letters: n objects of one video or frame, F frames of one video, C score channels.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmvad.evaluation.functional import (
    Detections,
    Regions,
    average_precision,
    build_smoother,
    frame_auc,
    frame_scores,
    kept_frames,
    link_objects,
    min_max,
    smooth_along_tracks,
)
from mmvad.evaluation.report import auc_rows, frame_figures, region_figures
from mmvad.registry import METRICS
from mmvad.structures.artifacts import atomic_path


@METRICS.register_module()
class VADMetric(BaseMetric):
    """Frame-level AUC of video anomaly detection, and the score files.

    Data samples are dicts, one a frame: ``video`` (str), ``frame`` (int, 0-based), ``floor``
    (channel to the lowest score seen in training, the same in all samples) and
    ``pred_instances`` with ``bboxes`` (n, 4) xyxy pixels and one array (n,) a channel. The
    dataset's metainfo holds ``videos`` (name to number of frames), ``window`` (input steps) and
    ``labels`` (name to (F,) of 0 and 1; empty when there are none, then no AUC is reported).

    Figures in per cent: ``auc/micro``, ``auc/macro`` (one-class videos padded),
    ``auc/macro_skipped`` (one-class videos left out), ``auc/eer``, ``ap/step`` and
    ``ap/trapezoid`` of the post-processed scores of the channel ``score``, the same with ``_raw``
    behind their names without any post-processing, then ``auc_<channel>/micro`` and
    ``auc_<channel>/micro_raw`` of every channel. With ``tracking`` also ``auc/micro_tracked``:
    smoothed along tracks, but not over frames. With ``regions`` also ``rbdc`` and ``tbdc`` of the
    boxes, whose scores are smoothed along tracks at most, ``rbdc_raw`` and ``tbdc_raw``. Counts:
    ``frames``, ``abnormal_frames``, ``videos``, ``videos_padded``, ``videos_without_objects``.

    Args:
        score: The channel that gives the final score.
        channels: The channels to report.
        smoothing: Of the frames' scores, see
            :func:`~mmvad.evaluation.functional.build_smoother`; None leaves them as they are.
        per_video_min_max: Bring each video's scores to 0 ... 1 after smoothing.
        tracking: ``dict(sigma=frames)``, and if need be ``min_iou``, ``max_gap``, ``causal`` and
            ``prior``: the objects' scores are smoothed along their tracks before the maximum over
            a frame's objects is taken (see
            :func:`~mmvad.evaluation.functional.link_objects` and
            :func:`~mmvad.evaluation.functional.smooth_along_tracks`). None takes them as they are.
        subset: Score a part of the test set only, see
            :func:`~mmvad.evaluation.functional.kept_frames`.
        regions: Ground-truth regions; ``videos`` number the videos in the dataset's order.
        out_dir: Where to write a table ``videos.csv`` and, for every video, the final scores
            ``scores/<video>.npy`` (F,) float32, the same without post-processing
            ``scores/raw/<video>.npy``, and the objects ``objects/<video>.npz`` (``frames`` (n,)
            int32 ascending, ``boxes`` (n, 4) float32, one float32 array (n,) of unsmoothed scores
            a channel and, with ``tracking``, ``tracks`` (n,) int32), whatever the subset. None
            writes nothing.
        collect_device: Device that gathers the results of several processes.
        prefix: Prefix of the metric names.
        collect_dir: Folder for gathering on the CPU.
    """

    def __init__(
        self,
        score: str = 'both',
        channels: Sequence[str] = ('smm', 'spatial', 'both'),
        smoothing: Mapping | None = None,
        per_video_min_max: bool = False,
        tracking: Mapping | None = None,
        subset: str | None = None,
        regions: Regions | None = None,
        out_dir: str | Path | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if score not in channels:
            raise ValueError(
                f'score: expected one of the channels {tuple(channels)}, got {score!r}'
            )
        self.score = score
        self.channels = tuple(channels)
        smooth = build_smoother(smoothing)
        self.smooth = (lambda scores: min_max(smooth(scores))) if per_video_min_max else smooth
        self.subset = subset
        self.regions = regions
        self.link, self.smooth_tracks = _build_tracking(tracking)
        self.out_dir = None if out_dir is None else Path(out_dir)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep of every frame its floors and its objects."""
        for sample in data_samples:
            objects = np.hstack(self._objects_of(sample))
            floors = tuple(float(sample['floor'][channel]) for channel in self.channels)
            self.results.append((sample['video'], int(sample['frame']), floors, objects))

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

    def compute_metrics(self, results: list[list[tuple]]) -> dict[str, float | int]:
        """Figures and files from the gathered results of all processes.

        Raises:
            ValueError: There are no samples, a sample's video or an object's frame is not in the
                dataset, floors differ between samples, labels do not fit the videos, or a box
                cannot be tracked.
        """
        videos, window, labels = self._checked_meta()
        samples = defaultdict(list)
        for part in results:
            for video, *rest in part:
                samples[video].append(rest)
        if unknown := sorted(set(samples) - set(videos)):
            raise ValueError(
                f'data samples of videos that dataset_meta does not list: {", ".join(unknown)}'
            )
        floors = self._common_floors(samples)

        objects, smoothed = {}, {}
        raw, tracked, final = ({channel: {} for channel in self.channels} for _ in range(3))
        for video, num_frames in videos.items():
            try:
                objects[video] = self._object_table(samples[video])
                smoothed[video] = self._smoothed_along_tracks(objects[video])
                for channel, floor in zip(self.channels, floors, strict=True):
                    # Rounded as the files are, so that the files give the same figures.
                    raw[channel][video], tracked[channel][video] = (
                        frame_scores(
                            table['frames'], table[channel], num_frames, window, floor
                        ).astype(np.float32)
                        for table in (objects[video], smoothed[video])
                    )
                    final[channel][video] = self.smooth(tracked[channel][video]).astype(np.float32)
            except ValueError as error:
                raise ValueError(f'video {video!r}: {error}') from error

        empty = [video for video in videos if not len(objects[video]['frames'])]
        if empty:
            self._warn(f'{len(empty)} video(s) have no objects, score floor: {", ".join(empty)}')
        if self.out_dir is not None:
            self._write(objects, raw[self.score], final[self.score])
        kept = kept_frames(self.subset, videos)
        cut = [
            {channel: _cut(scores, kept) for channel, scores in kind.items()}
            for kind in (raw, tracked, final)
        ]
        figures = self._figures(*cut, _cut(labels, kept) if labels else {})
        if 'auc/micro' in figures:
            figures |= self._region_figures(objects, smoothed, labels)
        return {
            **figures,
            'frames': sum(int(keep.sum()) for keep in kept.values()),
            'videos': len(kept),
            'videos_without_objects': len(empty),
        }

    def _figures(
        self,
        raw: dict[str, dict],
        tracked: dict[str, dict],
        final: dict[str, dict],
        labels: dict[str, np.ndarray],
    ) -> dict[str, float | int]:
        """Everything that needs labels; an empty dict without them."""
        if not labels:
            return {}
        all_labels = np.concatenate(list(labels.values()))
        counts = {'abnormal_frames': int(np.count_nonzero(all_labels))}
        if all_labels.min() == all_labels.max():
            self._warn(f'all frames are labelled {int(all_labels[0])}: there is no AUC')
            return counts

        aucs = {c: frame_auc(final[c], labels) for c in self.channels}
        raw_aucs = {c: frame_auc(raw[c], labels) for c in self.channels}
        chosen, chosen_raw = aucs[self.score], raw_aucs[self.score]
        figures = frame_figures(chosen, average_precision(final[self.score], labels))
        plain = frame_figures(chosen_raw, average_precision(raw[self.score], labels))
        figures |= {f'{name}_raw': value for name, value in plain.items()}
        if self.link is not None:
            figures['auc/micro_tracked'] = 100 * frame_auc(tracked[self.score], labels).micro
        for channel in self.channels:
            figures[f'auc_{channel}/micro'] = 100 * aucs[channel].micro
            figures[f'auc_{channel}/micro_raw'] = 100 * raw_aucs[channel].micro
        counts['videos_padded'] = len(chosen.padded)
        if self.out_dir is not None:
            lines = ['video,frames,abnormal_frames,auc,auc_raw']
            for row, other in zip(
                auc_rows(chosen.videos, labels), auc_rows(chosen_raw.videos, labels), strict=True
            ):
                cells = ('' if v is None else f'{v:.2f}' for v in (row['auc'], other['auc']))
                start = f'{row["name"]},{row["frames"]},{row["abnormal_frames"]}'
                lines.append(','.join([start, *cells]))
            with atomic_path(self.out_dir / 'videos.csv') as path:
                path.write_text('\n'.join(lines) + '\n')
        return figures | counts

    def _region_figures(
        self,
        objects: dict[str, dict],
        smoothed: dict[str, dict],
        labels: dict[str, np.ndarray],
    ) -> dict[str, float]:
        """RBDC and TBDC of the objects' boxes, with scores smoothed along tracks and without."""
        if self.regions is None:
            return {}
        tables = list(objects.values())
        place = dict(
            videos=np.concatenate([np.full(len(t['frames']), n) for n, t in enumerate(tables)]),
            frames=np.concatenate([t['frames'] for t in tables]).astype(np.int64),
            boxes=np.concatenate([t['boxes'] for t in tables]).astype(np.float64),
        )
        figures = {}
        for kind, scored in (('', smoothed), ('_raw', objects)):
            scores = np.concatenate([table[self.score] for table in scored.values()])
            found = Detections(scores=scores.astype(np.float64), **place)
            values = region_figures(self.regions, found, labels, self.subset)
            figures |= {f'{name}{kind}': value for name, value in values.items()}
        return figures

    def _objects_of(self, sample: dict) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (n, 4) and scores (n, C) of one data sample, float32, after checks."""
        where = f'video {sample["video"]!r}, frame {sample["frame"]}'
        instances = sample['pred_instances']
        for channel in self.channels:
            if channel not in instances or channel not in sample['floor']:
                raise ValueError(f'{where}: no channel {channel!r} in pred_instances or floor')
        boxes = _to_numpy(instances['bboxes'])
        scores = [_to_numpy(instances[channel]) for channel in self.channels]
        shapes = [column.shape for column in scores]
        if boxes.shape[1:] != (4,) or any(shape != boxes.shape[:1] for shape in shapes):
            raise ValueError(
                f'{where}: expected bboxes (n, 4) and scores (n,), got {boxes.shape} and {shapes}'
            )
        scores = np.stack(scores, axis=1)
        if not np.isfinite(scores).all():
            raise ValueError(f'{where}: expected finite scores, got {scores.tolist()}')
        return boxes, scores

    def _checked_meta(self) -> tuple[dict[str, int], int, dict[str, np.ndarray]]:
        """Videos, window and labels of the dataset; labels only of the dataset's videos."""
        meta = self.dataset_meta or {}
        if missing := [key for key in ('videos', 'window', 'labels') if key not in meta]:
            raise ValueError(f'dataset_meta: missing {", ".join(missing)}')
        videos, labels = meta['videos'], meta['labels']
        if not labels:
            return videos, meta['window'], {}
        if missing := sorted(set(videos) - set(labels)):
            raise ValueError(f'dataset_meta.labels: no labels of {", ".join(missing)}')
        return videos, meta['window'], {video: np.asarray(labels[video]) for video in videos}

    def _common_floors(self, samples: dict[str, list]) -> tuple[float, ...]:
        """The floors that all samples share, in the order of the channels."""
        found = {floors for frames in samples.values() for _, floors, *_ in frames}
        if not found:
            raise ValueError(
                'no data samples: no video has any object, so there is nothing to score; '
                'check the proposals of the test split'
            )
        if len(found) > 1:
            raise ValueError(f'floor: expected the same in all samples, got {sorted(found)}')
        return found.pop()

    def _object_table(self, samples: list) -> dict[str, np.ndarray]:
        """The objects of one video, each once, by frame: the arrays that ``out_dir`` gets."""
        rows = [np.zeros((0, 5 + len(self.channels)))]
        for frame, _, objects in samples:
            rows.append(np.column_stack([np.full(len(objects), frame), objects]))
        rows = np.concatenate(rows)
        # A sampler pads the last batch of several processes with frames seen before. In another
        # batch the scores may be rounded in another way, so objects are told apart by their boxes.
        places, index = np.unique(rows[:, :5], axis=0, return_inverse=True)
        scores = np.full((len(places), len(self.channels)), -np.inf)
        np.maximum.at(scores, index.ravel(), rows[:, 5:])  # numpy 2.0 gives (n, 1), others (n,).
        columns = dict(zip(self.channels, scores.astype(np.float32).T, strict=True))
        frames, boxes = places[:, 0].astype(np.int32), places[:, 1:].astype(np.float32)
        if self.link is not None:
            columns['tracks'] = self.link(frames, boxes).astype(np.int32)
        return dict(frames=frames, boxes=boxes, **columns)

    def _smoothed_along_tracks(self, objects: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Frames and channels of an object table; the scores smoothed where tracking is on."""
        if self.link is None:
            return objects
        frames, tracks = objects['frames'], objects['tracks']
        smoothed = {
            channel: self.smooth_tracks(frames, tracks, objects[channel])
            for channel in self.channels
        }
        return dict(frames=frames, **smoothed)

    def _write(self, objects: dict[str, dict], raw: dict, final: dict) -> None:
        """Write the files of ``out_dir``, each whole or not at all."""
        for video in final:
            _save(self.out_dir / 'scores' / f'{video}.npy', final[video])
            _save(self.out_dir / 'scores' / 'raw' / f'{video}.npy', raw[video])
            _save(self.out_dir / 'objects' / f'{video}.npz', **objects[video])

    @staticmethod
    def _warn(text: str) -> None:
        print_log(f'VADMetric: {text}', logger='current', level=logging.WARNING)


def _cut(arrays: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]) -> dict:
    """The kept frames of each video; arrays of another length are left for others to refuse."""
    return {
        video: arrays[video][keep] if len(arrays[video]) == len(keep) else arrays[video]
        for video, keep in kept.items()
    }


def _build_tracking(tracking: Mapping | None) -> tuple[Callable | None, Callable | None]:
    """The functions that link objects and smooth scores as a config says; None for no tracking."""
    if tracking is None:
        return None, None
    smoothing, linking = {'sigma', 'causal', 'prior'}, {'min_iou', 'max_gap'}
    if 'sigma' not in tracking or set(tracking) - smoothing - linking:
        raise ValueError(
            'tracking: expected the key sigma (in frames) and, if need be, min_iou, max_gap, '
            f'causal and prior, got {sorted(tracking)}'
        )
    link = partial(link_objects, **{key: tracking[key] for key in tracking.keys() & linking})
    smooth = partial(
        smooth_along_tracks, **{key: tracking[key] for key in tracking.keys() & smoothing}
    )
    # A video without objects tells now, and not after the test, if the values are valid.
    none = np.zeros(0)
    try:
        smooth(none, link(none, np.zeros((0, 4))), none)
    except ValueError as error:
        raise ValueError(f'tracking.{error}') from error
    return link, smooth


def _to_numpy(values: Any) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().float().numpy()


def _save(path: Path, array: np.ndarray | None = None, **arrays: np.ndarray) -> None:
    """Write one array as npy, or several as npz, whole or not at all."""
    with atomic_path(path) as temporary:
        if array is None:
            np.savez(temporary, **arrays)
        else:
            np.save(temporary, array)
