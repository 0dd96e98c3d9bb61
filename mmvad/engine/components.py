"""What a config names: classes, the arguments they take, the settings that shape what comes out.

A component says itself which of its arguments change only how fast it is, and which name files, by
class attributes: ``speed_only = ('keep',)``, ``file_arguments = ('weights',)``.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
import re
import textwrap
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from itertools import chain, product
from pathlib import Path
from typing import Any

from mmengine import registry as root
from mmengine.config import Config
from mmengine.registry import Registry

from mmvad import registry as own

# Whose modules a name may lead to.
_PROJECTS = ('mmengine', 'mmcv', 'mmdet', 'mmaction')
DigestFile = Callable[[Path], str]
# Arguments by which components of other projects, which declare nothing, are given weights.
_WEIGHTS_OF_OTHERS = ('checkpoint', 'pretrained')
# MMEngine's configs, which may build on others.
_CONFIGS = ('.py', '.json', '.yaml', '.yml')
# How open_clip is told of a folder that holds a model.
_FOLDER = 'local-dir:'
# Keys of a dataloader that change how fast it is, not what it gives. Each worker draws random
# numbers of its own, so how many there are, and how long they live, does change that.
LOADER_SPEED = ('prefetch_factor', 'pin_memory', 'timeout')
# Keys of MMEngine's configs whose components are in a registry of another name.
_KEYS = {
    'pipeline': 'transform',
    'sampler': 'data sampler',
    'param_scheduler': 'parameter scheduler',
    'init_cfg': 'weight initializer',
    'evaluator': 'metric',
    'collate_fn': 'function',
    'init_fn': 'function',
}


def _registries() -> list[Registry]:
    """mmvad's, then MMEngine's, some of which have no child in mmvad."""
    both = [*vars(own).values(), *vars(root).values()]
    return [registry for registry in both if isinstance(registry, Registry)]


def _known(registry: Registry) -> dict[str, Callable]:
    """What a registry and its parents hold, by bare name."""
    above = {} if registry.parent is None else _known(registry.parent)
    return {**above, **registry.module_dict}


def registry_of(key: str) -> Registry | None:
    """The registry whose components stand under a key of a config, such as ``'custom_hooks'`` or
    ``'train_dataset'``; None if the key does not say."""
    word = key.removesuffix('s')
    for registry in _registries():
        names = {registry.name, *(other for other, name in _KEYS.items() if name == registry.name)}
        if any(word == name or word.endswith(f'_{name}') for name in names):
            return registry
    return None


def component(
    type_: Any, registry: Registry | None = None, scope: str | None = None
) -> Callable | None:
    """The class or function that a config's ``type`` names.

    Args:
        type_: A class or function; a bare name, which mmvad's registries know or their parents,
            MMEngine's (mmcv's components are in those); a scoped name, ``'mmdet.RPN'``; or a full
            import path.
        registry: Looked into first, since several may know a name.
        scope: Project in which a bare name is looked up first, as ``_scope_`` in a config says.

    Returns:
        None if nothing knows it.
    """
    if not isinstance(type_, str):
        return type_ if callable(type_) else None
    names = [type_] if scope is None or '.' in type_ else [f'{scope}.{type_}', type_]
    registries = [*([] if registry is None else [registry]), *_registries()]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # what other projects say when they are imported
        for name, candidate in product(names, registries):
            if callable(found := _look_up(candidate, name)):
                return found
    return None


def _look_up(registry: Registry, name: str) -> Any:
    if '.' in name:
        try:
            return registry.get(name) if all(map(str.isidentifier, name.split('.'))) else None
        # A project lacks modules (mmaction2 names one that never was); MMEngine found nothing.
        except (ImportError, RuntimeError):
            return None
    # `Registry.get` would import any module of that name, such as Python's own `test`.
    registry.import_from_location()
    return _known(registry).get(name)


def component_class(type_: Any, registry: Registry | None = None) -> type | None:
    """What :func:`component` finds, if it is a class; else None."""
    found = component(type_, registry)
    return found if isinstance(found, type) else None


def registered_names(registry: Registry | None = None, scope: str | None = None) -> set[str]:
    """What a ``type`` may be: names of one registry (None: of all) and its parents; with a scope
    that project's, ``'mmdet.RPN'``, as far as it is imported."""
    names: set[str] = set()
    for start in _registries() if registry is None else [registry]:
        if scope is None:
            names.update(_known(start))
        elif project := start.root.children.get(scope):
            names.update(f'{scope}.{name}' for name in project.module_dict)
    return names


def is_registered(name: str, registry: Registry) -> bool:
    """Whether a ``type`` names what a registry, its parents or, with their scope, OpenMMLab's other
    projects hold; by bare or by full name. Nothing but these projects is imported for it."""
    registry.import_from_location()
    known = _known(registry)
    scope = name.partition('.')[0]
    if scope in _PROJECTS:
        # A name may lead to anything that their modules import.
        found = _look_up(registry, name)
        others = [child.module_dict.values() for child in registry.root.children.values()]
        return any(found is maker for maker in chain(known.values(), *others))
    names = {f'{maker.__module__}.{maker.__qualname__}' for maker in known.values()}
    return name in known or name in names or name in {f'{registry.scope}.{key}' for key in known}


