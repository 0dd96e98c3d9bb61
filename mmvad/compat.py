"""Repairs of the libraries below, applied when ``mmvad`` is imported.

Each repair says what is broken, why this mends it and when it can go. A repair must cost nothing
until the broken part is asked for, so nothing here imports torch or an OpenMMLab package up front.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module, metadata
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


@contextmanager
def onedl_mmcv_fits() -> Iterator[None]:
    """Lets mmaction2 be imported with OneDL's fork of mmcv.

    mmaction2 1.2.0, of which there is no such fork, asserts an mmcv below 2.2, and the fork's first
    release is 2.3.0. While mmaction2 looks, it sees the release that the fork comes from. Any other
    mmcv is left to the assertion. It can go when there is an mmaction2 for the fork.
    """
    try:
        metadata.version('onedl-mmcv')
    except metadata.PackageNotFoundError:
        yield
        return
    mmcv = import_module('mmcv')
    release, mmcv.__version__ = mmcv.__version__, '2.1.0'
    try:
        yield
    finally:
        mmcv.__version__ = release


# Module to what is done as soon as it is loaded.
_AFTERWARDS = {
    'mmengine.config.utils': add_package_name,
    'mmengine.registry': add_registries,
}

# Module to what holds while it is loaded.
_MEANWHILE = {'mmaction': onedl_mmcv_fits}


class AfterwardsFinder(MetaPathFinder):
    """Does something while a module below is loaded or after it, which is found as ever."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Knows these modules, by way of those that find modules in folders."""
        if fullname not in (*_AFTERWARDS, *_MEANWHILE):
            return None
        if (spec := PathFinder.find_spec(fullname, path)) is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            with _MEANWHILE.get(fullname, nullcontext)():
                run(module)
            if fullname in _AFTERWARDS:
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
