"""Evaluate frame scores that any method made.

    python tools/evaluate.py work_dirs/ped2_cpu/scores --dataset data/ped2/testing.json
    python tools/evaluate.py ours=scores.npz theirs=scores.csv --dataset data/ped2/testing.json \\
        --smooth gaussian:3 --fuse ours=1 theirs=0.5 --out report.json

Scores: a folder of <video>.npy, or a .npz, .json or .csv file. Nothing is smoothed or normalised
unless asked for, and what was done stands in the output.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad.datasets import VideoDataset
from mmvad.datasets.ground_truth.regions import read_regions
from mmvad.evaluation.report import evaluate, fuse
from mmvad.evaluation.score_files import read_boxes, read_scores
from mmvad.registry import DATASETS
from mmvad.structures import write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('scores', nargs='+', help='PATH or NAME=PATH of frame scores')
    parser.add_argument(
        '--dataset',
        required=True,
        help='annotation file of the test split, or a config whose test_dataset it is',
    )
    parser.add_argument('--subset', help='hr_shanghaitech or hr_avenue')
    parser.add_argument('--smooth', help='gaussian:SIGMA, causal:SIGMA or median:SIZE, frames')
    parser.add_argument(
        '--min-max', action='store_true', help="each video's scores to 0 ... 1, after smoothing"
    )
    parser.add_argument('--fuse', nargs='+', metavar='NAME=WEIGHT', help='also a weighted sum')
    parser.add_argument(
        '--boxes', help='scored boxes, for RBDC and TBDC: folder of .npz, or .csv (one score set)'
    )
    parser.add_argument('--channel', default='score', help='name of the scores beside the boxes')
    parser.add_argument('--per-video', action='store_true', help='also print a line a video')
    parser.add_argument('--out', type=Path, help='write everything as JSON')
    return parser.parse_args()


def build_dataset(name: str) -> VideoDataset:
    """The test split that an annotation file or a config describes."""
    if Path(name).suffix == '.json':
        path = Path(name)
        return VideoDataset(data_root=str(path.parent), ann_file=path.name)
    with DefaultScope.overwrite_default_scope('mmvad'):
        return DATASETS.build(Config.fromfile(name).test_dataset)


def parse_smoothing(text: str | None) -> dict[str, Any] | None:
    """``'gaussian:3'`` to ``dict(type='gaussian', sigma=3.0)``."""
    if text is None:
        return None
    kind, _, value = text.partition(':')
    try:
        return (
            dict(type=kind, size=int(value))
            if kind == 'median'
            else dict(type=kind, sigma=float(value))
        )
    except ValueError as error:
        raise ValueError(f'--smooth: expected TYPE:FRAMES, got {text!r}') from error


def parse_weights(pairs: list[str]) -> dict[str, float]:
    """``['a=1', 'b=0.5']`` to a dict."""
    weights = {}
    for pair in pairs:
        name, _, value = pair.rpartition('=')
        try:
            weights[name] = float(value)
        except ValueError as error:
            raise ValueError(f'--fuse: expected NAME=WEIGHT, got {pair!r}') from error
    return weights


def cell(value: float | None, width: int) -> str:
    """A figure in per cent, '-' where there is none."""
    return '-'.rjust(width) if value is None else f'{value:{width}.2f}'


def table(reports: dict[str, dict]) -> str:
    """Figures of all score sets, side by side."""
    first = next(iter(reports.values()))
    width = max(14, *(len(name) + 2 for name in reports))
    lines = [f'{"per cent":30}' + ''.join(f'{name:>{width}}' for name in reports)]
    for part, title in (('raw', ''), ('processed', ' (processed)'), ('regions', ' (boxes)')):
        for figure in first[part] or ():
            cells = [cell(report[part].get(figure), width) for report in reports.values()]
            lines.append(f'{figure + title:30}{"".join(cells)}')
    return '\n'.join(lines)


def rows(title: str, reports: dict[str, dict], key: str) -> str:
    """A line a video or scene with every score set's AUC."""
    width = max(14, *(len(name) + 2 for name in reports))
    head = ''.join(f'{name:>{width}}' for name in reports)
    lines = [f'{title:20}{"frames":>8}{"abnormal":>10}{head}']
    for same in zip(*(report[key] for report in reports.values()), strict=True):
        first = same[0]
        cells = ''.join(cell(entry['auc'], width) for entry in same)
        lines.append(f'{first["name"]:20}{first["frames"]:8}{first["abnormal_frames"]:10}{cells}')
    return '\n'.join(lines)


def main() -> None:
    args = parse_args()
    dataset = build_dataset(args.dataset)
    if not dataset.labels:
        raise ValueError(f'{args.dataset}: has no labels to evaluate against')
    sets = {}
    for text in args.scores:
        name, _, path = text.rpartition('=')
        name = name or Path(path).stem
        if name in sets:
            raise ValueError(f'{text}: a second score set named {name!r}; write NAME=PATH')
        sets[name] = read_scores(path)
    boxes = {}
    if args.boxes:
        if len(sets) != 1 or args.fuse:
            raise ValueError('--boxes: they belong to one score set; give one')
        regions = read_regions(dataset)
        if regions is None:
            raise ValueError('--boxes: the dataset names no pixel masks that hold a region')
        boxes = dict(
            regions=regions,
            detections=read_boxes(args.boxes, list(dataset.lengths), args.channel),
        )
    if args.fuse:
        sets['fused'] = fuse(sets, parse_weights(args.fuse))
    reports = {}
    for name, scores in sets.items():
        try:
            reports[name] = evaluate(
                scores,
                dataset.labels,
                smoothing=parse_smoothing(args.smooth),
                per_video_min_max=args.min_max,
                subset=args.subset,
                scenes=dataset.scenes,
                **boxes,
            )
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from error
    protocol = next(iter(reports.values()))['protocol']
    print(f'ground truth: {dataset.ground_truth}')
    print(', '.join(f'{key} {value}' for key, value in protocol.items()))
    print(table(reports))
    if any(report['scenes'] for report in reports.values()):
        print(rows('scene', reports, 'scenes'))
    if args.per_video:
        print(rows('video', reports, 'videos'))
    if args.out:
        content = dict(ground_truth=dataset.ground_truth, fusion=args.fuse, score_sets=reports)
        write_json(args.out, content)


if __name__ == '__main__':
    try:
        main()
    except (ValueError, OSError) as error:
        # Scores that do not fit are no fault of the program: a message says more than a traceback.
        raise SystemExit(f'error: {error}') from error
