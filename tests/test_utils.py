"""Registering everything at once, as MMEngine's hub asks of a package."""

from __future__ import annotations

from mmengine.registry import MODELS, DefaultScope

from mmvad.utils import register_all_modules


def test_register_all_modules_sets_the_scope_if_asked():
    register_all_modules(init_default_scope=False)
    assert DefaultScope.get_current_instance() is None
    register_all_modules()
    assert DefaultScope.get_current_instance().scope_name == 'mmvad'
    smm = MODELS.build(dict(type='SMM', in_channels=4, num_components=4))
    assert smm.out_channels == 4
