"""Runs that meet each other, are killed or get a signal: what is left, and what is said."""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import REPO, tiny_config
from mmengine.config import Config
from runs import begin, config_file, ended, figures, small_disk, temporaries, wait_for_halt

from mmvad import cli
from mmvad.registry import RUNNERS
from mmvad.structures import (
    WorkDir,
)

# -------------------------------------------------------------------- two runs, and killed ones


IN_TUBES = 'numpy savez 1'


def test_one_run_at_a_time(plaza, undisturbed, tmp_path):
    """Refused while the first lives; not after it died, of whose files nothing is left."""
    work_dir = tmp_path / 'run'
    config = config_file(tmp_path, tiny_config(plaza, work_dir, method='attributes'))
    first = begin(config, halt=IN_TUBES)
    wait_for_halt(first, config)
    (left,) = temporaries(work_dir)
    before = sorted(path for path in work_dir.rglob('*') if path.suffix != '.log')
    model = undisturbed / 'attributes.pth'
    for second in (begin(config), begin(config, model, tool='test')):
        code, _, err = ended(second)
        (line,) = err.splitlines()
        assert code == 1 and line.startswith(f'error: {work_dir}: another run is at work here')
        assert f'process {first.pid} on {os.uname().nodename}' in line and '--work-dir' in line
    assert sorted(path for path in work_dir.rglob('*') if path.suffix != '.log') == before

    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert left.exists()
    code, out, err = ended(begin(config))
    assert code == 0, err
    assert f'{left}: half-written by a run that was killed; removed' in out + err
    assert not temporaries(work_dir) and not WorkDir(work_dir).holder.exists()
    assert figures(work_dir) == figures(undisturbed)


