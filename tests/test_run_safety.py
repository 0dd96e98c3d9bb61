"""Runs that meet each other, a signal, a full disk or bad input: what is left, and what is said.

Disks are full here by a limit on the size of files, which needs no rights, and on a small tmpfs
where one can be mounted.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPO, tiny_config
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmvad import cli
from mmvad.engine.guard import refuse_lost_lines
from mmvad.engine.score_files import write_score_files
from mmvad.engine.trainer import WholeCheckpointRunner, latest_checkpoint
from mmvad.evaluation.functional import VideoScores
from mmvad.methods.localvad.weights import save_part
from mmvad.registry import RUNNERS
from mmvad.structures import (
    NoSpaceError,
    ObjectTubes,
    WorkDir,
    atomic_path,
    reserved_array,
    write_captions,
    write_json,
)
from mmvad.visualization import write_video
from mmvad.visualization.plots import save_figure

# For `custom_imports`: no file may grow larger than LIMIT; the function that HALT names works as
# ever, up to a call after which it does not come back, in whichever process that is.
TROUBLE = """
import importlib, os, resource, time
from pathlib import Path

if 'LIMIT' in os.environ:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ['LIMIT']),) * 2)
if 'HALT' in os.environ:
    module, name, number, mark = os.environ['HALT'].split()
    *path, last = name.split('.')
    owner = importlib.import_module(module)
    for part in path:
        owner = getattr(owner, part)
    real, calls = getattr(owner, last), []

    def halting(*args, **kwargs):
        result = real(*args, **kwargs)
        calls.append(None)
        if len(calls) == int(number):
            Path(mark).touch()
            time.sleep(300)
        return result

    setattr(owner, last, halting)
"""


def config_file(folder: Path, cfg: Config) -> Path:
    """A config whose runs can be brought into trouble."""
    (folder / 'trouble.py').write_text(TROUBLE)
    cfg.custom_imports = dict(imports=['trouble'], allow_failed_imports=False)
    cfg.dump(folder / 'config.py')
    return folder / 'config.py'


def begin(
    config: Path, *more: str | Path, tool: str = 'train', halt: str = '', limit: int | None = None
) -> subprocess.Popen:
    """A tool, of which HALT's mark is the file ``halted`` beside the config."""
    env = dict(os.environ, PYTHONPATH=str(config.parent), PYTHONUNBUFFERED='1')
    if limit:
        env['LIMIT'] = str(limit)
    if halt:
        (config.parent / 'halted').unlink(missing_ok=True)
        env['HALT'] = f'{halt} {config.parent / "halted"}'
    return subprocess.Popen(
        [sys.executable, str(REPO / f'tools/{tool}.py'), str(config), *map(str, more)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=env,
    )


def wait_for_halt(process: subprocess.Popen, config: Path) -> None:
    deadline = time.monotonic() + 200
    while not (config.parent / 'halted').exists():
        if process.poll() is not None:
            raise AssertionError(f'it ended before: {process.communicate()}')
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)  # the others of its processes come to rest as well


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob('*') if '.tmp' in path.name]


def figures(work_dir: Path) -> dict:
    kept = json.loads((work_dir / 'metrics.json').read_text())
    kept.pop('seconds')
    return kept


@pytest.fixture(scope='module')
def undisturbed(plaza, tmp_path_factory) -> Path:
    """The work dir of a run of the fast method."""
    work_dir = tmp_path_factory.mktemp('undisturbed') / 'run'
    RUNNERS.build(tiny_config(plaza, work_dir, method='attributes')).train()
    return work_dir


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
    ('test', 'mmvad.visualization.drawing append_score_strip 9', True, signal.SIGINT, False),
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
        assert f'Stage {stage}' in log.read_text().partition('Ended by')[0].splitlines()[-2], case
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


