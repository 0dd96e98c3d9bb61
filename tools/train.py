"""Train a model by its config, with the runner that the config names."""

from __future__ import annotations

import argparse
import os

from mmengine.config import Config, DictAction

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.engine import WholeCheckpointRunner, logged, read_config
from mmvad.registry import RUNNERS


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='where logs, stages and weights go')
    parser.add_argument(
        '--stage',
        help='run one of the stages that a staged config names; default: all that are not complete',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from a checkpoint, or from the latest one in the work dir. Staged configs '
        'always go on where they stopped; a path then starts the stage that --stage names',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (GPU)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size, by auto_scale_lr.base_batch_size '
        '(configs without stages)',
    )
    parser.add_argument(
        '--no-validate',
        action='store_true',
        help='do not evaluate while training; staged configs: leave out what makes figures',
    )
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument(
        '--diff-rank-seed', action='store_true', help='give every process a seed of its own'
    )
    parser.add_argument(
        '--deterministic', action='store_true', help='let cuDNN and torch compute the same again'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Put the rest of the command line over the config."""
    cfg.launcher = args.launcher
    wanted = dict(diff_rank_seed=args.diff_rank_seed, deterministic=args.deterministic)
    randomness = {key: True for key, value in wanted.items() if value}
    if args.seed is not None:
        randomness['seed'] = args.seed
    if randomness:
        cfg.randomness = dict(cfg.get('randomness') or {}, **randomness)
    staged = 'runner_type' in cfg
    if args.auto_scale_lr:
        base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
        if staged or base is None:
            raise ValueError(
                f'--auto-scale-lr: {args.config} names no auto_scale_lr.base_batch_size, the batch '
                'size that its learning rate is for'
            )
        cfg.auto_scale_lr.enable = True
    if args.no_validate:
        if staged:
            cfg.test_dataset = None
        else:
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.stage:
        cfg.stage = args.stage
    if args.resume == 'auto':
        cfg.resume, cfg.load_from = True, None
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    if args.amp:
        for part in [cfg, *cfg.get('stages', {}).values()]:
            if 'optim_wrapper' in part:
                part.optim_wrapper.type = 'AmpOptimWrapper'
                part.optim_wrapper.setdefault('loss_scale', 'dynamic')
    return cfg


def how_to_go_on(cfg: Config) -> str:
    """What goes on from where a run was stopped."""
    staged, resume, path = 'runner_type' in cfg, cfg.get('resume'), cfg.get('load_from')
    if staged:
        # With a checkpoint, the same command would begin at that once more.
        command = f'--stage {cfg.get("stage")} without --resume' if resume and path else ''
        return f'; {command or "the same command"} goes on from here'
    command = 'the same command' if resume and not path else '--resume without a file'
    return f'; {command} goes on from the last checkpoint'


def main(args: argparse.Namespace) -> None:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = merge_args(read_config(args.config, args.cfg_options, args.work_dir), args)
    args.stopped = how_to_go_on(cfg)
    if 'runner_type' in cfg:
        RUNNERS.build(cfg).train()
        return
    runner = WholeCheckpointRunner.from_cfg(cfg)
    with logged(runner.logger):
        runner.train()


def run(stage: str | None = None) -> None:
    """Train from the command line; ``stage`` is what the tools of single stages run."""
    parser = make_parser()
    if stage:
        parser.set_defaults(stage=stage)
    cli.run(main, parser)


if __name__ == '__main__':
    run()
