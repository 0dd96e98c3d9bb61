"""Test a model by its config and a checkpoint, with the runner that the config names."""

from __future__ import annotations

import argparse

from mmengine.config import DictAction
from mmengine.runner import Runner

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.engine import logged, read_config
from mmvad.registry import RUNNERS


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='of a staged config: its model file')
    parser.add_argument('--work-dir', help='where scores, plots and metrics.json go')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    return parser


def main(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options, args.work_dir)
    cfg.load_from = args.checkpoint
    if 'runner_type' in cfg:
        args.stopped = '; the same command goes on from here'
        RUNNERS.build(cfg).test()
        return
    runner = Runner.from_cfg(cfg)
    with logged(runner.logger):
        runner.test()


if __name__ == '__main__':
    cli.run(main, make_parser())
