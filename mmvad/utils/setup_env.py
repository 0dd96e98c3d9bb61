"""Registering everything at once, as ``mmengine.hub.get_model`` asks of every package."""

from __future__ import annotations

import time

from mmengine.registry import DefaultScope, Registry

from mmvad import registry


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register every component of mmvad.

    MMEngine does so by itself for whoever names a component within mmvad's scope; this is for those
    that ask before.

    Args:
        init_default_scope: Whether bare type names are mmvad's from now on.
    """
    for item in vars(registry).values():
        if isinstance(item, Registry) and item.scope == 'mmvad':
            item.import_from_location()
    if not init_default_scope:
        return
    current = DefaultScope.get_current_instance()
    if current is None or current.scope_name != 'mmvad':
        DefaultScope.get_instance(f'mmvad_{time.time_ns()}', scope_name='mmvad')
