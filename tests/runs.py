"""Runs of the tools in processes of their own, that can be brought into trouble."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import REPO
from mmengine.config import Config

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
    # What this process imports, so do those it starts: else they would take an installed mmvad.
    found = os.pathsep.join([str(config.parent), str(REPO), os.environ.get('PYTHONPATH', '')])
    env = dict(os.environ, PYTHONPATH=found.rstrip(os.pathsep), PYTHONUNBUFFERED='1')
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


def said(tool: str, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    """What a tool says to its end, started in a folder."""
    return subprocess.run(
        [sys.executable, str(REPO / 'tools' / tool), *map(str, words)],
        cwd=cwd,
        env=dict(os.environ, PYTHONPATH=str(REPO)),
        capture_output=True,
        text=True,
    )
