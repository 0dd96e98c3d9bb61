"""Pictures of a complete staged run: score curves, local patterns, failure cases.

Writes ``<prefix>_curves.png`` (every test video's score with its ground truth),
``<prefix>_patterns.png`` (what makes normal and abnormal objects unlike the training objects, as
Grad-CAM on each branch's visual tokens) and ``<prefix>_failures.png`` (the normal frames of highest
and the abnormal frames of lowest score).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import DictAction
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import Tensor

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import VideoDataset, inference_pipeline
from mmvad.engine import read_config
from mmvad.evaluation.samples import chosen_channel
from mmvad.methods.objects import build_model
from mmvad.models import LocalVAD, NearestDistance
from mmvad.registry import DATASETS, TRANSFORMS
from mmvad.structures import ObjectTubes, WorkDir, tubes_path
from mmvad.visualization import (
    VideoOverview,
    draw_objects,
    overlay,
    pattern_heatmaps,
    plot_pictures,
    plot_score_grid,
)


def pick_apart(order: np.ndarray, taken: np.ndarray, count: int, apart: int) -> list[int]:
    """The first ``count`` of ``order`` of which no two are within ``apart`` in ``taken``."""
    picks: list[int] = []
    for index in order.tolist():
        if all(abs(taken[index] - taken[other]) >= apart for other in picks):
            picks.append(index)
        if len(picks) == count:
            break
    return picks


def patterns_of(
    videos: VideoDataset,
    model: LocalVAD,
    tubes: dict[str, ObjectTubes],
    objects: list[tuple[str, int]],
) -> list[list[np.ndarray]]:
    """A crop and a heat map of each branch for each (video, row) object."""
    transforms = Compose([TRANSFORMS.build(cfg) for cfg in inference_pipeline(model.tube)])
    context = max(getattr(t, 'context', 0) for t in transforms.transforms)
    depth = model.tube.steps + context
    usual = {
        term.of: term.mean
        for term in model.scorer.terms.values()
        if isinstance(term, NearestDistance)
    }
    if lacking := [name for name in model.spatial.branches if name not in usual]:
        raise ValueError(
            f'model.scorer.terms: no NearestDistance of {lacking}, whose heat maps show what is '
            'far from the usual'
        )
    if model.tube.gives != 'crops':
        raise ValueError('model.tube.crop_size: None, so there are no crops to draw heat maps over')
    pictures = []
    for video, row in objects:
        held = tubes[video]
        frame, source = int(held.frames[row]), videos.source(video)
        packed = transforms(
            dict(
                imgs=[source[max(0, frame - i)] for i in reversed(range(depth))],
                boxes=held.boxes[row : row + 1],
                objects=held.objects[row : row + 1],
                video=video,
                frame=frame,
            )
        )
        crop = packed['inputs'][:, -1]
        image = crop[0, :3].permute(1, 2, 0).numpy().astype(np.uint8)
        # Of the heat maps' size.
        column = [cv2.resize(image, (160, 160), interpolation=cv2.INTER_CUBIC)]
        for name, branch in model.spatial.branches.items():

            def unlike(patterns: Tensor, mean: Tensor = usual[name]) -> Tensor:
                return (patterns.flatten(1) - mean).norm(dim=1)

            normal = model.spatial.data_preprocessor.normalize(crop)
            heat = pattern_heatmaps(branch, normal, unlike)[0].numpy()
            column.append(overlay(image, heat))
        pictures.append(column)
    return pictures


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='staged config file')
    parser.add_argument('work_dir', type=Path, help='work dir of its complete run')
    parser.add_argument('prefix', help='of the pictures, such as docs/ped2')
    parser.add_argument('--objects', type=int, default=10, help='objects of each kind')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    return parser


def main(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options)
    DefaultScope.get_instance('draw_results', scope_name='mmvad')
    videos: VideoDataset = DATASETS.build(cfg.test_dataset)
    if not videos.labels:
        raise ValueError('test_dataset: no labels to tell normal from abnormal frames by')
    place = WorkDir(args.work_dir)
    scores, raw = (
        {video: np.load(path(video), allow_pickle=False) for video in videos.lengths}
        for path in (place.scores, place.raw_scores)
    )
    curves = [
        VideoOverview(f'Video {video}', [], [], scores[video], videos.labels[video], raw[video])
        for video in videos.lengths
    ]
    plot_score_grid(curves, f'{args.prefix}_curves.png')

    model: LocalVAD = build_model(cfg, args.work_dir / cfg.stages.calibrate.model_file).eval()
    model.requires_grad_(False)
    channel = chosen_channel(cfg.stages.test.evaluator.get('score'), tuple(model.scorer.channels))
    folder = place.stage('proposals', 'testing')
    tubes = {video: ObjectTubes.load(tubes_path(folder, video)) for video in videos.lengths}
    tables = {}
    for video in videos.lengths:
        with np.load(place.objects(video), allow_pickle=False) as stored:
            tables[video] = {key: stored[key] for key in ('frames', 'boxes', 'tubes', channel)}
        if not np.array_equal(tables[video]['tubes'], np.arange(len(tubes[video]))):
            raise ValueError(
                f'{place.objects(video)}: expected a score for each of {len(tubes[video])} tubes, '
                f'got {len(tables[video]["tubes"])}; test again'
            )

    # All objects in one list, and the highest ones of abnormal frames against the middle of
    # normal ones: objects of a frame are not labelled one by one.
    every = [(video, row) for video, held in tubes.items() for row in range(len(held))]
    frames = np.array([int(tubes[video].frames[row]) for video, row in every])
    label = np.array([videos.labels[v][f] for (v, _), f in zip(every, frames, strict=True)])
    score = np.concatenate([tables[video][channel] for video in tubes])
    far = 10 * frames.max()
    apart = frames + far * np.unique([v for v, _ in every], return_inverse=True)[1]
    abnormal = np.flatnonzero(label == 1)
    abnormal = abnormal[np.argsort(-score[abnormal], kind='stable')]
    normal = np.flatnonzero(label == 0)
    normal = normal[np.argsort(np.abs(score[normal] - np.median(score[normal])), kind='stable')]
    blocks = {}
    for title, order in (
        ('Normal frames, objects of middling score', normal),
        ('Abnormal frames, objects of highest score', abnormal),
    ):
        picks = pick_apart(order, apart, args.objects, 40)
        blocks[f'{title}: crop, {", ".join(model.spatial.branches)}'] = patterns_of(
            videos, model, tubes, [every[i] for i in picks]
        )
    plot_pictures(blocks, f'{args.prefix}_patterns.png')

    limits = tuple(np.percentile(np.concatenate(list(scores.values())), (5, 99)).tolist())
    flat = [(video, frame) for video, length in videos.lengths.items() for frame in range(length)]
    value = np.concatenate(list(scores.values()))
    truth = np.concatenate([videos.labels[video] for video in videos.lengths])
    number = np.repeat(np.arange(len(scores)), list(videos.lengths.values()))
    blocks = {}
    for title, kind, sign in (('False alarms', 0, -1), ('Misses', 1, 1)):
        order = np.flatnonzero(truth == kind)
        order = order[np.argsort(sign * value[order], kind='stable')]
        # A video of its own for each.
        picks = sorted(flat[i] for i in pick_apart(order, number, 3, apart=1))
        block = []
        for video, frame in picks:
            table = tables[video]
            rows = table['frames'] == frame
            boxes, values = table['boxes'][rows], table[channel][rows]
            block.append([draw_objects(videos.source(video)[frame], boxes, values, limits, 2)])
        where = ', '.join(f'video {video} frame {frame}' for video, frame in picks)
        blocks[f'{title}: {where}'] = block
    plot_pictures(blocks, f'{args.prefix}_failures.png', width=3.6)


if __name__ == '__main__':
    cli.run(main, make_parser())
