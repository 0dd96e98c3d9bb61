"""Parts whose buffers are fitted to training objects."""

from __future__ import annotations

from mmengine.model import BaseModule


class FittedModule(BaseModule):
    """A module whose buffers take the training set's size, and a checkpoint's when loaded."""

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        for name, buffer in self._buffers.items():
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, buffer.new_zeros(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)