# -------------------------------------------------------------------- full disks


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file of this process may grow larger: the same errors as of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """A disk of its own; skips the test where none can be mounted."""
    place.mkdir(exist_ok=True)
    mount = ['mount', '-t', 'tmpfs', '-o', f'size={options}', 'tmpfs', str(place)]
    done = subprocess.run(mount, capture_output=True, text=True) if shutil.which('mount') else None
    if done is None or done.returncode:
        pytest.skip('needs the right to mount a tmpfs')
    try:
        yield place
    finally:
        subprocess.run(['umount', '-l', str(place)], check=True)


def a_figure(path: Path) -> None:
    figure = Figure(figsize=(9, 9))
    figure.subplots().plot(np.random.default_rng(0).normal(size=3000))
    save_figure(figure, path)


def a_video(path: Path) -> None:
    rng = np.random.default_rng(0)
    write_video((rng.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(30)), path, 10)


def some_tubes(count: int = 3000) -> ObjectTubes:
    rng = np.random.default_rng(0)
    boxes = rng.random((count, 4), np.float32)
    boxes[:, 2:] += boxes[:, :2]
    frames = np.sort(rng.integers(0, 90, count)).astype(np.int32)
    return ObjectTubes(boxes, boxes.copy(), frames, 90, (120, 160))


def some_captions(path: Path) -> None:
    sentence = dict.fromkeys(('action', 'appearance', 'background', 'object'), 'x')
    write_captions(path, some_tubes(), [sentence] * 3000)


def a_map(path: Path) -> None:
    with atomic_path(path) as tmp:
        reserved_array(tmp, np.float32, (100, 1000))


def an_array(path: Path) -> None:
    with atomic_path(path) as tmp:
        np.save(tmp, np.zeros((100, 1000)))


WRITERS: dict[str, Callable[[Path], None]] = {
    'a.json': lambda path: write_json(path, list(range(30000))),
    'a.npy': an_array,
    'map.npy': a_map,
    'a.npz': lambda path: some_tubes().save(path),
    'a.jsonl': some_captions,
    'a.pth': lambda path: save_part(torch.nn.Linear(300, 300), 'spatial', path),
    'a.png': a_figure,
    'a.mp4': a_video,
}


@pytest.mark.parametrize('name', WRITERS)
def test_what_does_not_fit_is_named(tmp_path, name):
    """Whatever the writer makes of it: numpy, torch and OpenCV each have their own way."""
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    assert len(whole) > 20000
    with file_limit(16384), pytest.raises(NoSpaceError) as caught:
        WRITERS[name](path)
    assert caught.value.filename == str(path) and caught.value.errno == errno.EFBIG
    text = cli.describe(caught.value)
    assert text.startswith(f'{path}: file too large (') and text.endswith(' MB free)')
    assert path.read_bytes() == whole
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize('name', WRITERS)
def test_what_does_not_fit_on_a_small_disk(tmp_path, name):
    with small_disk(tmp_path / 'disk', '16k') as disk:
        with pytest.raises(NoSpaceError) as caught:
            WRITERS[name](disk / name)
        assert os.listdir(disk) == []
    text = cli.describe(caught.value)
    assert text.startswith(f'{disk / name}: no space left on device (')


def test_scores_that_do_not_fit(tmp_path):
    long = dict(all=np.zeros(90000, np.float32))
    with file_limit(16384), pytest.raises(NoSpaceError, match='scores/00.npy'):
        write_score_files(tmp_path, {'00': VideoScores(long, long, long)}, 'all')
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


def test_errors_of_reading_stay_what_they_are(tmp_path):
    """A block that writes also reads: not every error in it is about its file."""
    for error in (RuntimeError('a bug'), OSError('cannot decode'), FileNotFoundError(2, 'x', 'y')):
        with pytest.raises(type(error)) as caught, atomic_path(tmp_path / 'a') as tmp:
            tmp.write_text('half')
            raise error
        assert caught.value is error
    other = NoSpaceError(tmp_path / 'other')
    with pytest.raises(NoSpaceError) as caught, atomic_path(tmp_path / 'a'):
        raise other
    assert caught.value is other and os.listdir(tmp_path) == []
    # As a loader's worker hands it on.
    copied = pickle.loads(pickle.dumps(NoSpaceError(tmp_path / 'other', needed=7)))
    assert copied.filename == other.filename and copied.needed == 7


