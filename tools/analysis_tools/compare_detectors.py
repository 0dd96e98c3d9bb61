"""Detectors of mmdet side by side: boxes and time a frame and, with weights, the AUC of a method.

    python tools/analysis_tools/compare_detectors.py \\
        mmdet::yolox/yolox_nano_8xb8-300e_coco.py=checkpoints/yolox_nano_coco.pth \\
        mmdet::rpn/rpn_r50_fpn_1x_coco.py --video data/ped2/testing/frames/01 \\
        --method configs/attributes/ped2.py --work-dir work_dirs/detectors

A detector is CONFIG, with random weights, or CONFIG=CHECKPOINT. Those of random weights tell how
fast a family is and no more. Frames/s are by the clock, and fall when the machine has other work;
CPU ms are what the process itself computed for a frame, in all its threads. With --method, that
staged config runs once for each detector with weights, in a folder of its own. A table in Markdown
is printed; a detector that cannot run has a line on stderr in place of a row, and the exit code is
1 then.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import FrameSource
from mmvad.engine import read_config
from mmvad.proposals import MMDetProposer, save_random_weights
from mmvad.registry import RUNNERS

COLUMNS = '| detector | weights | boxes a frame | frames/s | CPU ms a frame | micro-AUC |'


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('detectors', nargs='+', metavar='CONFIG[=CHECKPOINT]')
    parser.add_argument('--video', required=True, help='video file or folder of images to look at')
    parser.add_argument('--frames', type=int, default=20, help='of it (default: 20)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='of boxes that count')
    parser.add_argument('--min-side', type=float, default=8, help='of boxes that count, pixels')
    parser.add_argument('--batch-size', type=int, default=1, help='frames in one pass')
    parser.add_argument('--amp', action='store_true', help='half precision')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
    parser.add_argument('--method', help='staged config whose AUC is measured with the boxes')
    parser.add_argument('--work-dir', default='work_dirs/detectors', help='for --method')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help="over --method's: key=value ..."
    )
    return parser


def look(settings: Mapping[str, Any], video: FrameSource, count: int) -> tuple[float, float, float]:
    """Boxes a frame, frames/s and CPU ms a frame, without decoding, of a video's first frames."""
    proposer = MMDetProposer(**settings)
    frames = [video[number] for number in range(count)]
    # The first pass of anything is slow; of a copy, because what was seen is remembered.
    proposer.detect(frames[0].copy())
    boxes, begin, computed = 0, time.perf_counter(), time.process_time()
    for first in range(0, count, proposer.batch_size):
        part = frames[first : first + proposer.batch_size]
        if len(part) > 1:
            proposer.look_ahead(part)
        boxes += sum(len(proposer.detect(frame)) for frame in part)
    rate = count / (time.perf_counter() - begin)
    return boxes / count, rate, (time.process_time() - computed) / count * 1000


def auc(args: argparse.Namespace, settings: Mapping[str, Any], number: int) -> float | None:
    """Micro-AUC of the staged config with this detector's boxes, per cent."""
    folder = Path(args.work_dir) / f'{number}_{Path(settings["config"]).stem}'
    cfg = read_config(args.method, args.cfg_options, str(folder))
    cfg.proposer = dict(settings, type='MMDetProposer')
    return RUNNERS.build(cfg).train().get('auc/micro')


def row(args: argparse.Namespace, detector: str, number: int, video: FrameSource) -> str:
    config, _, checkpoint = detector.partition('=')
    settings = dict(
        config=config,
        score_thr=args.score_thr,
        min_side=args.min_side,
        batch_size=args.batch_size,
        amp=args.amp,
        device=args.device,
    )
    with tempfile.TemporaryDirectory() as folder:
        weights = checkpoint or save_random_weights(config, Path(folder) / 'random.pth')
        boxes, rate, cpu = look(dict(settings, checkpoint=weights), video, args.frames)
    found = None
    if checkpoint and args.method:
        found = auc(args, dict(settings, checkpoint=checkpoint), number)
    kind = Path(checkpoint).name or 'random'
    figure = '–' if found is None else f'{found:.1f}'
    cells = [Path(config).stem, kind, f'{boxes:.1f}', f'{rate:.2f}', f'{cpu:.0f}', figure]
    return f'| {" | ".join(cells)} |'


def main(args: argparse.Namespace) -> int:
    video = FrameSource(args.video)
    if not 1 <= args.frames <= len(video):
        raise ValueError(
            f'--frames: {args.frames}, expected 1 to {len(video)}, those of {args.video}'
        )
    table, failed = [COLUMNS, f'|{" --- |" * COLUMNS.count(" | ")} --- |'], 0
    # Runs of --method say a lot, so that the table comes after them; else each row as it is found.
    held = bool(args.method)
    if not held:
        print(*table, sep='\n', flush=True)
    for number, detector in enumerate(args.detectors):
        try:
            table.append(row(args, detector, number, video))
        except (ValueError, OSError) as error:
            failed += 1
            print(f'{detector}: {cli.describe(error)}', file=sys.stderr, flush=True)
            continue
        if not held:
            print(table[-1], flush=True)
    if held:
        print(*table, sep='\n')
    return int(failed > 0)


if __name__ == '__main__':
    cli.run(main, make_parser())
