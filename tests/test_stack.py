"""Releases that do not fit are told in one line when mmvad is imported."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def installed() -> None:
    try:
        importlib.metadata.version('mmvad')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('ranges are those of the installed mmvad')


def import_with(folder: Path, script: str = 'import mmvad') -> str:
    """The last line that an import says, with what is in a folder before all else."""
    script = f'import sys; sys.path[:0] = {[str(folder), str(ROOT)]!r}\n{script}'
    run = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    return (run.stderr.strip() or run.stdout.strip() or 'nothing').splitlines()[-1]


def other_release(folder: Path, name: str, version: str) -> None:
    """As if that release of a package were installed."""
    info = folder / f'{name}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


def declared(name: str) -> set[str]:
    for item in map(Requirement, importlib.metadata.requires('mmvad')):
        if item.name == name:
            return set(map(str, item.specifier))
    raise AssertionError(name)


@pytest.mark.parametrize(
    ('name', 'version'),
    [('mmcv', '2.2.0'), ('mmdet', '2.28.2'), ('mmaction2', '0.24.1'), ('torch', '2.4.1')],
)
def test_a_release_out_of_its_range(tmp_path, name, version):
    other_release(tmp_path, name, version)
    line = import_with(tmp_path)
    found = re.fullmatch(
        rf'ImportError: mmvad: {name} {version} is installed, expected {name}(\S+)', line
    )
    assert found and set(found[1].split(',')) == declared(name)


def test_all_of_them_are_told(tmp_path):
    other_release(tmp_path, 'mmcv', '2.2.0')
    other_release(tmp_path, 'setuptools', '82.0.0')
    line = import_with(tmp_path)
    assert 'mmcv 2.2.0' in line and 'setuptools 82.0.0' in line and 'pkg_resources' in line


def test_releases_in_their_ranges_pass(tmp_path):
    other_release(tmp_path, 'mmdet', '3.99.0')
    other_release(tmp_path, 'torch', '2.11.0+cu130')
    assert import_with(tmp_path) == 'nothing'


def test_no_pkg_resources(tmp_path):
    """As in a new environment of Python 3.12, which has no setuptools."""
    hide = (
        'import importlib.util as u; find = u.find_spec\n'
        'u.find_spec = lambda name, *a: None if name == "pkg_resources" else find(name, *a)\n'
        'import mmvad'
    )
    line = import_with(tmp_path, hide)
    assert line.startswith('ImportError: mmvad: no pkg_resources is installed, which mmengine.hub')
    assert line.endswith('expected setuptools<81')


def test_an_mmcv_without_operators(tmp_path):
    """mmcv-lite is told where a detector is asked for, and nowhere else."""
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv/__init__.py').touch()
    other_release(tmp_path, 'mmcv-lite', '2.1.0')
    assert import_with(tmp_path) == 'nothing'
    line = import_with(tmp_path, 'from mmvad.stack import require_operators; require_operators()')
    assert re.match(r'ImportError: mmcv(-lite)? 2.1.0 has no compiled operators', line)
    assert import_with(ROOT, 'from mmvad.stack import require_operators as r; r()') == 'nothing'