def test_a_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch):
    runner = WholeCheckpointRunner.__new__(WholeCheckpointRunner)
    parent = WholeCheckpointRunner.__mro__[1]

    def write(self, out_dir: str, filename: str) -> None:
        torch.save(dict(state_dict=dict(a=torch.zeros(9999))), Path(out_dir) / filename)

    monkeypatch.setattr(parent, 'save_checkpoint', write)
    with file_limit(16384), pytest.raises(NoSpaceError, match='epoch_1.pth'):
        runner.save_checkpoint(str(tmp_path), 'epoch_1.pth')
    assert os.listdir(tmp_path) == []
    runner.save_checkpoint(str(tmp_path), 'epoch_1.pth')
    assert os.listdir(tmp_path) == ['epoch_1.pth']


def test_the_latest_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for name in ('epoch_9', 'epoch_10', 'branches'):
        (tmp_path / f'{name}.pth').touch()
    note = tmp_path / 'last_checkpoint'
    note.write_text('/elsewhere/epoch_9.pth')
    assert latest_checkpoint(tmp_path) == tmp_path / 'epoch_9.pth'
    # The disk was full when it was written; or what it names was removed before the next was noted.
    for text in ('', '/elsewhere/epoch_8.pth'):
        note.write_text(text)
        assert latest_checkpoint(tmp_path) == tmp_path / 'epoch_10.pth'


def test_a_log_that_cannot_grow(tmp_path):
    logger = MMLogger.get_instance(f'full_{time.time_ns()}', log_file=str(tmp_path / 'a.log'))
    refuse_lost_lines(logger)
    logger.info('x' * 3000)
    with file_limit(4096), pytest.raises(NoSpaceError, match='a.log'):
        logger.info('x' * 3000)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()


# Under which limit, bytes, which file does not fit.
LIMITS = (
    (1700, 'proposals/training/00.npz: file too large ('),
    (5000, 'attributes.pth: file too large ('),
    (40000, 'plots/00.png: file too large ('),
    (300000, 'annotated/01.mp4: file too large ('),
)


@pytest.mark.slow
def test_files_that_do_not_fit_end_a_run_which_goes_on_later(plaza, undisturbed, tmp_path):
    """Each stage finds no room once; then the figures are the same."""
    work_dir = tmp_path / 'run'
    config = config_file(tmp_path, tiny_config(plaza, work_dir, method='attributes'))
    for limit, message in LIMITS:
        code, _, err = ended(begin(config, limit=limit))
        assert code == 1 and err.splitlines()[-1].startswith(f'error: {work_dir}/{message}'), err
        assert 'Traceback' not in err and not temporaries(work_dir)
        assert not (work_dir / message.partition(':')[0]).exists()
        (log,) = sorted(work_dir.glob('*.log'))[-1:]
        assert 'Traceback' in log.read_text() or log.stat().st_size == limit
    code, _, err = ended(begin(config))
    assert code == 0, err
    assert figures(work_dir) == figures(undisturbed)


def test_the_room_that_measurements_need(plaza, undisturbed, tmp_path, monkeypatch):
    """Told before they are made, and refused where there is less."""
    work_dir = tmp_path / 'run'
    shutil.copytree(undisturbed, work_dir)
    shutil.rmtree(work_dir / 'features')
    cfg = tiny_config(plaza, work_dir, method='attributes')
    monkeypatch.setattr('mmvad.methods.objects.features.free_space', lambda path: 100)
    with pytest.raises(NoSpaceError) as caught:
        RUNNERS.build(cfg).train()
    text = cli.describe(caught.value)
    assert text.startswith(f'{work_dir}/features/training: no space left on device (0.0 MB needed')
    assert not list(work_dir.glob('features/**/*.npy'))
    monkeypatch.undo()
    RUNNERS.build(cfg).train()
    logs = ''.join(path.read_text() for path in work_dir.glob('*.log'))
    assert 'Stage features/testing: ' in logs and ' MB are free' in logs


