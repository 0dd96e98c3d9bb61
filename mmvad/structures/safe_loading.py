"""Unpickling without running code: what PyTorch's safe loader lacks of MMEngine and numpy.

A checkpoint of MMEngine's runner holds its log as ``HistoryBuffer`` objects, whose pickles name
``builtins.getattr``, and numpy's scalars and arrays. The safe loader refuses all of these. Here
these names stand for classes and functions of this module, which keep values and call nothing.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.serialization import safe_globals

# What PyTorch allows is one list for all threads.
_LOCK = threading.Lock()
# Booleans, whole numbers, real numbers, text and bytes.
_KINDS = 'biufUS'


class _DType:
    """In place of ``numpy.dtype``: of plain kinds only, since others hold objects."""

    def __init__(self, name: Any = None, *flags: Any) -> None:
        self.name = name if isinstance(name, str) else ''
        self.order = '='

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ('<', '>', '|', '='):
            self.order = state[1]

    def numpy(self) -> np.dtype:
        found = np.dtype(self.name)
        if found.kind not in _KINDS or not found.itemsize:
            raise ValueError(f'holds numpy values of type {self.name[:20]!r}')
        return found if self.order == '|' else found.newbyteorder(self.order)


class _Array:
    """In place of ``numpy.ndarray``."""

    def __init__(self, *args: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def value(self) -> torch.Tensor | list:
        """Numbers as a tensor, text as lists."""
        try:
            _, shape, dtype, fortran, data = self.state
            if isinstance(data, list):  # of objects, each plain for itself
                return [plain(item) for item in data]
            array = np.frombuffer(data, dtype.numpy())
            array = array.reshape(shape, order='F' if fortran else 'C')
        except (TypeError, AttributeError) as error:
            raise ValueError('holds a numpy array that is none') from error
        if array.dtype.kind in 'US':
            return array.tolist()
        return torch.from_numpy(array.astype(array.dtype.newbyteorder('='), order='C'))


def _reconstruct(*args: Any) -> _Array:
    return _Array()


def _scalar(dtype: Any = None, data: Any = b'') -> Any:
    """In place of numpy's: a plain number."""
    if not isinstance(dtype, _DType) or not isinstance(data, bytes):
        raise ValueError('holds a numpy scalar that is none')
    return np.frombuffer(data, dtype.numpy(), count=1)[0].item()


class _History:
    """In place of MMEngine's ``HistoryBuffer``."""

    def __init__(self, *args: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def value(self) -> dict[str, Any]:
        try:
            history, counts = self.state['_log_history'], self.state['_count_history']
            length = int(self.state['max_length'])
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError('holds a HistoryBuffer that is none') from error
        return dict(history=plain(history), counts=plain(counts), max_length=length)


def _nothing(*args: Any) -> None:
    """In place of ``getattr``, which the pickles of ``HistoryBuffer`` use to name its methods."""


_STANDING_IN = [
    (_History, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_nothing, 'builtins.getattr'),
    (_DType, 'numpy.dtype'),
    (_Array, 'numpy.ndarray'),
    # numpy 1 and 2.
    *((_reconstruct, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
    *((_scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
]


def load_plain(path: str | Path) -> Any:
    """What ``torch.save`` wrote to a file, on the CPU, as tensors and plain values.

    Numpy's numbers become Python's and its arrays tensors; a ``HistoryBuffer`` a dict of
    ``history`` (n,), ``counts`` (n,) and ``max_length``. No code of the file's choice is run.

    Raises:
        Exception: What PyTorch raises of files that hold anything else or are damaged.
    """
    with _LOCK, safe_globals(_STANDING_IN):
        content = torch.load(path, map_location='cpu', weights_only=True)
    return plain(content)


def plain(value: Any) -> Any:
    """A value with nothing of numpy or of this module in it."""
    if isinstance(value, dict):
        # Weights keep their order, and what PyTorch notes beside them.
        for key, item in value.items():
            if (made := plain(item)) is not item:
                value[key] = made
        return value
    if isinstance(value, list):
        value[:] = map(plain, value)
        return value
    if type(value) is tuple:
        return tuple(map(plain, value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value.value() if isinstance(value, (_Array, _History)) else value
