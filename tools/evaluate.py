"""Evaluate frame scores that any method made.

    python tools/evaluate.py work_dirs/ped2_cpu/scores --dataset data/ped2/testing.json
    python tools/evaluate.py ours=scores.npz theirs=scores.csv --dataset data/ped2/testing.json \\
        --smooth gaussian:3 --fuse ours=1 theirs=0.5 --out report.json

Scores: a folder of <video>.npy, or a .npz, .json or .csv file. Nothing is smoothed or normalised
unless asked for, and what was done stands in the output.

A set is called NAME where NAME=PATH is given, with all up to the first '=' as its name, else as its
folder, or as its file without the suffix. What exists is always a path: of a file 'a=b.csv', the
name is 'a=b', and 'x=a=b.csv' calls it 'x'. In --fuse, the weight stands after the last '='.

What is wrong with the input is told in one line, with exit code 1; --debug shows where that was.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DefaultScope

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import VideoDataset
from mmvad.datasets.ground_truth.regions import read_regions
from mmvad.engine import read_config
from mmvad.evaluation.functional import MIN_REGION_AREA, build_smoother, kept_frames
from mmvad.evaluation.report import check_scores, evaluate, fuse
from mmvad.evaluation.score_files import read_boxes, read_scores
from mmvad.registry import DATASETS
from mmvad.structures import WorkDir, remembered, write_json


def make_parser() -> argparse.ArgumentParser:
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
    parser.add_argument(
        '--smooth',
        help='gaussian:SIGMA, causal:SIGMA (0 changes nothing) or median:SIZE (odd), in frames, '
        "no more than the longest video's",
    )
    parser.add_argument(
        '--min-max', action='store_true', help="each video's scores to 0 ... 1, after smoothing"
    )
    parser.add_argument('--fuse', nargs='+', metavar='NAME=WEIGHT', help='also a weighted sum')
    parser.add_argument(
        '--boxes', help='scored boxes, for RBDC and TBDC: folder of .npz, or .csv (one score set)'
    )
    parser.add_argument(
        '--min-region-area',
        metavar='PIXELS',
        help='with --boxes: components of the pixel masks that are smaller are no regions; 0: all '
        f'are (default: {MIN_REGION_AREA})',
    )
    parser.add_argument('--channel', default='score', help='name of the scores beside the boxes')
    parser.add_argument('--per-video', action='store_true', help='also print a line a video')
    parser.add_argument(
        '--out', type=Path, help='write everything as JSON, into a folder that exists'
    )
    return parser


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Puts the file or option that values are from before what is wrong with them."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error


def build_dataset(name: str) -> VideoDataset:
    """The test split that an annotation file or a config describes.

    Raises:
        FileNotFoundError: If there is no such file, or something that it names is missing.
        OSError: If a file cannot be read.
        ValueError: If it is neither, or describes no videos; the message names the file.
    """
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(f'{name}: no such file, expected an annotation file or a config')
    if not path.is_file() or path.suffix not in ('.json', '.py', '.yml', '.yaml'):
        what = 'a folder' if path.is_dir() else 'another file'
        raise ValueError(f'{name}: {what}, expected an annotation file (.json) or a config (.py)')
    if path.suffix == '.json':
        return VideoDataset(data_root=str(path.parent), ann_file=path.name)
    config = read_config(path)
    if not isinstance(config.get('test_dataset'), dict):
        raise ValueError(f'{name}: names no dataset, expected a dict test_dataset')
    try:
        with DefaultScope.overwrite_default_scope('mmvad'), naming(f'{name}: test_dataset'):
            dataset = DATASETS.build(config.test_dataset)
    # The registry's words for an unknown type, and Python's for arguments that do not fit it.
    except (KeyError, TypeError) as error:
        raise ValueError(f'{name}: test_dataset: {" ".join(map(str, error.args))}') from error
    if not isinstance(dataset, VideoDataset):
        raise ValueError(
            f'{name}: test_dataset: a {type(dataset).__name__}, expected a VideoDataset'
        )
    return dataset


def left_out(paths: Collection[str]) -> dict[str, str]:
    """Videos that the tests which left these folders of scores did not score, and why."""
    found = {}
    for path in paths:
        metrics = WorkDir(Path(path).resolve().parent).metrics
        protocol = remembered(metrics).get('protocol') if Path(path).is_dir() else None
        videos = protocol.get('left_out') if isinstance(protocol, dict) else None
        found |= videos if isinstance(videos, dict) else {}
    return {video: str(why) for video, why in found.items()}


def parse_sets(texts: list[str]) -> dict[str, str]:
    """``['ours=a.csv', 'b.npz']`` to ``dict(ours='a.csv', b='b.npz')``."""
    sets = {}
    for text in texts:
        name, equals, path = text.partition('=')
        if not equals or Path(text).exists():
            name, path = '', text
        if not Path(path).exists():
            raise FileNotFoundError(f'{text}: no such file or folder of scores')
        if not name:
            # A folder's name may hold dots, which begin no suffix.
            place = Path(path).resolve()
            name = place.name if place.is_dir() else place.stem
        if name in sets:
            raise ValueError(f'{text}: a second score set named {name!r}, expected NAME=PATH')
        sets[name] = path
    return sets


def parse_smoothing(text: str | None, longest: int) -> dict[str, Any] | None:
    """``'gaussian:3'`` to ``dict(type='gaussian', sigma=3.0)``; ``longest`` is the longest video's
    number of frames."""
    if text is None:
        return None
    kind, _, value = text.partition(':')
    name, number = ('size', int) if kind == 'median' else ('sigma', float)
    try:
        smoothing = {'type': kind, name: number(value)}
    except ValueError as error:
        raise ValueError(
            '--smooth: expected gaussian:SIGMA, causal:SIGMA or median:SIZE (a whole number), got '
            f'{text!r}'
        ) from error
    with naming('--smooth'):
        build_smoother(smoothing)
    if smoothing[name] > longest:
        raise ValueError(
            f'--smooth: {text}, expected at most {longest}, the frames of the longest video'
        )
    return smoothing


def parse_area(text: str | None) -> int:
    """``'10'`` to 10; None to the default."""
    if text is None:
        return MIN_REGION_AREA
    # Python refuses to read thousands of digits.
    if not (text.isascii() and text.isdecimal()) or len(text) > 100:
        raise ValueError(
            f'--min-region-area: expected a whole number of pixels from 0 up, got {text!r:.50}'
        )
    return int(text)


def parse_weights(pairs: list[str], names: Collection[str]) -> dict[str, float]:
    """``['a=1', 'b=0.5']`` to a dict; ``names`` are those of the score sets."""
    weights = {}
    for pair in pairs:
        name, _, value = pair.rpartition('=')
        try:
            weight = float(value)
        except ValueError as error:
            raise ValueError(f'--fuse: expected NAME=WEIGHT, got {pair!r}') from error
        if name not in names:
            raise ValueError(f'--fuse: no score set named {name!r}, expected one of {list(names)}')
        if name in weights:
            raise ValueError(f'--fuse: {name!r} comes twice, expected each once')
        if not (math.isfinite(weight) and weight):
            raise ValueError(f'--fuse: {pair}, expected a finite weight that is not 0')
        weights[name] = weight
    if 'fused' in names:
        raise ValueError("--fuse: the sum is named 'fused', expected another name for that set")
    return weights


def check_out(path: Path) -> None:
    """Refuse a place where no report can be written, before it is made.

    Raises:
        OSError: If the folder is missing or cannot be written to, or ``path`` is no plain file.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f'--out: {path}: no such folder, expected one that exists')
    if path.exists() and not path.is_file():
        raise FileExistsError(f'--out: {path}: a folder or device, expected the name of a file')
    if path.is_symlink():
        # It would be replaced, not what it leads to.
        raise FileExistsError(f'--out: {path}: a link, expected the name of a file')
    try:
        # The report is written beside its place first. Permissions alone do not tell: root has all.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(
            f'--out: {path}: {error.strerror}, expected a folder that can be written to'
        ) from error


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


