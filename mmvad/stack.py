"""Whether the packages below are of releases that mmvad is declared for, told when it is imported.

A release that does not fit comes up somewhere else, late and in other words: a missing attribute, a
missing operator, an assertion of another package. Nothing is imported here to find that out.
"""

from __future__ import annotations

import importlib.metadata as metadata
from importlib.util import find_spec
from pathlib import Path

# Why a range is as it is, where its package does not say so itself.
_BECAUSE = {
    'setuptools': 'mmengine.hub imports pkg_resources, which later releases lack',
    'torchvision': 'torch and torchvision are of matching releases',
}


def check_stack() -> None:
    """Refuse releases outside of the ranges that the installed mmvad declares.

    Packages that are not installed under the declared name are left alone: forks have names of
    their own, and a module that is missing says so.

    Raises:
        ImportError: Naming every such package, its release and the range.
    """
    troubles = _out_of_range()
    told = any(item.startswith('setuptools ') for item in troubles)
    if find_spec('pkg_resources') is None and not told:
        troubles.append(
            'no pkg_resources is installed, which mmengine.hub imports, expected '
            + _range('setuptools')
        )
    if troubles:
        raise ImportError(f'mmvad: {"; ".join(troubles)}')


def require_operators() -> None:
    """Refuse an mmcv without its compiled operators, for what needs them.

    Raises:
        ImportError: If it has none.
    """
    spec = find_spec('mmcv')
    if spec is None or not spec.origin or any(Path(spec.origin).parent.glob('_ext.*')):
        return
    name = next((name for name in ('mmcv', 'mmcv-lite') if _version(name)), 'mmcv')
    raise ImportError(
        f'{name} {_version(name) or "of unknown release"} has no compiled operators (mmcv._ext), '
        f'which mmdet needs; expected {_range("mmcv")} with them: MMCV_WITH_OPS=1 pip install '
        '--no-build-isolation --no-binary mmcv mmcv'
    )


def _requirements() -> list:
    """What the installed mmvad needs, extras aside; nothing where it is not installed."""
    from packaging.requirements import Requirement

    try:
        declared = metadata.requires('mmvad') or []
    except metadata.PackageNotFoundError:
        return []
    parsed = map(Requirement, declared)
    return [item for item in parsed if not item.marker or item.marker.evaluate(dict(extra=''))]


def _out_of_range() -> list[str]:
    troubles = []
    for item in _requirements():
        found = _version(item.name)
        if found is not None and not item.specifier.contains(found, prereleases=True):
            why = f' ({_BECAUSE[item.name]})' if item.name in _BECAUSE else ''
            troubles.append(f'{item.name} {found} is installed, expected {_range(item.name)}{why}')
    return troubles


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _range(name: str) -> str:
    """A package with its range, as pip takes it."""
    found = [item for item in _requirements() if item.name == name]
    return (
        f'{name}{",".join(sorted(map(str, found[0].specifier), reverse=True))}' if found else name
    )
