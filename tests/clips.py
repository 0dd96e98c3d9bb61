"""A CLIP of open_clip with a few thousand random weights, which need no download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvad.structures import FrameObjects

MODEL = 'mmvad-test-tiny'
CONFIG: dict[str, Any] = dict(
    embed_dim=16,
    vision_cfg=dict(image_size=32, layers=1, width=32, head_width=16, patch_size=8),
    text_cfg=dict(context_length=24, vocab_size=49408, width=16, heads=2, layers=1),
)


def save_tiny_clip(folder: Path) -> Path:
    """Let open_clip know the model, and one of the same size with QuickGELU; write weights.

    Returns:
        The file of weights.
    """
    import open_clip

    for name, more in ((MODEL, {}), (f'{MODEL}-quickgelu', dict(quick_gelu=True))):
        (folder / f'{name}.json').write_text(json.dumps(CONFIG | more))
    open_clip.add_model_config(folder)
    torch.manual_seed(1)
    model = open_clip.create_model(MODEL)
    # As they start, the towers hardly tell inputs apart: let the inputs and the layers count more.
    for name, weight in model.named_parameters():
        if name.endswith(('conv1.weight', 'token_embedding.weight', 'proj_weight', 'proj.weight')):
            weight.data *= 10
    torch.save(model.state_dict(), folder / 'tiny.pt')
    return folder / 'tiny.pt'


def clip_sample(n: int = 12, seed: int = 5) -> FrameObjects:
    """A frame of coloured tiles, each an object."""
    rng = np.random.default_rng(seed)
    frame = np.zeros((90, 120, 3), np.uint8)
    boxes = []
    for row in range(n):
        x, y = 30 * (row % 4), 30 * (row // 4)
        frame[y : y + 30, x : x + 30] = rng.integers(0, 256, (6, 6, 3)).repeat(5, 0).repeat(5, 1)
        boxes.append([x, y, x + 30, y + 30])
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return FrameObjects([frame], boxes, boxes, '01', 7)
