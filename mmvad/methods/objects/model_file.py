"""The complete model in one file: weights, what was fitted, and the config that shaped it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from reprlib import repr as brief
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import Registry

from mmvad import __version__, release
from mmvad.engine.components import is_registered, registry_of, shaping_settings
from mmvad.engine.configs import with_names
from mmvad.models import ObjectVAD
from mmvad.registry import MODELS, PROPOSERS, STAGES, TRANSFORMS
from mmvad.structures import ObjectOrigins, atomic_path, file_digest, read_checkpoint
from mmvad.structures.array_files import damage_named
from mmvad.structures.checkpoints import is_plain

from .alarms import NormalScores

# What a file holds, as `shaping_settings` says it.
_HASH = re.compile('(local-dir:)?[0-9a-f]{64}')
# Arrays of ObjectOrigins, and of NormalScores, as they are stored.
_ORIGINS = dict(owners=np.int32, frames=np.int32, boxes=np.float32)
# Parts of the config that name files, of which the model file notes what they hold.
_PARTS = ('model', 'proposer')
_NORMAL = dict(_ORIGINS, lengths=np.int32, rates=np.float32)


def write_model_file(
    path: Path,
    model: ObjectVAD,
    cfg: Config,
    seed: int,
    checked: Mapping[str, Any] | None = None,
    origins: ObjectOrigins | None = None,
    normal: NormalScores | None = None,
) -> None:
    """Write a trained and calibrated model, whole or not at all.

    Args:
        path: The file.
        model: What to write.
        cfg: The config that shaped it.
        seed: Of the run.
        checked: What a self-check found.
        origins: Where the objects are from that it was calibrated on.
        normal: Scores of normal video that it has not seen.
    """
    parts = {name: _shape(cfg[name]) for name in _PARTS if cfg.get(name)}
    meta = dict(
        mmvad_version=__version__, config=config_text(cfg), seed=seed, shape=json.dumps(parts)
    )
    if checked is not None:
        meta['self_check'] = json.dumps(checked)
    if origins is not None:
        meta['origins'] = dict(
            videos=json.dumps(origins.videos),
            **{name: torch.from_numpy(getattr(origins, name)) for name in _ORIGINS},
        )
    if normal is not None:
        meta['normal'] = dict(
            step=normal.step,
            scores={name: torch.from_numpy(values) for name, values in normal.scores.items()},
            **{name: torch.from_numpy(getattr(normal, name)) for name in _NORMAL},
        )
    with atomic_path(path) as tmp:
        torch.save(dict(state_dict=model.cpu().state_dict(), meta=meta), tmp)


def read_model_file(path: str | Path) -> tuple[Config, dict[str, Any]]:
    """The config in a model file, and the file's content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no model file with a config, or of another version.
    """
    content = read_checkpoint(path)
    meta = content.get('meta')
    if not isinstance(meta, dict) or not isinstance(meta.get('config'), str):
        raise ValueError(
            f'{path}: a checkpoint without its config; expected the file that training leaves at '
            'the top of its work dir (localvad.pth), or the config beside the checkpoint'
        )
    version = str(meta.get('mmvad_version', ''))
    if release(version) != release(__version__):
        # A damaged file may say anything.
        told = ascii(version[:20]).strip("'") if version else 'of unknown version'
        raise ValueError(
            f'{path}: made by mmvad {told}, this is {__version__}; '
            'train again, or install that version'
        )
    try:
        made_by = json.loads(meta['config'])
        _refuse_foreign_types(made_by)
        return Config(made_by), content
    # Of a config that is not as it was written: keys that MMEngine reserves, and the like.
    except Exception as error:
        text = ' '.join(str(error).split())[:200]
        raise ValueError(f'{path}: meta.config: not the config of a model: {text}') from error


def self_check_of(path: str | Path) -> dict[str, Any] | None:
    """What a self-check found when the model in a file was calibrated; None without one.

    Raises:
        ValueError: If it is damaged.
    """
    text = read_model_file(path)[1]['meta'].get('self_check')
    if text is None:
        return None
    with damage_named(f'{path}: meta.self_check', 'JSON of a self-check'):
        checked = json.loads(text)
    if not isinstance(checked, dict):
        raise ValueError(f'{path}: meta.self_check: not JSON of a self-check')
    return checked


def origins_of(path: str | Path) -> ObjectOrigins | None:
    """Where the training objects are from that the model in a file was calibrated on; None where
    the file does not say.

    Raises:
        ValueError: If it is damaged.
    """
    stored = read_model_file(path)[1]['meta'].get('origins')
    if stored is None:
        return None
    with damage_named(f'{path}: meta.origins', 'where objects are from'):
        arrays = {name: _array(stored[name], kind) for name, kind in _ORIGINS.items()}
        return ObjectOrigins(tuple(map(str, json.loads(stored['videos']))), **arrays)


def normal_scores_of(path: str | Path) -> NormalScores | None:
    """Scores of normal video that the model in a file has not seen; None where the file holds none.

    Raises:
        ValueError: If it is damaged.
    """
    stored = read_model_file(path)[1]['meta'].get('normal')
    if stored is None:
        return None
    with damage_named(f'{path}: meta.normal', 'scores of normal video'):
        arrays = {name: _array(stored[name], kind) for name, kind in _NORMAL.items()}
        scores = {str(name): _array(v, np.float32) for name, v in stored['scores'].items()}
        return NormalScores(scores=scores, step=int(stored['step']), **arrays)


def _array(value: torch.Tensor, kind: type) -> np.ndarray:
    if not is_plain(value):
        raise ValueError('expected dense tensors of real numbers')
    return value.numpy().astype(kind)


def config_text(cfg: Config) -> str:
    """A config as a model file holds it: as JSON, which keeps the order and runs no code when it is
    read.

    Raises:
        ValueError: If no model file with it could be read; the message names the key.
    """
    named = with_names(cfg.to_dict())
    _refuse_foreign_types(named)
    try:
        return json.dumps(named)
    except TypeError as error:
        raise ValueError(f'config: {error}, which the model file holds it as') from error


def _refuse_foreign_types(made_by: Any) -> None:
    """Only components are built of what a file says: MMEngine's registries call any function of
    any module that a ``type`` names.

    Raises:
        ValueError: Naming the key and the type.
    """
    if not isinstance(made_by, dict):
        raise ValueError(f'expected a dict, got {brief(made_by)}')
    _check_types(made_by.get('model'), 'model', (MODELS, TRANSFORMS))
    _check_types(made_by.get('proposer'), 'proposer', (PROPOSERS,))
    for name, stage in (made_by.get('stages') or {}).items():
        # What a stage is given is built when it is run, by a config that is not from a file.
        if isinstance(stage, dict):
            _check_types(dict(type=stage.get('type')), f'stages.{name}', (STAGES,))


def _check_types(value: Any, where: str, registries: tuple[Registry, ...]) -> None:
    """Refuse what is no component of ``registries``, or of that which the key above it says."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            _check_types(item, f'{where}.{number}', registries)
    if not isinstance(value, dict):
        return
    if 'type' in value and not any(is_registered(str(value['type']), r) for r in registries):
        raise ValueError(
            f'{where}: type {str(value["type"])[:100]!r} is no registered component; import the '
            'module that registers it, where you trust it'
        )
    for key, item in value.items():
        if key == 'cfg_options':
            _refuse_types(item, f'{where}.{key}')
        else:
            own = registry_of(key)
            _check_types(item, f'{where}.{key}', registries if own is None else (own, *registries))


