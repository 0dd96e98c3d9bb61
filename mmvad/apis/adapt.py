"""More normal video for a model that is there: what it knows stays, and is not measured again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvad.datasets import FrameSource, find_videos
from mmvad.engine import read_config
from mmvad.registry import RUNNERS
from mmvad.structures import WorkDir, atomic_path

from .learn import Learned, learned, survey
from .model_folder import MODELS_ROOT, find_model_file, model_folder


def adapt(
    model: str,
    folders: Sequence[str | Path],
    name: str | None = None,
    root: str | Path = MODELS_ROOT,
    false_alarms: float = 1.0,
    options: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = print,
) -> Learned:
    """Take new normal video into a model, which gives another model; the one before stays.

    Only what is new is looked through. Terms, tails and the alarm threshold are then fitted to all
    of it, by the same code and the same rule as in training, and so is the self-check.

    Args:
        model: Name that :func:`learn` gave it, or an earlier call of this.
        folders: Videos and folders of them, in which nothing happens, as for :func:`learn`.
        name: Of the new model; None: ``yard-2`` after ``yard``, the next number that is free. One
            that was stopped goes on.
        root: Folder of models.
        false_alarms: An hour, for the threshold that is told.
        options: Settings over those of the model, dotted keys to values. Those that shape what is
            measured have all of it measured anew.
        tell: Takes what a person should know before it begins.

    Raises:
        FileNotFoundError: If there is no such model or folder, or a recording of the model is gone.
        ValueError: If the model is not one of :func:`learn`'s, a folder is part of it already, or
            its videos are of another size.
    """
    place = model_folder(model, root)
    find_model_file(place)
    known = WorkDir(place).config(model)
    if not known.is_file() or not (place / 'config' / known.name).is_file():
        raise ValueError(
            f'{place}: not left by mmvad train FOLDER --name {model}, which keeps its config'
        )
    held = _recordings(read_config(known), known)
    added = _added(folders, held, model)
    for folder in added.values():
        for line in survey(folder):
            tell(line)
    _refuse_other_sizes(added, held, model)
    new = _place(model, name, root)
    # A run leaves the whole config, bases in it, at the top of its work dir, by the same name.
    config = new / 'config' / f'{new.name}.py'
    with atomic_path(config) as tmp:
        tmp.write_text(_text(known, place, new, added, model), encoding='utf-8')
    cfg = read_config(config, options)
    # Of the last run of the model, whatever it was.
    cfg.stage, cfg.load_from, cfg.resume = None, None, False
    RUNNERS.build(cfg).train()
    return learned(find_model_file(new), config, false_alarms)


def _recordings(cfg: Config, path: Path) -> dict[str, Path]:
    """Name to folder of what a model was trained on; that of the first is ''."""
    videos = cfg.train_dataset
    if videos.get('ann_file') or set(videos.get('data_prefix') or {}) != {'any'}:
        raise ValueError(f'{path}: train_dataset: expected recordings of data_prefix=dict(any=...)')
    held = {'': Path(videos.data_root)}
    held |= {name: Path(folder) for name, folder in (videos.get('more_roots') or {}).items()}
    for folder in held.values():
        if not folder.exists():
            raise FileNotFoundError(
                f'{folder}: the recordings that the model was trained on are gone; they are looked '
                'into once more, for the self-check. Train a model on what there is'
            )
    return held


def _added(folders: Sequence[str | Path], held: Mapping[str, Path], model: str) -> dict[str, Path]:
    """Name to folder of what comes new."""
    if not folders:
        raise ValueError('folders: expected recordings to add')
    added: dict[str, Path] = {}
    for folder in map(Path, folders):
        if not folder.exists():
            raise FileNotFoundError(f'{folder}: no such video or folder')
        real = folder.resolve()
        for other in (*held.values(), *added.values()):
            inside = other.resolve()
            if real == inside or inside in real.parents or real in inside.parents:
                raise ValueError(f'{folder}: is part of {model} already, by {other}')
        stem = name = real.stem if real.is_file() else real.name
        number = 1
        while name in held or name in added:
            number += 1
            name = f'{stem}-{number}'
        added[name] = real
    return added


def _refuse_other_sizes(added: Mapping[str, Path], held: Mapping[str, Path], model: str) -> None:
    """Sizes and speeds are measured in pixels, and mean something else there."""
    before = set().union(*map(_sizes, held.values()))
    for folder in added.values():
        if other := sorted(_sizes(folder) - before):
            raise ValueError(
                f'{folder}: has videos of {", ".join(other)} pixels, {model} was trained on '
                f'{", ".join(sorted(before))}; sizes and speeds are measured in pixels, so train a '
                'model of its own'
            )


def _sizes(folder: Path) -> set[str]:
    sizes = set()
    for path in find_videos(folder).values():
        try:
            height, width = FrameSource(path).frame_shape
        except (ValueError, OSError):
            continue  # left out, and told
        sizes.add(f'{width} x {height}')
    return sizes


def _place(model: str, name: str | None, root: str | Path) -> Path:
    """The folder of the new model."""
    if name is not None:
        place = model_folder(name, root)
        if place == model_folder(model, root):
            raise ValueError(f'name: {name} is the model that is adapted, which stays as it is')
        return place
    stem, _, number = re.fullmatch(r'(.+?)(-(\d{1,9}))?', model).groups()
    number = int(number or 1) + 1
    while any((place := model_folder(f'{stem}-{number}', root)).glob('*.pth')):
        number += 1
    return place


def _text(known: Path, place: Path, new: Path, added: Mapping[str, Path], model: str) -> str:
    """The config of the new model."""
    roots = {name: str(folder) for name, folder in added.items()}
    lines = [
        f'# {model}, and recordings that came later. What {model} measured is taken from there.',
        f'_base_ = {str(known.resolve())!r}',
        f'work_dir = {str(new.resolve())!r}',
        f'train_dataset = dict(more_roots={roots!r})',
        f'reuse_from = {str(place.resolve())!r}',
    ]
    return '\n'.join([*lines, ''])
