"""Imports between the rooms of mmvad go one way, and heavy optional parts stay where they are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mmvad'

# Room -> the other rooms it may import. The first level of the package names the rooms;
# evaluation.functional is one of its own, so that its functions stay free of everything else, and
# so is each method.
GROUND = {'registry', 'structures'}
SIDE = {
    'anomalies',
    'motion',
    'proposals',
    'captions',
    'datasets',
    'models',
    'evaluation',
    'visualization',
}
ALLOWED = {
    '': {'compat', 'stack', 'version'},
    'compat': {'registry'},
    'stack': set(),
    'version': set(),
    # What tools do around their work.
    'cli': {'version'},
    '__main__': {'cli'},
    'registry': set(),
    'structures': set(),
    'evaluation.functional': set(),
    'proposals': GROUND | {'stack'},
    'anomalies': GROUND,
    'motion': GROUND,
    'captions': GROUND | {'motion'},
    'models': GROUND,
    'datasets': GROUND | {'motion', 'evaluation.functional'},
    'evaluation': GROUND | {'evaluation.functional'},
    'visualization': GROUND,
    # What only prepares data: nothing of the flow needs it.
    'preparation': GROUND | {'cli', 'datasets', 'evaluation.functional'},
    # The engine knows no method: neither models nor detectors nor captioners.
    'engine': GROUND
    | {'cli', 'datasets', 'evaluation', 'evaluation.functional', 'visualization', ''},
    # Those of one method know the engine and what methods share, never another method.
    'methods.objects': GROUND | SIDE | {'evaluation.functional', 'engine', ''},
    'methods.localvad': GROUND | SIDE | {'evaluation.functional', 'engine', 'methods.objects', ''},
    'methods': {'methods.objects', 'methods.localvad'},
    'utils': {'registry', ''},
    'apis': GROUND | SIDE | {'evaluation.functional', 'engine', 'methods.objects', ''},
}

# Library -> the only files that may import it.
CONFINED = {
    'mmdet': {'proposals/detector.py', 'proposals/onnx_forward.py'},
    'open_clip': {'captions/clip_weights.py', 'datasets/transforms/tokenizer.py'},
}

# Parts of one room that must not know each other.
STRANGERS = [('mmvad.models.itam', 'mmvad.models.smm')]


def sources(package: Path) -> list[Path]:
    return sorted(p for p in package.rglob('*.py') if '__pycache__' not in p.parts)


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported(path: Path, package: Path) -> Iterator[str]:
    """Yields the full name of all that a file imports: modules, and names taken from them."""
    name = module_name(path, package)
    own_package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                above = own_package.split('.')[: len(own_package.split('.')) - node.level + 1]
                base = '.'.join([*above, base] if base else above)
            yield from (f'{base}.{alias.name}' for alias in node.names)


def room(name: str) -> str:
    """Room of a module or of a name in it; what no room holds belongs to the package itself, ''."""
    parts = name.split('.')[1:]
    if '.'.join(parts[:2]) in ALLOWED:
        return '.'.join(parts[:2])
    return parts[0] if parts and parts[0] in ALLOWED else ''


def violations(package: Path) -> list[str]:
    """What breaks the rules above, one line each."""
    found = []
    for path in sources(package):
        here, name = path.relative_to(package).as_posix(), module_name(path, package)
        first = name.split('.')[1:2]
        if first and first[0] not in ALLOWED:
            found.append(f'{here}: room {first[0]!r} is not in the table of rooms')
            continue
        for target in imported(path, package):
            top = target.split('.')[0]
            if top in CONFINED and here not in CONFINED[top]:
                found.append(f'{here}: imports {top}')
            if top != 'mmvad':
                continue
            if room(target) != room(name) and room(target) not in ALLOWED[room(name)]:
                found.append(f'{here}: imports {target}')
            for pair in STRANGERS:
                other = pair[1 - pair.index(name)] if name in pair else None
                if other and (target == other or target.startswith(f'{other}.')):
                    found.append(f'{here}: imports {target}')
    return found


def test_imports_go_one_way():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ('file', 'line'),
    [
        ('models/spatial.py', 'from mmvad.datasets import TubeDataset'),
        ('models/spatial.py', 'from ..evaluation.functional import auc'),
        ('models/heads/score.py', 'from ...captions.tokenizer import Tokenizer'),
        ('models/__init__.py', 'from mmvad import engine'),
        ('models/itam.py', 'from .smm import StateMachineModule'),
        ('models/smm.py', 'def f():\n    import mmvad.models.itam'),
        ('structures/object_tubes.py', 'from mmvad.registry import MODELS'),
        ('evaluation/functional/roc.py', 'from ..vad_metric import VADMetric'),
        ('registry.py', 'import mmvad.models'),
        ('datasets/tube_dataset.py', 'import mmdet.apis'),
        ('captions/__init__.py', 'from open_clip import tokenize'),
        ('helpers/__init__.py', 'import os'),
        ('engine/flow.py', 'from mmvad.models import LocalVAD'),
        ('engine/stage.py', 'from mmvad.methods import objects'),
        ('methods/objects/tubes.py', 'from mmvad.methods.localvad import SpatialStage'),
        ('datasets/frames.py', 'from mmvad.preparation.plaza import write_plaza'),
    ],
)
def test_violation_is_seen(tmp_path: Path, file: str, line: str):
    """Guards the guard: each forbidden import, alone in a package, is reported with its file."""
    path = tmp_path / 'mmvad' / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert [found.split(':')[0] for found in violations(tmp_path / 'mmvad')] == [file]


def test_allowed_imports_pass(tmp_path: Path):
    path = tmp_path / 'mmvad' / 'models' / 'localvad.py'
    path.parent.mkdir(parents=True)
    path.write_text('import torch\nfrom mmvad.registry import MODELS\nfrom .smm import SMM\n')
    assert violations(tmp_path / 'mmvad') == []


def test_every_package_folder_has_init():
    """A folder without ``__init__.py`` would be missing from the wheel."""
    folders = {parent for path in sources(PACKAGE) for parent in path.relative_to(ROOT).parents}
    folders.discard(Path('.'))
    assert [str(f) for f in sorted(folders) if not (ROOT / f / '__init__.py').is_file()] == []


def test_rooms_import_without_detector_and_clip():
    """Training from stored proposals and captions needs neither mmdet nor open_clip."""
    rooms = sorted(p.parent.name for p in PACKAGE.glob('*/__init__.py'))
    script = '\n'.join(
        [
            'import importlib, sys',
            "sys.modules['mmdet'] = sys.modules['open_clip'] = None  # importing either fails",
            f'for room in {rooms!r}:',
            "    importlib.import_module(f'mmvad.{room}')",
        ]
    )
    run = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_engine_names_no_method():
    """A second method takes no edit of it."""
    words = r'localvad|\bsmm\b|itam|caption|legendre|branch|proposer'
    named = [
        f'{path.name}:{number}: {line.strip()}'
        for path in sources(PACKAGE / 'engine')
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
        if re.search(words, line, re.IGNORECASE)
    ]
    assert named == []
