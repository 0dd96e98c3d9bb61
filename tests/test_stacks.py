"""The other stacks: what would be installed; building them is ``make test-stacks``."""

from __future__ import annotations

import re
import subprocess
import sys

from conftest import REPO

sys.path.insert(0, str(REPO / 'tests/stacks'))
import stacks  # noqa: E402
from run import find_python  # noqa: E402


def test_the_lowest_releases_are_those_of_setup_py():
    text = (REPO / 'setup.py').read_text()
    assert [stacks.lowest(r) for r in ('a>=2.6,<3', 'b>=0.10.7', 'c<81', 'd')] == [
        'a==2.6.*',
        'b==0.10.7',
        'c<81',
        'd',
    ]
    stack = next(s for s in stacks.STACKS if s.lowest)
    found = stacks.requirements(stack)
    for name, version in re.findall(r"'([\w-]+)>=([\d.]+)", text.split('ONNX')[0]):
        if name != 'mmcv':
            assert any(r.startswith(f'{name}=={version}') for r in found), name
    # Both write the same cv2 folder: the last would hide how low the other is.
    (cv2,) = [r for r in found if r.startswith('opencv-python')]
    assert cv2.replace('opencv-python', 'opencv-contrib-python') in found
    assert stacks.constraints(stack) == []
    # It is the lowest Python too.
    assert f"python_requires='>={stack.python}" in text


def test_forks_stand_in_for_the_originals():
    stack = next(s for s in stacks.STACKS if s.forks)
    names = {stacks.package(r) for r in stacks.requirements(stack)}
    assert {'onedl-mmengine', 'onedl-mmdetection', 'mmaction2'} <= names
    assert not names & {'mmengine', 'mmcv', 'mmdet'}
    assert not [line for line in stacks.constraints(stack) if line.startswith('mm')][1:]


def test_mmcv_without_operators_meets_no_torch_when_it_is_built():
    """The fork's setup.py compiles operators wherever it can import torch."""
    plain, fork = stacks.STACKS[0], next(s for s in stacks.STACKS if s.forks)
    assert stacks.mmcv(plain, False) == ['mmcv-lite>=2.1.0,<2.2.0']
    assert '--no-build-isolation' not in stacks.mmcv(fork, False)
    for stack, name in ((plain, 'mmcv>=2.1.0,<2.2.0'), (fork, 'onedl-mmcv')):
        assert {'--no-build-isolation', '--no-cache-dir', name} == {*stacks.mmcv(stack, True)}


def test_every_python_of_setup_py_has_a_stack():
    versions = re.findall(r'Python :: (3\.\d+)', (REPO / 'setup.py').read_text())
    assert {s.python for s in stacks.STACKS} == set(versions)


def test_the_script():
    here = f'{sys.version_info.major}.{sys.version_info.minor}'
    assert find_python(here) and find_python('3.99') is None
    command = [sys.executable, REPO / 'tests/stacks/run.py']
    done = subprocess.run([*command, '--list'], capture_output=True, text=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [s.name for s in stacks.STACKS]
    done = subprocess.run([*command, 'py27'], capture_output=True, text=True)
    assert done.returncode == 2 and "no stacks named ['py27']" in done.stderr
