"""Embeddings of sentences, kept on disk: a thousand take CLIP's text side minutes on a CPU."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmvad.structures import atomic_path, digest, weights_digest


def default_folder() -> Path:
    """Where embeddings are kept: ``mmvad/sentences`` of the user's cache folder."""
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(cache, 'mmvad', 'sentences')


def text_digest(clip: nn.Module, config: Mapping[str, Any], precision: str, tokens: Tensor) -> str:
    """A hash of all that the embeddings of sentences depend on.

    Args:
        clip: A model of open_clip.
        config: Of the model.
        precision: In which it computes.
        tokens: (M, S) the sentences, as the model gets them.
    """
    weights = {
        name: value
        for name, value in clip.state_dict().items()
        if not name.startswith(('visual.', 'logit_'))
    }
    settings = {name: value for name, value in config.items() if name != 'vision_cfg'}
    return digest(
        weights_digest(weights),
        weights_digest({'tokens': tokens}),
        json.dumps(settings, sort_keys=True, default=str),
        [precision, version('open_clip_torch')],
    )


def kept_embeddings(folder: Path, key: str, count: int, make: Callable[[], Tensor]) -> Tensor:
    """Embeddings that were stored under a key, or are made and stored.

    Args:
        folder: Of the files; one that cannot be written to costs time only.
        key: A hash of what they depend on.
        count: M, how many there are.
        make: Makes them, (M, D) float32.
    """
    path = folder / f'{key}.npy'
    # What is not there, damaged or of something else is made again.
    with suppress(OSError, ValueError, EOFError):
        stored = np.load(path, allow_pickle=False)
        whole = stored.ndim == 2 and len(stored) == count and stored.dtype == np.float32
        if whole and np.allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-3):
            return torch.from_numpy(stored)
    made = make().float().cpu()
    with suppress(OSError), atomic_path(path) as tmp:
        np.save(tmp, made.numpy())
    return made
