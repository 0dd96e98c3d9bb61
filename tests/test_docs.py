"""The code in the documentation runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from conftest import REPO


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
    frames = [cv2.imread(str(p)) for p in sorted((plaza / 'testing/frames/00').iterdir())]
    writer = cv2.VideoWriter(
        str(tmp_path / 'video.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 25, (160, 120)
    )
    for frame in frames:
        writer.write(frame)
    writer.release()
    done = run(blocks[0], tmp_path)
    assert done.returncode == 0, done.stderr