@cache
def argument_names(maker: Callable) -> tuple[frozenset[str], bool]:
    """Names of the arguments that a class's constructor (or a function) declares, with those of the
    base classes that its ``**kwargs`` go on to; and whether it takes others as well."""
    constructors = [maker]
    if inspect.isclass(maker):
        bases = map(vars, maker.__mro__[:-1])
        constructors = [base['__init__'] for base in bases if '__init__' in base]
    names: set[str] = set()
    anything = False
    for function in constructors:
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except ValueError:  # written in C
            return frozenset(names), True
        if function is not maker and parameters.pop(0).name != 'self':
            return frozenset(names), True  # a decorator hides the real one
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names.update(p.name for p in parameters if p.kind in named)
        rest = [p.name for p in parameters if p.kind is p.VAR_KEYWORD]
        handed, only = _handed_on(function, rest[0]) if rest else (False, True)
        anything = anything or not only
        if not handed:
            return frozenset(names), anything
    # No class is left that says what it takes.
    return frozenset(names), bool(constructors) or maker.__new__ is not object.__new__


def _handed_on(function: Callable, rest: str) -> tuple[bool, bool]:
    """Whether a constructor hands its ``**rest`` to the next class's; whether it does only that."""
    function = inspect.unwrap(function)
    try:
        nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))))
    except (OSError, TypeError, SyntaxError):  # no source
        return False, False
    owner = function.__qualname__.rpartition('.')[0].rpartition('.')[2]
    handed = {
        id(keyword.value)
        for node in nodes
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ('super().__init__', f'super({owner}, self).__init__')
        for keyword in node.keywords
        if keyword.arg is None and getattr(keyword.value, 'id', None) == rest
    }
    uses = {id(node) for node in nodes if getattr(node, 'id', None) == rest}
    return bool(handed), bool(handed) and uses == handed


def accepted_arguments(cls: Callable) -> frozenset[str] | None:
    """Names of the arguments that a class's constructor (or a function) takes; None if it takes any
    name: ``**kwargs`` that do not just go on to a base class."""
    names, anything = argument_names(cls)
    return None if anything else names


def shaping_settings(cfg: Any, digest_file: DigestFile) -> Any:
    """A config, or a part of one, as JSON can hold it: equal for two that give the same results.

    Components lose the arguments they call ``speed_only``, dataloaders (under keys that end in
    ``dataloader``) those in :data:`LOADER_SPEED`; where ``file_arguments`` of a component name
    files, these are replaced by their digests, as are weights that components of other projects
    start from; types are full class names, however the config names
    them. Nothing else is left out, whatever it is called.

    Args:
        cfg: A dict, list or value.
        digest_file: The digest of a file's content. Python, JSON and YAML files are not given to
            it: they are configs, whose digest is that of what they say with their bases.
    """
    return _settings(cfg, digest_file)


def _settings(value: Any, digest_file: DigestFile, key: str = '', scope: str | None = None) -> Any:
    """The ``value`` of a ``key``, in the scope of another project."""
    if isinstance(value, Config):
        value = value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_settings(item, digest_file, key, scope) for item in value]
    if not isinstance(value, Mapping):
        return _plain(value)
    scope = value.get('_scope_', scope)
    fast = LOADER_SPEED if key.endswith('dataloader') else ()
    out = {name: item for name, item in value.items() if name not in fast}
    maker = component(value.get('type'), registry_of(key), scope)
    if maker is not None:
        out.update(type=maker)
        for name in out.keys() & {'_scope_', *_declared(maker, 'speed_only')}:
            del out[name]
        foreign = not maker.__module__.startswith('mmvad.')
        files = {*_declared(maker, 'file_arguments'), *(_WEIGHTS_OF_OTHERS if foreign else ())}
        for name in out.keys() & files:
            out[name] = _plain(out[name], lambda leaf: _content(leaf, digest_file))
    return {str(name): _settings(item, digest_file, str(name), scope) for name, item in out.items()}


def _declared(maker: Callable, attribute: str) -> set[str]:
    bases = getattr(maker, '__mro__', ())
    return {name for base in bases for name in vars(base).get(attribute, ())}


def _content(value: Any, digest_file: DigestFile) -> Any:
    """Of the file or the model's folder that ``value`` names, if there is one."""
    if not isinstance(value, (str, Path)):
        return value
    folder = str(value).removeprefix(_FOLDER)
    if folder != str(value) and os.path.isdir(folder):
        held = {
            file.name: digest_file(file)
            for file in sorted(Path(folder).iterdir())
            if file.is_file()
        }
        return _FOLDER + _hash(held)
    if not os.path.isfile(value):
        return value
    if Path(value).suffix in _CONFIGS:
        return _hash(_plain(Config.fromfile(value, import_custom_modules=False).to_dict()))
    return digest_file(Path(value))


def _hash(says: Any) -> str:
    return hashlib.sha256(json.dumps(says, sort_keys=True).encode()).hexdigest()


def _plain(value: Any, read: Callable[[Any], Any] = lambda leaf: leaf) -> Any:
    """As JSON holds it; ``read`` is given what is neither a mapping nor a sequence."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, read) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, read) for item in value]
    value = read(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else _stable(value)


def _stable(value: Any) -> str:
    """The same in every process: no address in it."""
    if hasattr(value, '__qualname__'):
        return f'{value.__module__}.{value.__qualname__}'
    if isinstance(value, Path):
        return str(value)
    kind = type(value)
    return f'{kind.__module__}.{kind.__qualname__}: {re.sub(" at 0x[0-9a-f]+", "", str(value))}'
