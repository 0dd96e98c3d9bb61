"""Several processes at one run: what each does, and that they end together."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from conftest import REPO, tiny_config

from mmvad.datasets.samplers import EpochSubsetSampler, WholeBatchSampler
from mmvad.datasets.transforms import crops
from mmvad.datasets.transforms.crops import drawn_stride
from mmvad.engine import processes
from mmvad.engine.processes import ProcessError, Processes, join
from mmvad.engine.trainer import share_batches
from mmvad.structures import read_weights

PIPES = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def together(count: int, work) -> list:
    """What ``work`` gives or raises in each of several processes, which are threads here."""
    store, found = dist.HashStore(), [None] * count

    def one(rank: int) -> None:
        try:
            found[rank] = work(Processes(rank, count, store))
        except BaseException as error:
            found[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return found


class TestProcesses:
    def test_one_does_everything(self):
        alone = Processes()
        assert alone.main and list(alone.share_out('abc')) == ['a', 'b', 'c']
        assert alone.from_main(lambda: {'a': 1}) == {'a': 1}
        with alone.together(), alone.main_first():
            alone.wait()
        alone.leave()
        with pytest.raises(KeyError), alone.together():
            raise KeyError('as it is')

    def test_each_item_goes_to_one_of_them(self):
        def work(here):
            taken = []
            for item in here.share_out(list(range(20))):
                taken.append(item)
                time.sleep(0.03 if here.rank else 0.09)
            here.wait()
            return taken, list(here.share_out(['x']))

        found = together(4, work)
        assert sorted(sum((taken for taken, _ in found), [])) == list(range(20))
        # The one that is slow takes fewer, and all are in order.
        assert all(taken == sorted(taken) for taken, _ in found)
        assert len(found[0][0]) < min(len(taken) for taken, _ in found[1:])
        assert sorted(sum((x for _, x in found), [])) == ['x']

    def test_nobody_passes_a_point_before_the_last_one_comes(self):
        came = []

        def work(here):
            time.sleep(0.1 * here.rank)
            came.append(here.rank)
            here.wait()
            return len(came)

        assert together(3, work) == [3, 3, 3]

    def test_the_main_one_decides_and_goes_first(self):
        order = []

        def work(here):
            with here.main_first():
                order.append(here.rank)
            return here.from_main(lambda: [here.rank, None, 'é'])

        assert together(3, work) == [[0, None, 'é']] * 3
        assert order[0] == 0

    @pytest.mark.parametrize('rank', [0, 2])
    def test_an_error_of_one_ends_all(self, rank):
        def work(here):
            with here.together():
                for video in here.share_out(list(range(1000))):
                    if here.rank == rank and video > 3:
                        raise ValueError('03.avi: cannot be\nread')
                    time.sleep(0.01)

        found = together(3, work)
        told = 'process 2: 03.avi: cannot be read' if rank else '03.avi: cannot be\nread'
        assert type(found[0]) is (ProcessError if rank else ValueError) and str(found[0]) == told
        # The main one says it, once.
        assert [type(error) for error in found[1:]] == [SystemExit] * 2
        assert all(error.code == 1 for error in found[1:])

    def test_a_fault_of_the_program_keeps_its_traceback_where_it_is(self):
        def work(here):
            with here.together():
                here.wait()
                if here.rank == 1:
                    raise ZeroDivisionError('a fault')

        found = together(2, work)
        assert str(found[0]) == 'process 1: a fault' and isinstance(found[1], ZeroDivisionError)

    def test_the_same_error_of_all_is_said_once(self):
        def work(here):
            with here.together():
                raise ValueError('model: no such key')

        found = together(3, work)
        assert [type(error) for error in found] == [ValueError, SystemExit, SystemExit]

    def test_one_that_is_silent_is_gone(self, monkeypatch):
        monkeypatch.setattr(processes, 'SILENCE', 0.4)
        monkeypatch.setattr(processes, '_BEAT', 0.1)
        store = dist.HashStore()
        # Of two, one gives no sign of life.
        with pytest.raises(ProcessError, match='process 1 has given no sign of life for 0 s'):
            Processes(0, 2, store).wait()

    def test_without_the_main_one_nothing_goes_on(self):
        main = dist.TCPStore('localhost', 0, is_master=True, wait_for_workers=False)
        here = Processes(1, 2, dist.TCPStore('localhost', main.port, is_master=False))
        del main
        with pytest.raises(ProcessError, match='process 0, the main one, is gone'):
            here.wait()

    def test_its_signs_of_life_do_not_disturb_its_end(self):
        """A thread that is in the store while Python shuts down would abort the process."""
        code = (
            'import os, sys, time\nimport torch.distributed as dist\n'
            'from mmvad.engine import processes\n'
            'processes._BEAT = 0.0005\n'
            'read, write = os.pipe()\n'
            'if not (main := os.fork()):\n'
            '    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)\n'
            '    os.write(write, str(store.port).encode())\n'
            '    time.sleep(200)\n'
            'port = int(os.read(read, 9))\n'
            'for number in range(8):\n'
            '    if not (child := os.fork()):\n'
            '        store = dist.TCPStore("localhost", port, is_master=False)\n'
            '        here = processes.Processes(1, 2, store)\n'
            '        time.sleep(0.05 + 0.003 * number)\n'
            '        sys.exit()\n'
            '    print(os.waitpid(child, 0)[1])\n'
            'os.kill(main, 9)\n'
        )
        env = dict(os.environ, PYTHONPATH=str(REPO))
        done = subprocess.run([sys.executable, '-c', code], env=env, **PIPES, timeout=240)
        assert done.stdout.split() == ['0'] * 8, done.stderr


class TestJoining:
    def test_without_a_launcher_there_is_one(self):
        assert join().count == 1

    @pytest.mark.parametrize(
        ('launcher', 'message'),
        [
            ('pytorch', 'launcher: pytorch: RANK is not set; start the command with torchrun'),
            ('slurm', 'launcher: slurm: SLURM_PROCID is not set; start the command with srun'),
            ('mpi', 'launcher: mpi: OMPI_COMM_WORLD_RANK is not set'),
            (
                'dask',
                r"launcher: expected one of \('none', 'pytorch', 'slurm', 'mpi'\), got 'dask'",
            ),
        ],
    )
    def test_a_launcher_that_started_nothing(self, launcher, message, monkeypatch):
        for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(ValueError, match=message):
            join(launcher)

    def test_srun_gives_rank_and_count(self, tmp_path):
        """As Slurm sets them for two tasks of a job; who starts them makes no difference."""
        code = (
            'import mmvad\nfrom mmvad.engine.processes import join\n'
            'here = join("slurm")\n'
            'print(here.rank, here.count, here.from_main(lambda: here.rank))\nhere.leave()'
        )
        with socket.socket() as free:
            free.bind(('localhost', 0))
            port = free.getsockname()[1]
        settings = dict(SLURM_NTASKS='2', MASTER_ADDR='localhost', MASTER_PORT=str(port))
        started = []
        for rank in range(2):
            own = dict(settings, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank))
            env = {**os.environ, **own, 'PYTHONPATH': str(REPO)}
            started.append(subprocess.Popen([sys.executable, '-c', code], env=env, **PIPES))
        for rank, process in enumerate(started):
            out, err = process.communicate(timeout=240)
            assert process.returncode == 0 and out.split() == [str(rank), '2', '0'], err


class TestBatches:
    def test_processes_have_the_batches_of_one(self):
        """Each its part of every batch, the same samples as in one process, and none twice."""
        data = list(range(53))
        loader = dict(
            batch_size=8, drop_last=True, sampler=dict(type='DefaultSampler', shuffle=True, seed=3)
        )
        alone = torch.randperm(53, generator=torch.Generator().manual_seed(3)).tolist()
        batches = [set(alone[i : i + 8]) for i in range(0, 48, 8)]
        share_batches(loader, 4, 'stages.x', len(data), 0)
        assert loader['batch_size'] == 2
        kwargs = {k: v for k, v in loader['sampler'].items() if k != 'type'}
        parts = []
        for rank in range(4):
            sampler = EpochSubsetSampler(data, **kwargs)
            sampler.rank, sampler.world_size = rank, 4
            parts.append(list(sampler))
            assert len(parts[-1]) == 12
        for number, batch in enumerate(batches):
            shares = [part[2 * number : 2 * number + 2] for part in parts]
            assert set(sum(shares, [])) == batch

    def test_a_batch_must_part_evenly(self):
        loader = dict(batch_size=6, sampler=dict(type='DefaultSampler'))
        with pytest.raises(ValueError, match=r'stages.x.train_dataloader.batch_size: 6 .* 4$'):
            share_batches(loader, 4, 'stages.x', 100, 0)

    def test_an_item_draws_what_it_draws_in_one_process(self, monkeypatch):
        np.random.seed(5)
        alone = [drawn_stride((1, 2, 3)) for _ in range(24)]
        assert set(alone) == {1, 2, 3}
        for rank in range(4):
            monkeypatch.setattr(crops, 'get_dist_info', lambda r=rank: (r, 4))
            np.random.seed(5)
            assert [drawn_stride((1, 2, 3)) for _ in range(6)] == alone[rank::4]

    def test_whole_batches_stay_whole(self, monkeypatch):
        parts = []
        for rank in range(3):
            monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda r=rank: (r, 3))
            sampler = WholeBatchSampler(range(17), 4)
            parts.append(list(sampler))
            assert len(sampler) == len(parts[-1])
        assert parts == [[0, 1, 2, 3, 12, 13, 14, 15], [4, 5, 6, 7, 16], [8, 9, 10, 11]]


# The gradient of one step of the spatial model over a batch of 8, and what batch norm remembers.
GRADIENT = """
import sys
import torch, torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import DefaultScope
import mmvad
from mmvad.engine.batch_norm import shared_batch_norm
from mmvad.registry import MODELS