def _refuse_types(options: Any, where: str) -> None:
    """Refuse dotted options of another config that would have it build something else."""
    if isinstance(options, list):
        options = dict(enumerate(options))
    if not isinstance(options, dict):
        return
    for key, item in options.items():
        if found := {'type', '_delete_'} & set(str(key).split('.')):
            raise ValueError(
                f'{where}: {str(key)[:100]!r} sets a {found.pop()!r}, expected values only; put it '
                'into a detector config file'
            )
        _refuse_types(item, f'{where}.{key}')


def build_model(cfg: Mapping[str, Any], path: str | Path | None = None) -> ObjectVAD:
    """The model of a config, with the weights of a model file if one is given.

    Raises:
        ValueError: If the file was made by another ``model`` config; the message names the first
            key that differs.
    """
    if path is None:
        return MODELS.build(cfg['model'])
    made_by, content = read_model_file(path)
    there = _noted(content, path).get('model', _shape(made_by.model))
    if difference := _difference(there, _shape(cfg['model']), 'model'):
        raise ValueError(f'{path}: made by another config: {difference}')
    return trained_model(made_by, content, path)


def trained_model(made_by: Config, content: Mapping[str, Any], path: str | Path) -> ObjectVAD:
    """The model in a model file that was read; ``path`` is named where its weights do not fit.

    Raises:
        ValueError: If they do not, or a file that its config names holds something else by now; of
            the proposer's, for which another may be given, this is a warning.
    """
    noted = _noted(content, path)
    for part in _PARTS:
        now = _shape(made_by[part]) if part in noted and made_by.get(part) else None
        if key := next(_changed(noted.get(part), now, part), None):
            text = f'{path}: {key}: the file holds something else than when the model was made'
            if part == 'model':
                raise ValueError(text)
            print_log(text, 'current', logging.WARNING)
    # By the file's own config: another that is equal may have its parts in another order.
    with damage_named(f'{path}: meta.config: model', 'of arguments that it takes'):
        model = MODELS.build(made_by.model)
    if not isinstance(model, ObjectVAD):
        raise ValueError(f'{path}: meta.config: model: a {type(model).__name__} scores no objects')
    return model.load_trained(content['state_dict'], path)


def _shape(model: Any) -> Any:
    return shaping_settings(model, file_digest)


def _noted(content: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """What parts of the config said when the model was made, with what files held; empty of a file
    that does not say."""
    text = content['meta'].get('shape', '{}')
    with damage_named(f'{path}: meta.shape', 'JSON of a config'):
        noted = json.loads(text)
    if not isinstance(noted, dict):
        raise ValueError(f'{path}: meta.shape: not JSON of a config')
    return noted


def _changed(there: Any, here: Any, key: str) -> Iterator[str]:
    """Keys at which two hashes of files differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted(there.keys() & here.keys()):
            yield from _changed(there[name], here[name], f'{key}.{name}')
    elif isinstance(there, list) and isinstance(here, list):
        for number, (one, other) in enumerate(zip(there, here, strict=False)):
            yield from _changed(one, other, f'{key}.{number}')
    elif there != here and all(_HASH.fullmatch(str(value)) for value in (there, here)):
        yield key


def _difference(there: Any, here: Any, key: str) -> str:
    """The first key in which two configs differ, in words; empty where they are equal."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted(there.keys() | here.keys()):
            if name not in there or name not in here:
                where = 'here' if name in here else 'there'
                return f'{key}.{name} is only {where}'
            if found := _difference(there[name], here[name], f'{key}.{name}'):
                return found
        return ''
    if there != here and all(_HASH.fullmatch(str(value)) for value in (there, here)):
        return f'{key}: the file holds something else than when the model was made'
    return '' if there == here else f'{key} is {there!r} there and {here!r} here'
