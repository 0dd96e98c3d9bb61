"""A disk that is full in every stage: one line says so, and with more room the same command ends
with an undisturbed run's figures."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import tiny_config
from runs import small_disk, temporaries
from test_kills import METHODS, Run
from test_staged_runner import figures

from mmvad.structures import RESERVED

PAGE = 4096
# Of a run: its log, lock and who holds it, and a manifest that takes the place of another.
OTHERS = 3 * PAGE


def written(run: Run, stage: str) -> int:
    """Room that a stage's output takes, the smaller of two splits'."""
    if stage == 'test':
        files = [path for name in RESERVED for path in (run.work_dir / name).rglob('*.*')]
        return room(files)
    splits = [name for name, _ in run.stages() if name.partition('/')[0] == stage]
    return min(
        room(run.manifest(name).parent / file for file in run.record(name)['files'])
        for name in splits
    )


def room(files: Iterable[Path]) -> int:
    return sum(math.ceil(path.stat().st_size / PAGE) * PAGE for path in files)


def resize(disk: Path, size: int) -> None:
    mount = ['mount', '-o', f'remount,size={size}', str(disk)]
    subprocess.run(mount, check=True)


@pytest.mark.parametrize('method', METHODS)
def test_full_in_every_stage(plaza, tmp_path, monkeypatch, capsys, method):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    whole = Run(tmp_path / 'whole', plaza, method)
    whole.end(whole.begin())
    names = list(dict.fromkeys(name for name, _ in whole.stages()))
    hit = {}
    with small_disk(tmp_path / 'disk', '1g') as disk:
        run = Run(tmp_path / 'run', plaza, method)
        run.work_dir = disk / 'run'
        tiny_config(plaza, run.work_dir, method=method).dump(run.folder / 'config.py')
        run.work_dir.mkdir()
        shutil.copy(whole.work_dir / 'digests.json', run.work_dir)
        for stage in dict.fromkeys(name.partition('/')[0] for name in names):
            resize(disk, shutil.disk_usage(disk).used + OTHERS + written(whole, stage) // 2)
            process = run.begin()
            process.join(240)
            lines = run.said().splitlines()
            assert process.exitcode == 1, (stage, lines[-3:])
            assert lines[-1].startswith(f'error: {disk}'), (stage, lines[-1])
            assert 'no space left on device (' in lines[-1].lower(), (stage, lines[-1])
            assert not any('Traceback' in line for line in lines), stage
            assert not temporaries(run.work_dir), stage
            todo = next(name for name in names if not run.record(name).get('complete'))
            hit[stage] = f'{todo}: {lines[-1]}'
            # With more room, on to the next.
            resize(disk, 1 << 30)
            run.end(run.begin('--stage', stage))
        run.end(run.begin())
        assert figures(run.work_dir) == figures(whole.work_dir)
        assert not temporaries(run.work_dir)
    with capsys.disabled():
        print('', *(f'{method}, {stage}: full in {line}' for stage, line in hit.items()), sep='\n')