@pytest.mark.slow
@pytest.mark.parametrize('left', [20_000, 300_000])
def test_measurements_on_a_full_disk(plaza, finished, tmp_path, left):
    """A map that outruns the disk is the end of a process that says nothing."""
    with small_disk(tmp_path / 'disk', '400m') as disk:
        work_dir = disk / 'run'
        shutil.copytree(finished, work_dir)
        shutil.rmtree(work_dir / 'features')
        config = config_file(tmp_path, tiny_config(plaza, work_dir))
        room = shutil.disk_usage(disk).free - left
        with (disk / 'filler').open('wb') as file:
            os.posix_fallocate(file.fileno(), 0, room)
        code, _, err = ended(begin(config))
        (line,) = [line for line in err.splitlines() if line.startswith('error: ')]
        assert code == 1 and line.startswith(f'error: {work_dir}/features/training'), err
        assert ' MB needed, ' in line and not temporaries(work_dir)
        (disk / 'filler').unlink()
        code, _, err = ended(begin(config))
        assert code == 0, err
        assert figures(work_dir) == figures(finished)


@pytest.mark.slow
def test_training_on_a_full_disk(plaza, finished, tmp_path):
    """Whatever cannot be written, the same command goes on from the last whole checkpoint."""
    with small_disk(tmp_path / 'disk', '400m') as disk:
        work_dir = disk / 'run'
        for part in ('proposals', 'captions', 'digests.json'):
            subprocess.run(['mkdir', '-p', work_dir], check=True)
            subprocess.run(['cp', '-a', finished / part, work_dir], check=True)
        config = config_file(tmp_path, tiny_config(plaza, work_dir))
        size = (finished / 'spatial/epoch_1.pth').stat().st_size
        filler = disk / 'filler'
        for left in (0, size // 2, size * 3 // 2):
            with filler.open('wb') as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - left)
            code, _, err = ended(begin(config))
            last = err.splitlines()[-1]
            assert code == 1 and last.startswith(f'error: {work_dir}') and ' MB free)' in last, err
            assert 'no space left on device (' in last.lower()
            assert 'Traceback' not in err and not temporaries(work_dir)
            filler.unlink()
        assert (work_dir / 'spatial/epoch_1.pth').exists()
        code, _, err = ended(begin(config))
        assert code == 0, err
        assert figures(work_dir) == figures(finished)


# -------------------------------------------------------------------- errors of input