DefaultScope.get_instance('here', scope_name='mmvad')
if sys.argv[3] != '1':
    dist.init_process_group('gloo')
rank, count = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
cfg = Config.fromfile(sys.argv[1])
torch.manual_seed(0)
model = MODELS.build(cfg.model.spatial).train()
generator = torch.Generator().manual_seed(1)
crops = 255 * torch.rand(8, 1, 5, 32, 32, generator=generator)
length = model.text_length
names = sorted({key for keys in cfg.model.spatial.sentences.values() for key in keys})
# Three sentences, so that some are the same.
texts = torch.randint(1, 400, (3, length), generator=generator)
texts[:, -1] = 49407
tokens = {name: texts[torch.randint(0, 3, (8,), generator=generator)] for name in names}
torch.manual_seed(2)  # the brightness of crops
part = dict(
    inputs=crops[rank::count],
    data_samples={name: values[rank::count] for name, values in tokens.items()},
)
data = model.data_preprocessor(part, training=True)
wrapped = model if count == 1 else MMDistributedDataParallel(model, broadcast_buffers=False)
with shared_batch_norm(model) if count > 1 else torch.enable_grad():
    losses = wrapped(**data, mode='loss')
    loss = sum(value for key, value in losses.items() if 'loss' in key)
    loss.backward()
