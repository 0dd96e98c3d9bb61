"""Disks without room: by a limit on the size of files, which needs no rights, and on a small tmpfs
where one can be mounted."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_config
from matplotlib.figure import Figure
from mmengine.logging import MMLogger
from runs import begin, config_file, ended, figures, small_disk, temporaries

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
    atomic_path,
    reserved_array,
    write_captions,
    write_json,
)
from mmvad.visualization import write_video
from mmvad.visualization.plots import save_figure


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file of this process may grow larger: the same errors as of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
    (1700, 'config.py: file too large ('),
    (5000, 'attributes.pth: file too large ('),
    (40000, 'plots/00.png: file too large ('),
    (120000, 'annotated/01.mp4: file too large ('),
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
@pytest.mark.parametrize('left', [60_000, 300_000])
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
