"""What `pip install` gives a user, seen from a wheel made of a source distribution."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import TINY_PLAZA

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BUILD_INPUTS = [
    'setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md', 'CHANGELOG.md',
    'model-index.yml', 'mmvad', 'configs', 'tools',
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
    """Relative paths of a folder's files, bytecode and an editable install's links aside."""
    return {
        p.relative_to(folder).as_posix()
        for p in folder.rglob('*')
        if p.is_file() and not {'__pycache__', '.mim'} & set(p.parts)
    }


def copy_source(source: Path) -> None:
    source.mkdir()
    for name in BUILD_INPUTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, source)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from an unpacked source distribution, away from the working tree."""
    tmp = tmp_path_factory.mktemp('build')
    source = tmp / 'source'
    copy_source(source)
    # What an editable install leaves there.
    links = source / 'mmvad' / '.mim'
    links.mkdir(exist_ok=True)
    (links / 'old.yml').symlink_to('../../model-index.yml')
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


def test_wheel_holds_the_index_and_no_links(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert 'mmvad/.mim/model-index.yml' in names
    assert 'mmvad/.mim/old.yml' not in names


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


# ---------------------------------------------------------------- names in OpenMMLab

TINY = """
_base_ = 'mmvad::attributes/plaza.py'
plaza = {plaza}
train_dataset = dict(data_root={root!r}, plaza=plaza)
test_dataset = dict(data_root={root!r}, plaza=plaza)
"""


@pytest.fixture(scope='module')
def editable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with an editable install, beside the libraries of this."""
    root = tmp_path_factory.mktemp('editable')
    copy_source(root / 'source')
    run(sys.executable, '-m', 'venv', '--without-pip', root / 'venv', cwd=root)
    (site,) = (root / 'venv/lib').glob('*/site-packages')
    # Later than what is installed there.
    (site / 'zz.pth').write_text(sysconfig.get_path('purelib'))
    python = root / 'venv/bin/python'
    flags = ['--no-index', '--no-deps', '--no-build-isolation']
    run(*PIP, '--python', python, 'install', *flags, '-e', root / 'source', cwd=root)
    return python


def python_of(kind: str, request: pytest.FixtureRequest) -> tuple[Path, dict[str, str]]:
    if kind == 'editable':
        return request.getfixturevalue('editable'), dict(PYTHONPATH='')
    return Path(sys.executable), dict(PYTHONPATH=str(request.getfixturevalue('installed')))


@pytest.mark.parametrize('kind', ['wheel', 'editable'])
def test_configs_and_models_by_name(kind: str, request, tmp_path: Path):
    """mmengine.hub's own words, after ``import mmvad``, from an empty folder."""
    python, env = python_of(kind, request)
    (tmp_path / 'leaf.py').write_text(
        "_base_ = 'mmvad::localvad/plaza.py'\nrandomness = dict(seed=5)"
    )
    script = """
import mmvad
from mmengine.config import Config
from mmengine.hub import get_config, get_model
cfg = get_config('mmvad::localvad/plaza.py')
leaf = Config.fromfile('leaf.py')
assert leaf.model.tube.strides == cfg.model.tube.strides and leaf.randomness.seed == 5
base = get_config('mmvad::_base_/default_runtime.py')  # of no metafile
assert base.default_scope == 'mmvad'
from mmvad.engine import read_config
assert read_config('mmvad::localvad/plaza.py').work_dir == 'work_dirs/plaza'
model = get_model('mmvad::localvad/plaza.py')
print(type(model).__name__, model.scorer is not None)
"""
    assert run(python, '-c', script, cwd=tmp_path, **env).splitlines()[-1] == 'LocalVAD True'


@pytest.mark.parametrize('kind', ['wheel', 'editable'])
def test_mim_searches(kind: str, request, tmp_path: Path):
    pytest.importorskip('mim')
    python, env = python_of(kind, request)
    search = ['-m', 'mim', 'search', 'mmvad', '--json', 'found.json']
    run(python, *search, cwd=tmp_path, **env)
    found = json.loads((tmp_path / 'found.json').read_text())
    configs = {p.relative_to(ROOT).as_posix() for p in (ROOT / 'configs').glob('*/*.py')}
    indexed = set(found['config'].values())
    assert indexed == {c for c in configs if not re.match('configs/(_base_|rpn|.*/base)', c)}
    # The figure stands in the README.
    assert found['ucsd ped2/micro-auc']['localvad_ped2_cpu'] == 97.4


def test_mim_trains_and_tests(installed: Path, plaza: Path, tmp_path: Path):
    """From an empty folder with the wheel alone, with a config whose base is named."""
    pytest.importorskip('mim')
    (tmp_path / 'mine.py').write_text(TINY.format(plaza=TINY_PLAZA, root=str(plaza)))

    def mim(*words: str | Path) -> str:
        return run(sys.executable, '-m', 'mim', *words, cwd=tmp_path, PYTHONPATH=str(installed))

    # A file that names a base of mmvad is read by mmvad's tools, which know the name.
    mim('train', 'mmvad', 'mine.py', '--work-dir', 'work', '--seed', '0')
    trained = json.loads((tmp_path / 'work/metrics.json').read_text())
    model = tmp_path / 'work/attributes.pth'
    mim('test', 'mmvad', 'mine.py', '--checkpoint', model, '--work-dir', 'tested')
    tested = json.loads((tmp_path / 'tested/metrics.json').read_text())
    assert 0 <= trained['auc/micro'] <= 100
    assert {**trained, 'seconds': 0} == {**tested, 'seconds': 0}
    video = next((plaza / 'testing/frames').iterdir())
    command = [installed / 'bin/mmvad', 'infer', model, video]
    assert f'{video.name}: 40 frames' in run(*command, cwd=tmp_path, PYTHONPATH=str(installed))
