"""Detectors of mmdet with random weights, which need no download."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.hub import get_config
from mmengine.registry import DefaultScope


def save_random_weights(config: str, path: Path) -> str:
    """Random weights of a config that mmdet ships, always the same ones.

    Returns:
        The path.
    """
    from mmdet.registry import MODELS

    torch.manual_seed(0)
    cfg = get_config(config)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)
