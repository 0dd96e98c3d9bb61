"""The parts of a LocalVAD model on disk, under the names they have in the whole model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from mmvad.structures import atomic_path, load_fitting_weights, read_weights, weights_digest


def save_part(part: nn.Module, name: str, path: Path) -> None:
    """Write the weights of a part, ``'spatial'`` or ``'temporal'``, whole or not at all."""
    state = {f'{name}.{key}': value.cpu() for key, value in part.state_dict().items()}
    with atomic_path(path) as tmp:
        torch.save(dict(state_dict=state), tmp)


def read_part(name: str, path: Path) -> dict[str, Tensor]:
    """The weights of a part, from its own file or a whole model's.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no such part.
    """
    prefix = f'{name}.'
    state = {
        key.removeprefix(prefix): value
        for key, value in read_weights(path).items()
        if key.startswith(prefix)
    }
    if not state:
        raise ValueError(f'{path}: holds no weights of the {name} part')
    return state


def load_part(part: nn.Module, name: str, path: Path) -> None:
    """Take the weights of a part; errors as for :func:`read_part`, and where they do not fit."""
    load_fitting_weights(part, read_part(name, path), path)


def part_digest(name: str, path: Path) -> str:
    """A hash of the weights of a part."""
    return weights_digest(read_part(name, path))
