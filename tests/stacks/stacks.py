"""The stacks that ``make test-stacks`` builds: which Python, which releases, which packages.

All go without mmcv's compiled operators, which take 20 minutes each: mmcv is installed as plain
Python, so detectors of mmdet are left out, and everything else runs. ``--ops`` compiles them.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]

#: The OneDL project's forks of OpenMMLab packages, which import by the names of the originals.
#: There is none of mmaction2, whose limit on mmcv's release mmvad lifts for the fork.
ONEDL: Mapping[str, str] = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmdet': 'onedl-mmdetection',
}


@dataclass(frozen=True)
class Stack:
    """One environment.

    Args:
        name: Its name and folder.
        python: Version of Python, such as ``'3.12'``.
        lowest: Install the lowest releases that setup.py allows; else those of the constraints.
        forks: Package to the one that is installed in its place.
        about: For a person.
    """

    name: str
    python: str
    about: str
    lowest: bool = False
    forks: Mapping[str, str] = field(default_factory=dict)


STACKS = (
    Stack('py310', '3.10', 'the tested releases that fit Python 3.10'),
    Stack('py312', '3.12', 'the tested releases on Python 3.12'),
    Stack('lowest', '3.10', 'the lowest releases that setup.py allows', lowest=True),
    Stack('onedl', '3.11', 'the OneDL forks of mmengine, mmcv and mmdet', forks=ONEDL),
)


def declared(path: Path = REPO / 'setup.py') -> list[str]:
    """``INSTALL_REQUIRES`` of setup.py, which is read and not run."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == 'INSTALL_REQUIRES':
            return ast.literal_eval(node.value)
    raise ValueError(f'{path}: expected a list INSTALL_REQUIRES')


def package(requirement: str) -> str:
    """``'mmcv>=2.1.0,<2.2.0'`` to ``'mmcv'``."""
    for place, letter in enumerate(requirement):
        if letter in '<>=!~;[ ':
            return requirement[:place]
    return requirement


def lowest(requirement: str) -> str:
    """``'torch>=2.6,<3'`` to ``'torch==2.6'``, whose patch releases pip may choose from by ``.*``;
    what has no lower bound stays as it is."""
    name = package(requirement)
    for part in requirement[len(name) :].split(','):
        if part.startswith('>='):
            version = part[2:].strip()
            return f'{name}=={version}' + ('.*' if version.count('.') < 2 else '')
    return requirement


def requirements(stack: Stack) -> list[str]:
    """What is installed in a stack, mmcv and what replaces it left out."""
    wanted = []
    for requirement in declared():
        name = package(requirement)
        if name == 'mmcv':
            continue
        if name in stack.forks:
            wanted.append(stack.forks[name])
        else:
            wanted.append(lowest(requirement) if stack.lowest else requirement)
        if name == 'opencv-python' and stack.lowest:
            # mmaction2 asks for any, and both write the same cv2 folder.
            wanted.append(wanted[-1].replace(name, 'opencv-contrib-python'))
    return wanted


def mmcv(stack: Stack, ops: bool) -> list[str]:
    """What pip is told to install mmcv, with compiled operators or without.

    Without them it is a package of its own, with a ready wheel. The fork knows no MMCV_WITH_OPS: it
    compiles them where it is built beside torch, and an isolated build has none. What is built is
    not taken from pip's cache nor put there: it may have been for another torch.
    """
    fork = stack.forks.get('mmcv')
    built = ['--no-cache-dir'] if ops or fork else []
    beside_torch = ['--no-build-isolation'] if ops else []
    return [*built, *beside_torch, fork or ('mmcv' if ops else 'mmcv-lite') + '>=2.1.0,<2.2.0']


def constraints(stack: Stack) -> list[str]:
    """Lines of the constraints that hold for a stack."""
    if stack.lowest:
        return []
    lines = (REPO / 'requirements/constraints.txt').read_text().splitlines()
    kept = [line for line in lines if line and not line.startswith('#')]
    return [line for line in kept if package(line) not in (*stack.forks, *stack.forks.values())]