def main(args: argparse.Namespace) -> None:
    if args.out:
        check_out(args.out)
    sources = parse_sets(args.scores)
    weights = parse_weights(args.fuse, sources) if args.fuse else {}
    if args.boxes and (len(sources) != 1 or args.fuse):
        raise ValueError('--boxes: they belong to one score set, expected one and no --fuse')
    if args.min_region_area is not None and not args.boxes:
        raise ValueError('--min-region-area: of the regions for --boxes, expected these too')
    min_region_area = parse_area(args.min_region_area)
    dataset = build_dataset(args.dataset)
    if dataset.on_error == 'skip':
        without = left_out(sources.values())
        dataset.leave_out(lambda video: without.get(video, ''))
    if not dataset.labels:
        raise ValueError(f'{args.dataset}: has no labels to evaluate against')
    lengths = dataset.lengths
    smoothing = parse_smoothing(args.smooth, max(lengths.values()))
    with naming('--subset'):
        kept_frames(args.subset, lengths)
    sets = {}
    for name, path in sources.items():
        scores = read_scores(path, lengths)
        with naming(path):
            sets[name] = check_scores(scores, dataset.labels)
    boxes, region_protocol = {}, None
    if args.boxes:
        found = read_regions(dataset, min_region_area)
        if found is None or found.regions is None:
            raise ValueError(
                '--boxes: the dataset names no pixel masks that hold a region of at least '
                f'{min_region_area} pixels'
            )
        region_protocol = found.protocol
        boxes = dict(
            regions=found.regions,
            detections=read_boxes(args.boxes, list(lengths), args.channel, lengths),
        )
    reports = {}
    # What is too large to be added up is infinite, which is refused: no warnings beside that.
    with np.errstate(over='ignore', invalid='ignore'):
        if weights:
            sets['fused'] = fuse(sets, weights)
        for name, scores in sets.items():
            with naming(sources.get(name, '--fuse')):
                reports[name] = evaluate(
                    scores,
                    dataset.labels,
                    smoothing=smoothing,
                    per_video_min_max=args.min_max,
                    subset=args.subset,
                    scenes=dataset.scenes,
                    **boxes,
                )
    protocol = next(iter(reports.values()))['protocol']
    print(f'ground truth: {dataset.ground_truth}')
    for video, why in dataset.skipped.items():
        print(f'left out: {video}: {why}')
    print(', '.join(f'{key} {value}' for key, value in protocol.items()))
    if region_protocol:
        print(', '.join(f'{key} {value}' for key, value in region_protocol.items()))
    print(table(reports))
    if any(report['scenes'] for report in reports.values()):
        print(rows('scene', reports, 'scenes'))
    if args.per_video:
        print(rows('video', reports, 'videos'))
    if args.out:
        content = dict(ground_truth=dataset.ground_truth, fusion=args.fuse, score_sets=reports)
        if region_protocol:
            content['regions'] = region_protocol
        if dataset.skipped:
            content['left_out'] = dataset.skipped
        try:
            write_json(args.out, content)
        except OSError as error:
            raise OSError(f'--out: {args.out}: not written: {error.strerror}') from error


if __name__ == '__main__':
    cli.run(main, make_parser())