def said(tool: str, *arguments: str | Path) -> tuple[int, list[str]]:
    """Exit code, and all lines on the terminal but a warning of MMEngine's metrics."""
    command = [sys.executable, str(REPO / 'tools' / tool), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    return done.returncode, [line for line in lines if 'The prefix is not set' not in line]


class TestOneLine:
    @pytest.mark.parametrize(
        ('options', 'begins'),
        [
            (['propser.threshold=3'], "propser.threshold: the config has no 'propser'"),
            (['stages.tubes.train_stride=0'], 'stages.tubes.train_stride: expected a whole number'),
            (['stages.tubes.type=Tubs'], "stages.tubes.type: nothing is registered as 'Tubs'"),
            (['train_dataset.data_root=none', 'train_dataset.type=VideoDataset'], ''),
        ],
    )
    def test_options(self, plaza, tmp_path, options, begins):
        config = tmp_path / 'config.py'
        tiny_config(plaza, tmp_path / 'run', method='attributes').dump(config)
        code, lines = said('train.py', config, '--cfg-options', *options)
        assert code == 1 and lines[-1].startswith(f'error: {begins}') and len(lines) == 1, lines

    def test_configs(self, tmp_path):
        config = tmp_path / 'config.py'
        for text, reason in (
            ('model = dict(\n', "SyntaxError: '(' was never closed"),
            ('a = undefined\n', "NameError: name 'undefined' is not defined"),
            (None, 'no such config file'),
        ):
            config.unlink(missing_ok=True)
            if text:
                config.write_text(text)
            code, (line,) = said('train.py', config)
            assert code == 1 and line.startswith(f'error: {config}: ') and reason in line

    def test_checkpoints(self, plaza, tmp_path):
        config, model = tmp_path / 'config.py', tmp_path / 'model.pth'
        tiny_config(plaza, tmp_path / 'run', method='attributes').dump(config)
        code, (line,) = said('test.py', config, model)
        assert code == 1 and line == f'error: load_from: {model}: no such model file'
        model.write_bytes(b'nonsense' * 99)
        code, (line,) = said('test.py', config, model)
        assert code == 1 and 'plain weights (Unsupported operand' in line, line
        assert line.startswith(f'error: {model}: cannot be loaded')

    def test_in_the_midst_of_a_stage(self, plaza, tmp_path):
        """The bar ends first, and the log keeps the traceback."""
        config = tmp_path / 'config.py'
        run = tmp_path / 'run'
        tiny_config(plaza, run, method='attributes').dump(config)
        code, lines = said('train.py', config, '--cfg-options', 'proposer.min_area=99999')
        assert code == 1
        assert lines[-1] == (
            f'error: {run}/proposals/training: no object in any training video; check the proposer '
            'settings'
        )
        assert 'Traceback' not in ''.join(lines)
        (log,) = run.glob('*.log')
        assert 'Traceback' in log.read_text() and 'check the proposer' in log.read_text()

    def test_debug_shows_where(self, tmp_path):
        code, lines = said('train.py', tmp_path / 'none.py', '--debug')
        assert code == 1 and lines[0].startswith('Traceback') and 'no such config' in lines[-1]

    def test_options_without_a_value(self, tmp_path):
        code, lines = said('train.py', tmp_path / 'none.py', '--cfg-options', 'key')
        assert code == 2 and lines[-1].startswith('train.py: error: expected key=value')

    def test_other_tools(self, tmp_path):
        for tool, arguments in (
            ('pseudo_boxes.py', ['none.py']),
            ('extract_tubes.py', ['none.py']),
            ('generate_captions.py', ['none.py']),
            ('analysis_tools/benchmark.py', ['none.py']),
            ('analysis_tools/compare_predictors.py', ['none.py', tmp_path]),
            ('analysis_tools/draw_results.py', ['none.py', tmp_path, tmp_path / 'x']),
        ):
            assert said(tool, *arguments) == (1, ['error: none.py: no such config file']), tool
        code, (line,) = said('analysis_tools/compare_horizons.py', tmp_path)
        assert (code, line) == (1, f'error: {tmp_path}/localvad.pth: no such checkpoint')


FAULTS = """
import argparse, sys
from urllib.error import HTTPError
from mmvad import cli
from mmengine.registry import Registry

def main(args):
    if args.what == 'code':
        return 3
    if args.what == 'registry':
        Registry('thing', scope='mmengine').build(dict(type='Nothing'))
    raise dict(
        key=KeyError('a'), type=TypeError('a bug'), lines=ValueError('one\\n  two'),
        system=FileNotFoundError(2, 'No such file', 'x.npy'), empty=ValueError(),
        address=HTTPError('https://a/b.pth', 404, 'Not Found', None, None),
    )[args.what]

parser = argparse.ArgumentParser()
parser.add_argument('what')
cli.run(main, parser)
"""


@pytest.mark.parametrize(
    ('what', 'code', 'last', 'lines'),
    [
        ('code', 3, '', 0),
        ('registry', 1, 'error: Nothing is not in the mmengine::thing registry.', 1),
        ('key', 1, "KeyError: 'a'", None),
        ('type', 1, 'TypeError: a bug', None),
        ('lines', 1, 'error: one two', 1),
        ('system', 1, 'error: x.npy: No such file', 1),
        ('empty', 1, 'error: ValueError', 1),
        ('address', 1, 'error: https://a/b.pth: HTTP Error 404: Not Found', 1),
    ],
)
def test_what_counts_as_input(what, code, last, lines):
    """Faults of the program keep their traceback."""
    done = subprocess.run([sys.executable, '-c', FAULTS, what], capture_output=True, text=True)
    found = done.stderr.splitlines()
    assert (done.returncode, (found or [''])[-1]) == (code, last)
    assert len(found) == lines if lines is not None else found[0].startswith('Traceback')
