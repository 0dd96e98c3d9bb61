"""Reading the config of a staged run, with what the command line puts over it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

from mmvad.registry import STAGES
from mmvad.structures import NoSpaceError

from .components import component_class
from .config_check import check_options
from .stage import BaseStage, part_of, plain

#: What an MMEngine runner takes from the config, and the engine passes on.
RUNTIME = ('default_hooks', 'env_cfg', 'visualizer', 'log_processor', 'log_level', 'randomness')

# Top-level keys of a staged config that the engine itself knows; stages name more.
_KNOWN = (
    *RUNTIME,
    'runner_type',
    'default_scope',
    'train_dataset',
    'test_dataset',
    'model',
    'stages',
    'stage',
    'work_dir',
    'load_from',
    'resume',
    'reuse_from',
    'launcher',
    'custom_imports',
)

_REFERENCE = re.compile(r'\$\{([\w.]+)\}')


def with_names(value: Any) -> Any:
    """A part of a config as text and JSON can hold it: classes by their full names, which
    MMEngine's registries know."""
    if isinstance(value, Mapping):
        return {key: with_names(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(with_names, value))
    named = hasattr(value, '__qualname__')
    return f'{value.__module__}.{value.__qualname__}' if named else value


def known_keys(cfg: Config | ConfigDict) -> set[str]:
    """Top-level keys that a config may have besides variables of its own: those that the engine
    reads, and those that the stages it names do."""
    stages = [
        settings for settings in part_of(cfg, 'stages').values() if isinstance(settings, Mapping)
    ]
    classes = (component_class(settings.get('type'), STAGES) for settings in stages)
    read = (key for cls in classes if cls and issubclass(cls, BaseStage) for key in cls.config)
    return {*_KNOWN, *(key.split('.')[0] for key in read)}


def resolve_references(cfg: Config | ConfigDict) -> None:
    """Put in place of every value ``'${dotted.key}'`` of a config what stands at that key, so that
    a fact has one place that an option overrides.

    Raises:
        ValueError: If there is nothing at the key, or keys refer to each other in a circle.
    """

    def resolved(value: Any, where: str, above: tuple[str, ...] = ()) -> Any:
        if isinstance(value, dict):
            return {key: resolved(item, f'{where}.{key}', above) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(resolved(item, where, above) for item in value)
        found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if not found:
            return value
        key = found[1]
        if key in above:
            raise ValueError(f'{where}: refers to {key}, which refers to itself')
        try:
            part = plain(part_of(cfg, key))
        except ValueError as error:
            raise ValueError(f'{where}: refers to {key}: {error}') from error
        return resolved(part, where, (*above, key))

    for key in list(cfg):
        value = cfg[key]
        if isinstance(value, (dict, list, tuple, str)):
            cfg[key] = resolved(plain(value), key)


def read_config(
    path: str | Path, options: Mapping[str, Any] | None = None, work_dir: str | None = None
) -> Config:
    """A config file with the options of a command line.

    Args:
        path: The file, or ``mmvad::attributes/plaza.py`` of an installed package.
        options: Dotted keys to values, of ``--cfg-options``.
        work_dir: Of ``--work-dir``; by default the config's own or ``work_dirs/<config>``.

    Raises:
        OSError: If there is no such file.
        ValueError: If it cannot be read, or a staged config has nothing that an option could mean.
    """
    try:
        cfg = get_config(str(path)) if '::' in str(path) else Config.fromfile(path)
    except Exception as error:  # a config is code of the user's, and may raise anything
        if isinstance(error, OSError):
            if not Path(path).is_file():
                raise FileNotFoundError(f'{path}: no such config file') from error
            # MMEngine reads a copy, of which the system says neither name nor place.
            if full := NoSpaceError.of(error, tempfile.gettempdir()):
                raise full from error
        kind = type(error).__name__
        raise ValueError(f'{path}: cannot be read as a config: {kind}: {error}') from error
    if options:
        if 'runner_type' in cfg:
            check_options(options, cfg, known_keys(cfg))
        cfg.merge_from_dict(dict(options))
    if 'runner_type' in cfg:
        resolve_references(cfg)
    if work_dir:
        cfg.work_dir = work_dir
    elif not cfg.get('work_dir'):
        cfg.work_dir = str(Path('work_dirs') / Path(path).stem)
    return cfg
