"""Train a staged config in one process and in several, and say what that changes.

    python tools/analysis_tools/compare_processes.py configs/localvad/plaza.py \\
        --counts 1 2 --out work_dirs/processes

Each count runs in --out/<count>, by torchrun on this machine; what is there and complete is not run
again. A table has the seconds of each stage, whether its files are those of the first count, and
the figures. On a CPU each process takes one thread, so that counts are held against each other and
not against threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.engine import read_config
from mmvad.structures import WorkDir, atomic_path
from mmvad.structures.stage_folder import MANIFEST

TRAIN = Path(__file__).resolve().parents[1] / 'train.py'


def run(config: Path, work_dir: Path, count: int) -> None:
    """Train in so many processes.

    Raises:
        ValueError: If that fails; it has said why.
    """
    command = [sys.executable]
    if count > 1:
        command += ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={count}']
    command += [str(TRAIN), str(config), '--work-dir', str(work_dir)]
    if count > 1:
        command += ['--launcher', 'pytorch']
    done = subprocess.run(command, env=dict(os.environ, OMP_NUM_THREADS='1'), check=False)
    if done.returncode:
        raise ValueError(f'{work_dir}: {count} process(es) ended with exit code {done.returncode}')


def stage_files(work_dir: Path) -> dict[str, dict[str, str]]:
    """Stage, or a split of it, to what its files hold: name to digest."""
    found = {}
    for path in sorted(work_dir.rglob(MANIFEST)):
        held = json.loads(path.read_text()).get('files', {})
        name = path.parent.relative_to(work_dir).as_posix()
        if held and '.stale' not in name:
            found[name] = {file: look[2] for file, look in held.items()}
    return found


def table(work_dirs: dict[int, Path]) -> list[str]:
    """Lines that compare finished work dirs with the first of them."""
    records: dict[int, dict[str, Any]] = {
        count: json.loads(WorkDir(path).metrics.read_text()) for count, path in work_dirs.items()
    }
    counts = list(records)
    first = counts[0]
    lines = [f'{"seconds of stage":<20}' + ''.join(f'{count:>10}' for count in counts)]
    stages = list(records[first]['seconds'])
    for stage in stages:
        row = [records[count]['seconds'][stage] for count in counts]
        lines.append(f'{stage:<20}' + ''.join(f'{seconds:>10.1f}' for seconds in row))
    totals = [sum(records[count]['seconds'].values()) for count in counts]
    lines.append(f'{"all":<20}' + ''.join(f'{total:>10.1f}' for total in totals))
    faster = [totals[0] / total for total in totals]
    lines.append(f'{"times as fast":<20}' + ''.join(f'{ratio:>10.2f}' for ratio in faster))
    files = {count: stage_files(path) for count, path in work_dirs.items()}
    for count in counts[1:]:
        same = [name for name, held in files[first].items() if files[count].get(name) == held]
        other = [name for name in files[first] if name not in same]
        told = f'the same files of {", ".join(same) or "no stage"}'
        lines.append(f'{count} against {first}: {told}; others of {", ".join(other) or "none"}')
    for name in ('auc/micro', 'auc/macro'):
        row = [records[count].get(name) for count in counts]
        if None not in row:
            lines.append(f'{name:<20}' + ''.join(f'{value:>10.2f}' for value in row))
    return lines


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='staged config')
    parser.add_argument('--counts', type=int, nargs='+', default=[1, 2], help='of processes')
    parser.add_argument('--out', type=Path, required=True, help='folder for the work dirs')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    return parser


def main(args: argparse.Namespace) -> None:
    if min(args.counts) < 1 or len(set(args.counts)) < len(args.counts):
        raise ValueError(f'--counts: expected different numbers >= 1, got {args.counts}')
    cfg = read_config(args.config, args.cfg_options)
    config = args.out / 'config.py'
    with atomic_path(config) as tmp:
        cfg.dump(tmp)
    work_dirs = {count: args.out / str(count) for count in args.counts}
    for count, work_dir in work_dirs.items():
        run(config, work_dir, count)
    print('\n'.join(table(work_dirs)))


if __name__ == '__main__':
    cli.run(main, make_parser())
