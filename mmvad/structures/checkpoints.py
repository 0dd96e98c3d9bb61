"""Reading checkpoints safely, and telling whether they fit."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint, loaded without running code from it.

    Args:
        path: A file, or a URL.

    Returns:
        What it holds; always a dict with a ``state_dict`` of tensors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or holds more than plain values.
    """
    try:
        if str(path).startswith(('http://', 'https://')):
            content = torch.hub.load_state_dict_from_url(
                str(path), map_location='cpu', weights_only=True
            )
        else:
            content = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: no such checkpoint') from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        # torch goes on about its options; of its own reason only the first line is about the file.
        why = str(error).partition('Unpickler error: ')[2].strip() or str(error)
        why = why.partition('\n')[0]
        raise ValueError(
            f'{path}: cannot be loaded as plain weights ({why}). Where you trust its origin, '
            "convert it once: torch.save({'state_dict': torch.load(FILE, weights_only=False)"
            "['state_dict']}, NEW)"
        ) from error
    state = content.get('state_dict', content) if isinstance(content, dict) else None
    tensors = isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())
    if not (state and tensors):
        raise ValueError(f'{path}: expected a checkpoint, a dict of weights or with a state_dict')
    return content if state is not content else dict(state_dict=state)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint; see :func:`read_checkpoint`."""
    return read_checkpoint(path)['state_dict']


def load_fitting_weights(
    model: nn.Module,
    state: dict[str, Tensor],
    path: str | Path,
    resizable: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> None:
    """Load weights that must fit the model.

    Args:
        model: Takes the weights.
        state: The weights.
        path: Where they are from, for the message.
        resizable: Buffers that take the checkpoint's size.
        ignored: Weights of the checkpoint that may be left over: those with one of these in their
            name.

    Raises:
        ValueError: Naming the file and the first weights that are missing, left over or of another
            shape.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    extra = [key for key in state if key not in own and not any(part in key for part in ignored)]
    unlike = [
        f'{key} {tuple(state[key].shape)}, expected {tuple(own[key].shape)}'
        for key in own
        if key in state and key not in resizable and state[key].shape != own[key].shape
    ]
    if missing or extra or unlike:
        raise ValueError(
            f'{path}: made by another config: {len(missing)} weights missing {missing[:2]}, '
            f'{len(extra)} left over {extra[:2]}, {len(unlike)} of another shape {unlike[:2]}'
        )
    model.load_state_dict({key: state[key] for key in own})


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """A short hash of weights and their names."""
    sha = hashlib.sha256()
    for key in sorted(state):
        sha.update(key.encode())
        sha.update(state[key].detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]