if rank == 0:
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found |= {f'held.{name}': buffer for name, buffer in model.named_buffers()}
    found |= {name: value.detach() for name, value in losses.items()}
    torch.save(found, sys.argv[2])
"""


def torchrun(count: int, *command, **env) -> subprocess.CompletedProcess:
    launch = [sys.executable]
    if count > 1:
        launch += ['-m', 'torch.distributed.run', f'--nproc_per_node={count}', '--standalone']
    found = os.pathsep.join([str(REPO), os.environ.get('PYTHONPATH', '')])
    return subprocess.run(
        [*launch, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=900,
        env=dict(os.environ, PYTHONPATH=found.rstrip(os.pathsep), OMP_NUM_THREADS='1', **env),
    )


def test_the_gradient_is_that_of_the_whole_batch(tmp_path):
    """Of the contrastive loss, through batch norm, with brightness varied."""
    (tmp_path / 'gradient.py').write_text(GRADIENT)
    found = {}
    for count in (1, 4):
        out = tmp_path / f'{count}.pth'
        config = REPO / 'configs/localvad/plaza.py'
        done = torchrun(count, tmp_path / 'gradient.py', config, out, count)
        assert done.returncode == 0, done.stderr[-3000:]
        found[count] = torch.load(out, weights_only=True)
    one, four = found[1], found[4]
    assert one.keys() == four.keys() and len(one) > 100
    largest = max(float(v.abs().max()) for k, v in one.items() if v.requires_grad is False)
    assert largest > 0
    for name, value in one.items():
        size = float(value.float().abs().max())
        torch.testing.assert_close(
            four[name].float(), value.float(), rtol=1e-3, atol=1e-4 * size + 1e-6, msg=name
        )


def train(folder: Path, config: Path, count: int, **env) -> subprocess.CompletedProcess:
    launcher = ['--launcher', 'pytorch'] if count > 1 else []
    command = [REPO / 'tools/train.py', config, '--work-dir', folder, *launcher]
    return torchrun(count, *command, **env)


def dumped(folder: Path, plaza: Path, **options) -> Path:
    tiny_config(plaza, folder / 'unused', **options).dump(folder / 'config.py')
    return folder / 'config.py'


def contents(folder: Path) -> dict[str, bytes]:
    """What the files hold that stages leave, but for when and how long."""
    kept = ('proposals', 'captions', 'features', 'scores', 'objects')
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for name in kept
        for path in sorted((folder / name).rglob('*'))
        if path.is_file() and path.name != 'manifest.json'
    }


def figures(folder: Path) -> dict:
    kept = json.loads((folder / 'metrics.json').read_text())
    kept.pop('seconds')
    return kept


def test_two_and_four_processes_leave_the_files_of_one(undisturbed, plaza, tmp_path):
    config = dumped(tmp_path, plaza, method='attributes')
    expected = contents(undisturbed)
    assert len(expected) > 10
    for count in (2, 4):
        work_dir = tmp_path / str(count)
        done = train(work_dir, config, count)
        assert done.returncode == 0, done.stderr[-3000:]
        assert contents(work_dir) == expected
        assert figures(work_dir) == figures(undisturbed)
        assert not [path for path in work_dir.rglob('*') if '.tmp' in path.name]
        # One log, of the main process.
        assert len(list(work_dir.glob('*.log'))) == 1
    # Complete for one process as well.
    done = train(tmp_path / '4', config, 1)
    assert done.returncode == 0 and done.stdout.count('complete, skipped') == 5


@pytest.mark.slow
def test_training_together_is_training_alone_to_float_error(finished, plaza, tmp_path):
    done = train(tmp_path / 'work', dumped(tmp_path, plaza), 2)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = contents(finished), contents(tmp_path / 'work')
    assert one.keys() == two.keys()
    for name in one:
        if name.startswith(('proposals', 'captions')):
            assert one[name] == two[name]
    # Patterns are stored in half precision, and Adam's first steps are as large whatever the
    # gradient is: the temporal part is as near as its learning rate.
    for name, near in (('spatial/branches.pth', 1e-5), ('temporal/temporal.pth', 2e-3)):
        alone, together = (read_weights(path / name) for path in (finished, tmp_path / 'work'))
        assert alone.keys() == together.keys()
        for key, value in alone.items():
            torch.testing.assert_close(
                together[key].float(), value.float(), rtol=1e-3, atol=near, msg=key
            )
    scores = [np.load(p / 'scores/00.npy') for p in (finished, tmp_path / 'work')]
    np.testing.assert_allclose(scores[1], scores[0], rtol=0.1, atol=0.1)
    alone, together = figures(finished), figures(tmp_path / 'work')
    assert together['auc/micro'] == pytest.approx(alone['auc/micro'], abs=1.0)


# Ends the process of rank 1 after the first call of what KILL names.
TROUBLE = """
import importlib, os, signal

