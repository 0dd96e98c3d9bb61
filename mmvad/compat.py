"""Repairs of the libraries below, applied when ``mmvad`` is imported.

Each repair says what is broken, why this mends it and when it can go. A repair must cost nothing
until the broken part is asked for, so nothing here imports torch or an OpenMMLab package up front.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_DRN_PACKAGE = 'mmaction.models.localizers.drn'
_DRN_MODULE = f'{_DRN_PACKAGE}.drn'


class MissingDRNFinder(MetaPathFinder, Loader):
    """Stands in for the module of mmaction2 that its 1.2.0 wheel leaves out.

    ``mmaction/models/localizers/drn`` has no ``__init__.py`` in mmaction2's sources, so their
    ``find_packages`` skips it, while ``mmaction.models.localizers`` imports ``DRN`` from
    it: ``import mmaction.models`` raises ``ModuleNotFoundError`` (mmaction2's issue 2714).

    The finder stands last in ``sys.meta_path``, where Python comes only when no other finder knows
    the module: an mmaction2 that has the real one is left as it is. It can go when the lowest
    mmaction2 that mmvad allows ships the module.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Knows the two missing names and nothing else."""
        if fullname not in (_DRN_PACKAGE, _DRN_MODULE):
            return None
        return ModuleSpec(fullname, self, is_package=fullname == _DRN_PACKAGE)

    def exec_module(self, module: ModuleType) -> None:
        """Puts a ``DRN`` into the module that says what is wrong when somebody builds it."""
        if module.__name__ == _DRN_PACKAGE:
            return

        from mmaction.registry import MODELS

        @MODELS.register_module()
        class DRN:
            """Placeholder: the installed mmaction2 has no DRN."""

            def __init__(self, *args: object, **kwargs: object) -> None:
                raise ImportError(
                    f'the installed mmaction2 lacks {_DRN_MODULE} (its wheels leave it out, see '
                    'mmaction2 issue 2714); install mmaction2 from its sources to use DRN'
                )

        module.DRN = DRN


def add_package_name() -> None:
    """Puts mmvad into MMEngine's list of packages whose configs have names.

    ``mmengine.hub.get_config('mmvad::...')`` and ``_base_ = 'mmvad::...'`` look the package up in
    ``mmengine.config.utils.MODULE2PACKAGE``, which is written out and knows OpenMMLab's own alone.
    It can go when MMEngine takes every installed package.
    """
    sys.modules['mmengine.config.utils'].MODULE2PACKAGE.setdefault('mmvad', 'mmvad')


def add_registries() -> None:
    """Makes mmvad's registries known, so that ``mmvad.SMMHead`` is found in any scope.

    Of another project's config, ``custom_imports`` imports the package alone, and MMEngine finds
    components of a scope only where its registries are there.
    """
    import_module('mmvad.registry')


# Module of MMEngine to what is done as soon as it is loaded.
_AFTERWARDS = {
    'mmengine.config.utils': add_package_name,
    'mmengine.registry': add_registries,
}


class AfterwardsFinder(MetaPathFinder):
    """Does something when MMEngine loads a module, which is found as ever."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Knows these modules, by way of those that find modules in folders."""
        if fullname not in _AFTERWARDS or (spec := PathFinder.find_spec(fullname, path)) is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            _AFTERWARDS[fullname]()

        spec.loader.exec_module = exec_module
        return spec


def apply_repairs() -> None:
    """Applies every repair; calling it again changes nothing."""
    if not any(isinstance(finder, AfterwardsFinder) for finder in sys.meta_path):
        # First, because others find the modules as well.
        sys.meta_path.insert(0, AfterwardsFinder())
        for name, act in _AFTERWARDS.items():
            if name in sys.modules:
                act()
    if not any(isinstance(finder, MissingDRNFinder) for finder in sys.meta_path):
        sys.meta_path.append(MissingDRNFinder())