def test_workers_of_a_killed_run_hold_no_lock(plaza, tmp_path):
    work_dir = tmp_path / 'run'
    workers = {'stages.features.num_workers': 2}
    cfg = tiny_config(plaza, work_dir, method='attributes', **workers)
    config = config_file(tmp_path, cfg)
    process = begin(config, halt='mmvad.structures ObjectTubes.at 3')
    wait_for_halt(process, config)
    os.kill(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
    try:
        code, _, err = ended(begin(config))
        assert code == 0, err
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_only_temporaries_are_swept(undisturbed, plaza, tmp_path):
    work_dir = tmp_path / 'run'
    shutil.copytree(undisturbed, work_dir)
    dead, alive = 2**22 + 1, os.getppid()  # more than Linux counts to
    keep = [
        work_dir / name
        for name in ('.notes.tmp.txt', f'a.{dead}.tmp.npy', '.a.b.tmp.c', f'.a.{alive}.tmp.json')
    ]
    gone = [
        work_dir / f'features/training/attributes/.00.{dead}.tmp.npy',
        work_dir / f'proposals/testing/deep/.a.b.{dead}.tmp.npz',
        work_dir / f'.metrics.{os.getpid()}.tmp.json',
        work_dir / f'.bare.{dead}.tmp',
    ]
    for path in keep + gone:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    RUNNERS.build(tiny_config(plaza, work_dir, method='attributes')).train()
    assert [path.exists() for path in keep] == [True] * len(keep)
    assert [path.exists() for path in gone] == [False] * len(gone)


def test_a_work_dir_that_cannot_be_written_to(plaza, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError) as caught:
        RUNNERS.build(tiny_config(plaza, tmp_path / 'file/run', method='attributes'))
    assert cli.describe(caught.value) == (
        f'{tmp_path}/file/run: cannot be written to (Not a directory); --work-dir names another '
        'folder'
    )


def test_a_read_only_disk(plaza, tmp_path):
    with small_disk(tmp_path / 'disk', '1m,ro') as disk:
        with pytest.raises(OSError) as caught:
            RUNNERS.build(tiny_config(plaza, disk, method='attributes'))
    text = cli.describe(caught.value)
    assert text.startswith(f'{disk}: cannot be written to (Read-only file system); --work-dir')


# -------------------------------------------------------------------- signals

# Where it is halted, after how many calls; whether in the main process, in a temporary file; the
# signal, and whether all processes get it, as from a terminal or a batch system.
HALTS = (
    ('tubes', IN_TUBES, True, signal.SIGTERM, False),
    ('captions', 'mmvad.structures.caption_file _sentences 2', True, signal.SIGINT, True),
    ('spatial', 'mmvad.datasets TubeDataset.__getitem__ 3', False, signal.SIGTERM, True),
    ('spatial', 'mmvad.datasets TubeDataset.__getitem__ 3', False, signal.SIGINT, False),
    ('spatial', 'mmengine.fileio LocalBackend.put 1', True, signal.SIGTERM, False),
    ('features', 'numpy memmap.flush 1', True, signal.SIGINT, False),
    ('temporal', 'mmvad.models TemporalModel.forward 2', False, signal.SIGTERM, False),
    ('calibrate', 'mmvad.models ObjectScorer.fit 1', False, signal.SIGTERM, True),
    # In the larger test split.
    ('features', 'mmvad.structures ObjectTubes.at 3', False, signal.SIGINT, True),
    ('features', 'mmvad.structures ObjectTubes.at 3', False, signal.SIGTERM, True),
    ('features', 'mmvad.structures ObjectTubes.at 3', False, signal.SIGTERM, False),
    # The encoder holds the first frames back; the file begins with what it lets go.
    ('test', 'mmvad.visualization.drawing append_score_strip 39', True, signal.SIGINT, False),
)


def halted_by_signals(plaza: Path, tmp_path: Path, halts: Sequence[tuple]) -> None:
    """The same command, stopped at some of :data:`HALTS` one after the other, ends with the figures
    of an undisturbed run."""
    workers = {
        'stages.spatial.train_dataloader.num_workers': 2,
        'stages.features.num_workers': 2,
    }
    RUNNERS.build(tiny_config(plaza, tmp_path / 'undisturbed', **workers)).train()
    work_dir = tmp_path / 'run'
    config = config_file(tmp_path, tiny_config(plaza, work_dir, **workers))
    for stage, halt, writing, number, to_all in halts:
        case = f'{stage}, {number.name}, {halt}'
        process = begin(config, halt=halt)
        wait_for_halt(process, config)
        assert bool(temporaries(work_dir)) >= writing, case
        start = time.monotonic()
        (os.killpg if to_all else os.kill)(process.pid, number)
        code, out, err = ended(process)
        assert time.monotonic() - start < 20, case
        assert code == 128 + number, (case, err)
        end = f'stopped by {number.name}; the same command goes on from here'
        assert err.splitlines()[-1] == end, case
        assert 'Traceback' not in out + err, (case, err)
        # Bars have a line of their own.
        assert len([line for line in err.splitlines() if 'stopped by' in line]) == 1
        assert not temporaries(work_dir) and not WorkDir(work_dir).holder.exists(), case
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # no worker is left
        (log,) = sorted(work_dir.glob('*.log'))[-1:]
        lines = log.read_text().partition('Ended by')[0].splitlines()
        assert f'Stage {stage}' in [line for line in lines if 'Stage ' in line][-1], case
    code, _, err = ended(begin(config))
    assert code == 0, err
    assert figures(work_dir) == figures(tmp_path / 'undisturbed')


@pytest.mark.slow
def test_signals_end_runs_in_order(plaza, tmp_path):
    """Either signal, to the run alone and to all its processes; make test-faults takes all."""
    halted_by_signals(plaza, tmp_path, [HALTS[number] for number in (1, 3, 9, 11)])


ORDINARY = """
import os
import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS

@MODELS.register_module()
class EndsByItself(BaseModel):
    def __init__(self, signal):
        super().__init__()
        self.weight, self.signal = torch.nn.Parameter(torch.ones(1)), signal

    def forward(self, inputs, mode):
        if self.signal:
            os.kill(os.getpid(), self.signal)
        raise ValueError('inputs: of no use')

DATASETS.register_module(name='Ones', module=lambda: [dict(inputs=torch.ones(1))] * 4)
"""


@pytest.mark.parametrize(
    ('number', 'more', 'code', 'last'),
    [
        (0, [], 1, 'error: inputs: of no use'),
        (15, [], 143, '--resume without a file goes on from the last checkpoint'),
        (15, ['--resume'], 143, 'the same command goes on from the last checkpoint'),
    ],
)
def test_an_ordinary_config(tmp_path, number, more, code, last):
    """It has a log as well, and says what is true of it."""
    (tmp_path / 'ordinary.py').write_text(ORDINARY)
    cfg = Config(
        dict(
            custom_imports=dict(imports=['ordinary'], allow_failed_imports=False),
            model=dict(type='EndsByItself', signal=number),
            train_dataloader=dict(dataset=dict(type='Ones'), sampler=dict(type='DefaultSampler')),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            work_dir=str(tmp_path / 'run'),
        )
    )
    cfg.dump(tmp_path / 'config.py')
    found, _, err = ended(begin(tmp_path / 'config.py', *more))
    assert found == code and err.splitlines()[-1].endswith(last), err
    (log,) = (tmp_path / 'run').rglob('*.log')
    assert ('inputs: of no use' in log.read_text()) == (not number)
    assert 'Ended by' in log.read_text() and 'in forward' in log.read_text()


@pytest.mark.parametrize(
    ('settings', 'command'),
    [
        (dict(runner_type='StagedRunner'), 'the same command'),
        (dict(runner_type='StagedRunner', resume=True), 'the same command'),
        (
            dict(runner_type='StagedRunner', resume=True, load_from='a.pth', stage='spatial'),
            '--stage spatial without --resume',
        ),
        (dict(resume=True, load_from='a.pth'), '--resume without a file'),
    ],
)
def test_what_goes_on(settings, command):
    tool = runpy.run_path(str(REPO / 'tools/train.py'), run_name='tool')
    assert tool['how_to_go_on'](Config(settings)).startswith(f'; {command} goes on from')