if os.environ.get('RANK') == '1' and 'KILL' in os.environ:
    module, name = os.environ['KILL'].split()
    *path, last = name.split('.')
    owner = importlib.import_module(module)
    for part in path:
        owner = getattr(owner, part)
    real = getattr(owner, last)

    def killing(*args, **kwargs):
        result = real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, last, killing)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ('stage', 'call'),
    [
        ('tubes/training', 'mmvad.methods.objects.tubes find_tubes'),
        ('spatial', 'mmvad.models.losses ImageTextContrastiveLoss.forward'),
    ],
)
def test_a_killed_worker_ends_the_run_and_the_next_goes_on(stage, call, finished, plaza, tmp_path):
    (tmp_path / 'trouble.py').write_text(TROUBLE)
    cfg = tiny_config(plaza, tmp_path / 'unused')
    cfg.custom_imports = dict(imports=['trouble'], allow_failed_imports=False)
    cfg.dump(tmp_path / 'config.py')
    work_dir = tmp_path / 'work'
    if stage == 'spatial':
        for name in ('proposals', 'captions'):
            shutil.copytree(finished / name, work_dir / name)
    sys_path = f'{tmp_path}{os.pathsep}{REPO}'
    command = [REPO / 'tools/train.py', tmp_path / 'config.py', '--work-dir', work_dir]
    command += ['--launcher', 'pytorch', '--stage', stage.partition('/')[0]]
    env = dict(os.environ, PYTHONPATH=sys_path, OMP_NUM_THREADS='1')
    launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--standalone']
    settings = dict(capture_output=True, text=True, timeout=300)
    command = [*launch, *map(str, command)]
    done = subprocess.run(command, env=dict(env, KILL=call), **settings)
    assert done.returncode == 1
    root = done.stderr.partition('Root Cause')[2]
    assert 'rank      : 1 (local_rank: 1)' in root and 'exitcode  : -9' in root
    log = next(work_dir.glob('*.log')).read_text()
    assert 'Ended by' in log
    kept = {path: path.stat().st_mtime_ns for path in work_dir.rglob('*.npz')}
    again = subprocess.run(command, env=env, **settings)
    assert again.returncode == 0, again.stderr[-3000:]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    if stage == 'tubes/training':
        ours, theirs = (
            {p.name: p.read_bytes() for p in (place / 'proposals').rglob('*.npz')}
            for place in (work_dir, finished)
        )
        assert ours == theirs
    else:
        assert (work_dir / 'spatial/branches.pth').is_file()


@pytest.mark.slow
def test_the_tool_compares_counts(plaza, tmp_path):
    config = dumped(tmp_path, plaza, method='attributes')
    tool = REPO / 'tools/analysis_tools/compare_processes.py'
    done = torchrun(1, tool, config, '--counts', 1, 2, '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout[done.stdout.index('seconds of stage') :].splitlines()
    rows = {line[:20].strip(): line[20:].split() for line in lines}
    assert rows['seconds of stage'] == ['1', '2']
    assert {'tubes', 'features', 'calibrate', 'test', 'all', 'times as fast'} <= set(rows)
    assert float(rows['all'][0]) == pytest.approx(
        sum(float(rows[s][0]) for s in ('tubes', 'features', 'calibrate', 'test')), abs=0.3
    )
    (same,) = [line for line in lines if line.startswith('2 against 1: the same files of ')]
    for stage in ('proposals/training', 'proposals/testing', 'features/testing'):
        assert stage in same.partition('; others')[0]
    assert rows['auc/micro'][0] == rows['auc/micro'][1]
    done = torchrun(1, tool, config, '--counts', 0, '--out', tmp_path / 'out')
    assert done.returncode == 1 and 'error: --counts: expected' in done.stderr
