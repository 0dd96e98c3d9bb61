"""The code in the documentation runs as it stands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from conftest import REPO, tiny_config


def python_blocks(path: Path) -> list[str]:
    return re.findall(r'^```python\n(.*?)^```$', path.read_text(), re.MULTILINE | re.DOTALL)


def run(code: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=folder,
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(REPO)),
    )


def write_video(folder: Path, path: Path) -> None:
    frames = [cv2.imread(str(p)) for p in sorted(folder.iterdir())]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, (160, 120))
    for frame in frames:
        writer.write(frame)
    writer.release()


@pytest.mark.slow
def test_architecture_blocks_run(tmp_path):
    blocks = python_blocks(REPO / 'docs/architecture.md')
    assert len(blocks) >= 6
    # The repairs of the stack come with the package, as in the tools.
    done = run('import mmvad\n' + '\n'.join(blocks), tmp_path)
    assert done.returncode == 0, done.stderr


def test_inferencer_of_the_readme(finished, plaza, tmp_path):
    blocks = [b for b in python_blocks(REPO / 'README.md') if 'VADInferencer' in b]
    assert len(blocks) == 1 and len(blocks[0].strip().splitlines()) <= 7
    (tmp_path / 'work_dirs/demo').mkdir(parents=True)
    os.symlink(finished / 'localvad.pth', tmp_path / 'work_dirs/demo/localvad.pth')
    write_video(plaza / 'testing/frames/00', tmp_path / 'video.mp4')
    done = run(blocks[0], tmp_path)
    assert done.returncode == 0, done.stderr


def test_deployment_blocks_run(finished, plaza, tmp_path):
    """With the graphs that the page's own command writes, of a model trained in seconds."""
    page = REPO / 'docs/deployment.md'
    place = tmp_path / 'work_dirs/demo'
    place.mkdir(parents=True)
    os.symlink(finished / 'localvad.pth', place / 'localvad.pth')
    write_video(plaza / 'testing/frames/00', tmp_path / 'video.mp4')
    (tmp_path / 'configs/localvad').mkdir(parents=True)
    tiny_config(plaza, place).dump(tmp_path / 'configs/localvad/plaza.py')
    os.symlink(REPO / 'tools', tmp_path / 'tools')
    (command,) = re.findall(r'^```sh\n(.*?)^```$', page.read_text(), re.MULTILINE | re.DOTALL)
    words = shlex.split(command.replace('\\\n', ' ').replace('1000', '20'))
    assert words.pop(0) == 'python' and words[0] == 'tools/deployment/export_onnx.py'
    env = dict(os.environ, PYTHONPATH=str(REPO))
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second = python_blocks(page)
    assert 'mmvad' not in second and 'torch' not in second
    for code in (first, second):
        done = run(code, tmp_path)
        assert done.returncode == 0, done.stderr
