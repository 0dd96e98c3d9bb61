"""Misspelt keys of a config, found before anything is built or read.

MMEngine notices an argument that nobody takes when it builds the component, maybe hours into a run,
and a key that nobody asks for never.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper, OptimWrapper, _ParamScheduler
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, TestLoop, ValLoop
from torch.nn import Module
from torch.utils.data import DataLoader

from .components import accepted_arguments, argument_names, component, registered_names, registry_of

# The packages whose components build a part with just what its dict says; what those of other
# projects take out first is not known here.
_OWN = ('mmvad.', 'mmengine.', 'mmcv.')
# How alike a name must be to one that is known to count as that one misspelt.
_ALIKE = 0.8

_LOADER = accepted_arguments(DataLoader) | {'num_batch_per_epoch', 'disable_subprocess_warning'}
_SECTIONS = {
    'randomness': ('seed', 'deterministic', 'diff_rank_seed'),
    'env_cfg': ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
}
# What MMEngine builds of a dict without a type.
_DEFAULTS = {
    'train_cfg': EpochBasedTrainLoop,
    'val_cfg': ValLoop,
    'test_cfg': TestLoop,
    'log_processor': LogProcessor,
    'optim_wrapper': OptimWrapper,  # if it has an optimizer; several are given by name
}
# What MMEngine takes out of the dict before it calls the constructor.
_TAKEN_OUT = (
    (Hook, ('priority',)),
    (_ParamScheduler, ('convert_to_iter_based',)),
    (BaseOptimWrapper, ('constructor', 'paramwise_cfg')),
    ((EpochBasedTrainLoop, IterBasedTrainLoop), ('by_epoch',)),
)


@dataclass(frozen=True)
class _Place:
    """Where in a config a value stands.

    Args:
        where: Dotted key, as ``--cfg-options`` takes it.
        key: The name it stands under; an item of a list has the list's.
        registry: Where what stands here is registered, if the keys say so.
        scope: Project whose names need no prefix here.
        home: Package of the component it belongs to, whose names may need none either.
        loose: It belongs to an argument in a component's own words; only what looks like a slip is
            refused.
        model: It belongs to a model, whose ``train_cfg`` is no loop.
    """

    where: str
    key: str
    registry: Registry | None
    scope: str | None
    home: str | None = None
    loose: bool = False
    model: bool = False

    def below(self, key: str, maker: Callable | None) -> _Place:
        """The place of an argument of ``maker``, or of a key of a dict that is no component."""
        model = self.model or self.key == 'model' or _is_a(maker, Module)
        engines = key.endswith((*_DEFAULTS, 'param_scheduler', 'hooks', 'dataloader')) and not model
        foreign = maker is not None and not maker.__module__.startswith(_OWN)
        own_words = foreign or (maker is not None and key.endswith('_cfg'))
        return _Place(
            where=f'{self.where}.{key}',
            key=key,
            registry=registry_of(key) or (self.registry if maker is None else None),
            scope=self.scope,
            home=self.home if maker is None else maker.__module__.partition('.')[0],
            loose=self.loose or (own_words and not engines),
            model=model,
        )


def check_config(cfg: Config | Mapping, known: Collection[str], free: bool = True) -> None:
    """Refuse a config with a key that nothing will read.

    Checked are the arguments of every component, of dataloaders and of MMEngine's own settings, and
    the keys at the top; not what a component makes of a dict without a ``type``, nor what is inside
    ``cfg_options``.

    Args:
        cfg: The whole config, its bases merged.
        known: Keys at the top that are read.
        free: Other keys at the top are the user's own variables, unless they look like a known one
            misspelt.

    Raises:
        ValueError: On the first such key, or a ``type`` that nobody knows; the message is one line
            with the dotted key and the nearest known one.
    """
    for key in cfg:
        if key not in known and (not free or _misspelt(key, known)):
            raise ValueError(f'{key}: no such setting{_proposal(key, known)}')
    scope = cfg.get('default_scope')
    for key, value in cfg.items():
        _check(value, _Place(key, key, registry_of(key), scope, loose=key not in known))


def check_options(options: Mapping[str, Any], cfg: Config, known: Collection[str]) -> None:
    """Refuse ``--cfg-options`` that do not fit the config they are to be merged into.

    Only the way to a place is judged; :func:`check_config` judges the merged config.

    Args:
        options: Dotted key to value, such as ``{'param_scheduler.0.end': 500}``.
        cfg: Before they are merged.
        known: Keys at the top that are read, whether the config has them or not.

    Raises:
        ValueError: If a key's first part is neither in the config nor known, an index is not one of
            a list, or a key leads into a value that has no keys.
    """
    for option in options:
        first, *rest = option.split('.')
        if first in cfg:
            _check_way(option, first, cfg[first], rest, options)
        elif first not in known:
            raise ValueError(
                f'{option}: the config has no {first!r}{_proposal(first, {*cfg, *known})}'
            )


def _check_way(option: str, where: str, value: Any, rest: list[str], options: Collection) -> None:
    """Follow the ``rest`` of a dotted key as far as the config goes."""
    for part in rest:
        if isinstance(value, list):
            if not part.isdigit() or int(part) >= len(value):
                raise ValueError(f'{option}: {where} is a list of {len(value)}, it has no {part!r}')
            value = value[int(part)]
        elif isinstance(value, Mapping):
            if part not in value:
                return
            value = value[part]
        elif f'{where}._delete_' in options:
            return
        else:
            raise ValueError(f'{option}: {where} is {value!r}, it has no {part!r}')
        where = f'{where}.{part}'


def _check(value: Any, place: _Place) -> None:
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check(item, replace(place, where=f'{place.where}.{number}'))
    elif isinstance(value, Mapping) and place.key != 'cfg_options':
        _check_dict(value, place)


def _check_dict(cfg: Mapping, place: _Place) -> None:
    place = replace(place, scope=cfg.get('_scope_', place.scope))
    maker = None
    if place.key.endswith('dataloader'):
        _check_keys(cfg, _LOADER, place, 'a dataloader takes no such argument')
    elif place.key in _SECTIONS and place.home is None:
        _check_keys(cfg, _SECTIONS[place.key], place, 'no such setting')
    else:
        maker = _maker(cfg, place)
    if maker is not None:
        names, anything = argument_names(maker)
        taken_out = {name for base, keys in _TAKEN_OUT if _is_a(maker, base) for name in keys}
        # The builders of layers take out what they like, such as requires_grad.
        layer = _is_a(maker, Module) and maker.__module__.startswith(('torch.nn.', 'mmcv.'))
        own = replace(place, loose=place.loose or anything or layer)
        _check_keys(cfg, names | taken_out, own, f'{maker.__name__} takes no such argument')
    for key, value in cfg.items():
        if key != 'type':
            _check(value, place.below(str(key), maker))


def _check_keys(cfg: Mapping, names: Collection[str], place: _Place, complaint: str) -> None:
    for key in cfg:
        fits = key in names or key in ('type', '_scope_')
        if not fits and (not place.loose or _misspelt(key, names)):
            raise ValueError(f'{place.where}.{key}: {complaint}{_proposal(key, names)}')


def _is_a(maker: Callable | None, base: type) -> bool:
    return isinstance(maker, type) and issubclass(maker, base)


def _maker(cfg: Mapping, place: _Place) -> Callable | None:
    """The class or function a dict is for; None if it is no component's."""
    if 'type' not in cfg:
        default = None if place.model or place.loose else _DEFAULTS.get(place.key)
        if default is EpochBasedTrainLoop and cfg.get('by_epoch') is False:
            return IterBasedTrainLoop
        return None if default is OptimWrapper and 'optimizer' not in cfg else default
    type_ = cfg['type']
    # Dicts such as dict(type='gaussian', sigma=3) have a type in their reader's own words.
    word = isinstance(type_, str) and type_.islower() and '.' not in type_
    if word and place.registry is None:
        return None
    found = component(type_, place.registry, place.scope)
    found = found or component(type_, place.registry, place.home)
    if found is None and isinstance(type_, str):
        names = registered_names(place.registry, type_.rpartition('.')[0] or None)
        if not (word or place.loose) or _misspelt(type_, names):
            names = names if _nearest(type_, names) else registered_names()
            raise ValueError(
                f'{place.where}.type: nothing is registered as {type_!r}'
                f'{_proposal(type_, names, list_all=False)}'
            )
    return found


def _misspelt(name: str, names: Iterable[str]) -> bool:
    """Whether a name looks like a slip in writing one of these: alike as a whole, and word by word,
    which tells ``'val_dataloader'`` from ``'train_dataloader'``."""
    words = str(name).split('_')
    for near in _nearest(name, names, _ALIKE):
        others = near.split('_')
        pairs = zip(words, others, strict=False)
        if len(words) != len(others) or all(_nearest(word, [other]) for word, other in pairs):
            return True
    return False


def _nearest(name: str, names: Iterable[str], alike: float = 0.6) -> list[str]:
    """Up to three, the nearest first."""
    folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(str(name).casefold(), folded, 3, alike)
    return [folded[other] for other in close]


def _proposal(name: str, names: Collection[str], list_all: bool = True) -> str:
    """The end of a message about an unknown name."""
    initials = ''.join(word[:1] for word in str(name).split('_'))  # 'lr' for 'learning_rate'
    near = _nearest(name, names)[:1] or [other for other in names if other == initials]
    if near:
        return f'; did you mean {near[0]!r}?'
    return f'; known are {", ".join(sorted(names))}' if list_all and names else ''
