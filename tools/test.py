"""Test a model by its config and a checkpoint, with the runner that the config names."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import VideoDataset
from mmvad.engine import WholeCheckpointRunner, drawn_frames, logged, read_config
from mmvad.registry import RUNNERS
from mmvad.structures import WorkDir, atomic_path


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='of a staged config: its model file')
    parser.add_argument('--work-dir', help='where scores, plots and metrics.json go')
    parser.add_argument(
        '--dump',
        help='also write the frame scores of all videos to this .npz, as evaluate reads it; '
        "without stages: the predictions to this .pkl, by MMEngine's DumpResults",
    )
    parser.add_argument('--show', action='store_true', help='show what was scored in a window')
    parser.add_argument('--show-dir', type=Path, help='write it to <video>/<frame>.jpg in here')
    parser.add_argument('--interval', type=int, default=1, help='show every so many frames')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that a window stays, without a key'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


def check_options(args: argparse.Namespace, staged: bool) -> None:
    """Refuse options that do not fit, before hours of work."""
    suffixes = ('.npz',) if staged else ('.pkl', '.pickle')
    if args.dump and not args.dump.endswith(suffixes):
        raise ValueError(f'--dump: {args.dump}, expected the name of a {suffixes[0]} file')
    if args.interval < 1:
        raise ValueError(f'--interval: expected 1 or more, got {args.interval}')


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Put the rest of the command line over a config without stages."""
    if args.show or args.show_dir:
        hook = cfg.default_hooks.get('visualization')
        if hook is None:
            raise ValueError(
                f'--show, --show-dir: {args.config} names no default_hooks.visualization, such as '
                'mmaction2\'s dict(type="VisualizationHook")'
            )
        hook.update(enable=True, show=args.show, wait_time=args.wait_time, interval=args.interval)
        hook.out_dir = args.show_dir and str(args.show_dir)
    if args.dump:
        before = cfg.test_evaluator
        before = list(before) if isinstance(before, (list, tuple)) else [before]
        cfg.test_evaluator = [*before, dict(type='DumpResults', out_file_path=args.dump)]


def write_what_was_scored(cfg: Config, videos: VideoDataset, args: argparse.Namespace) -> None:
    """What ``--dump``, ``--show`` and ``--show-dir`` ask for, after a staged test."""
    work_dir = WorkDir(Path(cfg.work_dir))
    if args.dump:
        scores = {video: np.load(work_dir.scores(video)) for video in videos.lengths}
        with atomic_path(Path(args.dump)) as tmp, open(tmp, 'wb') as file:
            np.savez(file, **scores)
    if not (args.show or args.show_dir):
        return
    # The channel of the evaluator that the config names.
    evaluators = [stage.get('evaluator') or {} for stage in cfg.stages.values()]
    score = next((e['score'] for e in evaluators if e.get('score')), None)
    for video, frame, image in drawn_frames(videos, work_dir, score, args.interval):
        if args.show_dir:
            path = args.show_dir / video / f'{frame:06d}.jpg'
            with atomic_path(path) as tmp:
                tmp.write_bytes(cv2.imencode('.jpg', image)[1].tobytes())
        if args.show:
            cv2.imshow(video, image)
            cv2.waitKey(max(1, round(1000 * args.wait_time)))


def main(args: argparse.Namespace) -> None:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options, args.work_dir)
    cfg.load_from, cfg.launcher = args.checkpoint, args.launcher
    check_options(args, 'runner_type' in cfg)
    if 'runner_type' in cfg:
        args.stopped = '; the same command goes on from here'
        staged = RUNNERS.build(cfg)
        staged.test()
        if is_main_process():
            write_what_was_scored(cfg, staged.videos('testing'), args)
        return
    merge_args(cfg, args)
    runner = WholeCheckpointRunner.from_cfg(cfg)
    with logged(runner.logger):
        runner.test()


if __name__ == '__main__':
    cli.run(main, make_parser())
