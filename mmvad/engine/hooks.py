"""Hooks of the training stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner, set_random_seed

from mmvad.registry import HOOKS


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Keep checkpoints loadable with ``torch.load(weights_only=True)``.

    MMEngine 0.10.7 stores its log as ``HistoryBuffer`` objects and numpy scalars, which the safe
    loader of torch >= 2.6 refuses. They are written as tensors and plain numbers, and built again
    after loading. Can go when MMEngine stores plain values.
    """

    priority = 'VERY_LOW'

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        hub = checkpoint.get('message_hub')
        if hub:
            hub['log_scalars'] = {
                name: dict(
                    history=torch.as_tensor(np.array(buffer.data[0], np.float64)),
                    counts=torch.as_tensor(np.array(buffer.data[1], np.int64)),
                    max_length=int(buffer.max_length),
                )
                for name, buffer in hub['log_scalars'].items()
            }
        for key, value in checkpoint.items():
            if key not in ('state_dict', 'optimizer'):
                checkpoint[key] = _plain(value)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        build_buffers(checkpoint)


def build_buffers(checkpoint: dict) -> None:
    """Build the log of a checkpoint again, where it was written or read as plain values."""
    hub = checkpoint.get('message_hub')
    if hub:
        hub['log_scalars'] = {
            name: HistoryBuffer(
                stored['history'].tolist(), stored['counts'].tolist(), stored['max_length']
            )
            if isinstance(stored, dict)
            else stored
            for name, stored in hub['log_scalars'].items()
        }


def _plain(value: Any) -> Any:
    """Numpy scalars and arrays as what the safe loader knows."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed every epoch by its number, so that a resumed run repeats an undisturbed one.

    Workers of a loader are seeded when they start: with ``persistent_workers`` only once, and a
    resumed run then draws other numbers.

    Args:
        seed: Of the run.
    """

    priority = 'VERY_HIGH'

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def before_train_epoch(self, runner: Runner) -> None:
        set_random_seed((self.seed * 100_003 + runner.epoch) % 2**32)
