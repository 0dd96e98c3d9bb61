"""What `pip install` gives a user, seen from a wheel made of a source distribution."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BUILD_INPUTS = [
    'setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md', 'CHANGELOG.md',
    'mmvad', 'configs', 'tools',
]  # fmt: skip
PIP = [sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check']


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f'{done.stdout}\n{done.stderr}'
    return done.stdout.strip()


def files_under(folder: Path) -> set[str]:
    """Relative paths of a folder's files, bytecode aside."""
    return {
        p.relative_to(folder).as_posix()
        for p in folder.rglob('*')
        if p.is_file() and '__pycache__' not in p.parts
    }


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from an unpacked source distribution, away from the working tree."""
    tmp = tmp_path_factory.mktemp('build')
    source = tmp / 'source'
    source.mkdir()
    for name in BUILD_INPUTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name)
        else:
            shutil.copy(ROOT / name, source)
    script = "from setuptools.build_meta import build_sdist; build_sdist('..')"
    run(sys.executable, '-c', script, cwd=source)
    (archive,) = tmp.glob('*.tar.gz')
    with tarfile.open(archive) as tar:
        tar.extractall(tmp, filter='data')
    unpacked = tmp / archive.name.removesuffix('.tar.gz')
    flags = ['--no-index', '--no-deps', '--no-build-isolation', '--wheel-dir', tmp]
    run(*PIP, 'wheel', *flags, unpacked, cwd=tmp)
    (built,) = tmp.glob('*.whl')
    return built


@pytest.fixture(scope='module')
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp('site')
    run(*PIP, 'install', '--no-index', '--no-deps', '--target', target, wheel, cwd=target)
    return target


@pytest.mark.parametrize(
    ('folder', 'place'),
    [('mmvad', 'mmvad'), ('configs', 'mmvad/.mim/configs'), ('tools', 'mmvad/.mim/tools')],
)
def test_wheel_holds_every_file(wheel: Path, folder: str, place: str):
    """Packages, their data files, configs and tools: all of them, and nothing besides."""
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.startswith(f'{place}/')]
    if folder == 'mmvad':
        names = [n for n in names if '/.mim/' not in n]
    assert {n.removeprefix(f'{place}/') for n in names} == files_under(ROOT / folder)


def test_wheel_holds_demo_and_licence(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {'mmvad/.mim/configs/localvad/plaza.py', 'mmvad/.mim/tools/train.py'} <= set(names)
    assert any(re.fullmatch(r'mmvad-.*\.dist-info/(licenses/)?LICENSE', n) for n in names)


def test_installed_package_imports(installed: Path, tmp_path: Path):
    """Every module imports from the installed copy, and every config of it can be read."""
    script = '\n'.join(
        [
            'import importlib, pathlib, pkgutil, mmvad',
            'def fail(name): raise',
            "for m in pkgutil.walk_packages(mmvad.__path__, 'mmvad.', onerror=fail):",
            '    importlib.import_module(m.name)',
            'from mmengine.config import Config',
            'home = pathlib.Path(mmvad.__file__).parent',
            "for path in sorted(home.glob('.mim/configs/**/*.py')):",
            '    Config.fromfile(path)',
            'print(mmvad.__version__, home)',
        ]
    )
    printed = run(sys.executable, '-c', script, cwd=tmp_path, PYTHONPATH=str(installed))
    (metadata,) = installed.glob('mmvad-*.dist-info')
    version = metadata.name.removeprefix('mmvad-').removesuffix('.dist-info')
    assert printed.splitlines()[-1] == f'{version} {installed / "mmvad"}'


def test_imported_libraries_are_declared(installed: Path):
    (mmvad,) = importlib.metadata.distributions(name='mmvad', path=[str(installed)])
    declared = {
        canonical(re.match(r'[\w.-]+', line)[0])
        for line in mmvad.requires or []
        # What only developers need is not for the package to import.
        if not re.search('extra == .dev', line)
    }
    providers = importlib.metadata.packages_distributions()
    undeclared = {
        name
        for name in third_party(ROOT / 'mmvad') | third_party(ROOT / 'tools')
        if not declared & {canonical(provider) for provider in providers.get(name, [])}
    }
    assert undeclared == set()


def canonical(distribution: str) -> str:
    return re.sub(r'[-_.]+', '-', distribution).lower()


def third_party(folder: Path) -> set[str]:
    """Top-level names of the libraries a folder's modules import, without scripts' siblings."""
    tops = set()
    for path in folder.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                tops |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                tops.add(node.module.split('.')[0])
    return tops - sys.stdlib_module_names - {'mmvad'} - {p.stem for p in folder.glob('*.py')}
