"""Evaluate frame scores that any method made.

    python tools/evaluate.py work_dirs/ped2_cpu/scores --dataset data/ped2/testing.json
    python tools/evaluate.py ours=scores.npz theirs=scores.csv --dataset data/ped2/testing.json \\
        --smooth gaussian:3 --fuse ours=1 theirs=0.5 --out report.json
    python tools/evaluate.py scores.npz --dataset data/avenue/testing.json --protocol ai-vad

Scores: a folder of <video>.npy, or a .npz, .json or .csv file. Nothing is smoothed, cut or
normalised unless asked for, and what was done stands in the output. --protocol does what a peer's
published code does (docs/protocols.md). Of the videos of an annotation file only the labels are
needed, no frames.

A set is called NAME where NAME=PATH is given, with all up to the first '=' as its name, else as its
folder, or as its file without the suffix. What exists is always a path: of a file 'a=b.csv', the
name is 'a=b', and 'x=a=b.csv' calls it 'x'. In --fuse, the weight stands after the last '='.

What is wrong with the input is told in one line, with exit code 1; --debug shows where that was.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
from mmengine.registry import DefaultScope

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import VideoDataset
from mmvad.datasets.ground_truth.regions import read_regions
from mmvad.engine import read_config
from mmvad.evaluation.functional import (
    BORDERS,
    MIN_REGION_AREA,
    MNAD_WEIGHTS,
    PADS,
    PROTOCOLS,
    kept_frames,
)
from mmvad.evaluation.options import (
    check_mnad,
    mnad_fused,
    naming,
    options_of,
    parse_options,
    parse_weights,
    parse_whole,
)
from mmvad.evaluation.report import check_scores, evaluate, fuse
from mmvad.evaluation.score_files import read_boxes, read_scores
from mmvad.evaluation.track_files import read_tracks
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
        '--protocol', help=f"a peer's smoothing, cutting and padding: {', '.join(PROTOCOLS)}"
    )
    parser.add_argument(
        '--smooth',
        help='gaussian:SIGMA, causal:SIGMA (0 changes nothing) or median:SIZE (odd), in frames, '
        "no more than the longest video's; several, with commas between, are done in turn",
    )
    parser.add_argument(
        '--border',
        help=f"what --smooth takes beyond a video's ends: {', '.join(BORDERS)} (default: nearest)",
    )
    parser.add_argument(
        '--cut-leading', metavar='N', help="each video's first N frames do not count"
    )
    parser.add_argument(
        '--pad',
        help='videos that get a normal frame of their lowest score and an abnormal one of their '
        f'highest for auc/macro: {", ".join(PADS)} (default: one-class)',
    )
    parser.add_argument(
        '--min-max', action='store_true', help="each video's scores to 0 ... 1, after smoothing"
    )
    parser.add_argument('--fuse', nargs='+', metavar='NAME=WEIGHT', help='also a weighted sum')
    parser.add_argument(
        '--boxes',
        help='scored boxes, for RBDC and TBDC: folder of .npz or .txt, or .csv (one score set)',
    )
    parser.add_argument(
        '--tracks',
        help="with --boxes: folder of published tracks, in place of the dataset's pixel masks",
    )
    parser.add_argument(
        '--inclusive',
        action='store_true',
        help='boxes of --boxes and --tracks hold the pixels that x2 and y2 name',
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
        return VideoDataset(data_root=str(path.parent), ann_file=path.name, need_frames=False)
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
            # A sum of processed scores is not processed once more.
            parts = [report[part] or report['raw'] for report in reports.values()]
            cells = [cell(figures.get(figure), width) for figures in parts]
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
    if args.protocol == 'mnad':
        check_mnad(sources)
        if len(sources) > 1:
            weights = weights or dict(MNAD_WEIGHTS)
    if args.boxes and (len(sources) != 1 or args.fuse):
        raise ValueError('--boxes: they belong to one score set, expected one and no --fuse')
    for option in ('min_region_area', 'tracks', 'inclusive'):
        if getattr(args, option) not in (None, False) and not args.boxes:
            name = option.replace('_', '-')
            raise ValueError(f'--{name}: of the regions for --boxes, expected these too')
    if args.tracks and args.min_region_area is not None:
        raise ValueError('--min-region-area: of pixel masks, expected no --tracks')
    min_region_area = MIN_REGION_AREA
    if args.min_region_area is not None:
        min_region_area = parse_whole('--min-region-area', 'pixels', args.min_region_area)
    dataset = build_dataset(args.dataset)
    if dataset.on_error == 'skip':
        without = left_out(sources.values())
        dataset.leave_out(lambda video: without.get(video, ''))
    if not dataset.labels:
        raise ValueError(f'{args.dataset}: has no labels to evaluate against')
    lengths = dataset.lengths
    options = parse_options(args, max(lengths.values()))
    asked = {k: v for k, v in options.items() if k in ('cut_leading', 'clip_infinite')}
    with naming('--subset'):
        kept_frames(args.subset, lengths)
    sets = {}
    for name, path in sources.items():
        scores = read_scores(path, lengths)
        with naming(path):
            sets[name] = check_scores(scores, dataset.labels, **asked)
    boxes, region_protocol = {}, None
    if args.tracks:
        tracks = read_tracks(args.tracks, list(lengths), lengths, args.inclusive)
        pairs = set(zip(tracks.videos, tracks.tracks, strict=True))
        region_protocol = dict(
            tracks_from=args.tracks,
            regions=len(tracks.frames),
            tracks=len(pairs),
            inclusive=args.inclusive,
        )
        boxes = dict(regions=tracks)
    elif args.boxes:
        found = read_regions(dataset, min_region_area)
        if found is None or found.regions is None:
            raise ValueError(
                '--boxes: the dataset names no pixel masks that hold a region of at least '
                f'{min_region_area} pixels'
            )
        region_protocol = found.protocol
        boxes = dict(regions=found.regions)
    if args.boxes:
        boxes['detections'] = read_boxes(
            args.boxes, list(lengths), args.channel, lengths, args.inclusive
        )
    reports = {}
    # What is too large to be added up is infinite, which is refused: no warnings beside that.
    with np.errstate(over='ignore', invalid='ignore'):
        if weights and options.get('errors'):
            sets['fused'] = mnad_fused(sets, weights, options)
        elif weights:
            sets['fused'] = fuse(sets, weights)
        for name, scores in sets.items():
            with naming(sources.get(name, '--fuse')):
                reports[name] = evaluate(
                    scores,
                    dataset.labels,
                    **options_of(name, options),
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
