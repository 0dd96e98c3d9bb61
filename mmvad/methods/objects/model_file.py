"""The complete model in one file: weights, what was fitted, and the config that shaped it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmvad import __version__
from mmvad.engine.components import shaping_settings
from mmvad.models import ObjectVAD
from mmvad.registry import MODELS
from mmvad.structures import atomic_path, file_digest, read_checkpoint


def write_model_file(path: Path, model: ObjectVAD, cfg: Config, seed: int) -> None:
    """Write a trained and calibrated model, whole or not at all."""
    # As JSON, which keeps the order and runs no code when it is read.
    text = json.dumps(_named(cfg.to_dict()))
    meta = dict(mmvad_version=__version__, config=text, seed=seed)
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
    if _release(version) != _release(__version__):
        raise ValueError(
            f'{path}: made by mmvad {version or "of unknown version"}, this is {__version__}; '
            'train again, or install that version'
        )
    try:
        return Config(json.loads(meta['config'])), content
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f'{path}: meta.config: not the JSON of a config: {error}') from error


def _named(value: Any) -> Any:
    """A config as JSON holds it: classes by their full names, which MMEngine's registries know."""
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_named(item) for item in value]
    return f'{value.__module__}.{value.__qualname__}' if callable(value) else value


def _release(version: str) -> list[str]:
    return version.split('.')[:2]


def build_model(cfg: Mapping[str, Any], path: str | Path | None = None) -> ObjectVAD:
    """The model of a config, with the weights of a model file if one is given.

    Raises:
        ValueError: If the file was made by another ``model`` config; the message names the first
            key that differs.
    """
    if path is None:
        return MODELS.build(cfg['model'])
    made_by, content = read_model_file(path)
    if difference := _difference(_shape(made_by.model), _shape(cfg['model']), 'model'):
        raise ValueError(f'{path}: made by another config: {difference}')
    return trained_model(made_by, content, path)


def trained_model(made_by: Config, content: Mapping[str, Any], path: str | Path) -> ObjectVAD:
    """The model in a model file that was read; ``path`` is named where its weights do not fit."""
    # By the file's own config: another that is equal may have its parts in another order.
    return MODELS.build(made_by.model).load_trained(content['state_dict'], path)


def _shape(model: Any) -> Any:
    return shaping_settings(model, file_digest)


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
    return '' if there == here else f'{key} is {there!r} there and {here!r} here'
