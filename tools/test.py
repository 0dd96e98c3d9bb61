"""Test a model by its config and a checkpoint, with the runner that the config names."""

from __future__ import annotations

import argparse
import os

from mmengine.config import DictAction

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.engine import WholeCheckpointRunner, logged, read_config
from mmvad.registry import RUNNERS


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='of a staged config: its model file')
    parser.add_argument('--work-dir', help='where scores, plots and metrics.json go')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


def main(args: argparse.Namespace) -> None:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options, args.work_dir)
    cfg.load_from, cfg.launcher = args.checkpoint, args.launcher
    if 'runner_type' in cfg:
        args.stopped = '; the same command goes on from here'
        RUNNERS.build(cfg).test()
        return
    runner = WholeCheckpointRunner.from_cfg(cfg)
    with logged(runner.logger):
        runner.test()


if __name__ == '__main__':
    cli.run(main, make_parser())
