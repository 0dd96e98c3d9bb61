"""The weights in a TorchScript archive, without running what else it holds.

``torch.jit.load`` compiles the code in such a file and runs its ``__setstate__``. Only tensors are
wanted here: they are pickled, with their storages beside, in the same zip file.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STORAGES = {
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'DoubleStorage': torch.float64,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
}


class _Module:
    """In place of every class that the archive defines: it keeps its attributes."""

    def __init__(self, *args: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        # A class with a __getstate__ of its own may have anything.
        self.state = state if isinstance(state, dict) else {}


def _nothing(*args: Any) -> None:
    """In place of what builds attributes that are no tensors."""


def _tensor(storage: Any, offset: int, size: tuple, stride: tuple, *rest: Any) -> Tensor:
    if not isinstance(storage, Tensor):
        raise pickle.UnpicklingError('a tensor without a storage')
    # Refuses what reaches beyond the storage.
    return torch.as_strided(storage, size, stride, offset).clone()


class _Unpickler(pickle.Unpickler):
    """Knows tensors, modules without their code, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f'{root}/data.pkl'))
        self.archive, self.root = archive, root
        self.read: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split('.')[0] == '__torch__':
            return _Module
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return _tensor
        if module == 'torch' and name in _STORAGES:
            return _STORAGES[name]
        if module in ('torch.jit._pickle', 'collections'):
            return dict if name == 'OrderedDict' else _nothing
        raise pickle.UnpicklingError(f'{module}.{name} in it is not weights')

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, *_ = pid
        if kind != 'storage' or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError('a storage that is none')
        if key not in self.read:
            data = bytearray(self.archive.read(f'{self.root}/data/{key}'))
            self.read[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0)
        return self.read[key]


def is_torchscript(path: str | Path) -> bool:
    """Whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())


def torchscript_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of the modules in a TorchScript archive, by their dotted names.

    Raises:
        ValueError: If it is damaged, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith('/constants.pkl'))
            root = name.rpartition('/')[0]
            # As torch stores them; compressed, a small file could fill the memory.
            for item in archive.infolist():
                tensors = item.filename.startswith((f'{root}/data/', f'{root}/data.pkl'))
                if tensors and item.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f'{item.filename} is compressed')
            module = _Unpickler(archive, root).load()
    # Of damaged bytes an unpickler raises nearly anything.
    except Exception as error:
        said = ' '.join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f'{path}: no weights can be read of this TorchScript: {said}') from error
    weights: dict[str, Tensor] = {}
    _collect(module, '', weights)
    if not weights:
        raise ValueError(f'{path}: a TorchScript without weights')
    return weights


def _collect(module: Any, prefix: str, weights: dict[str, Tensor], depth: int = 0) -> None:
    if isinstance(module, _Module) and depth < 100:
        for name, value in module.state.items():
            if isinstance(value, Tensor):
                weights[f'{prefix}{name}'] = value
            else:
                _collect(value, f'{prefix}{name}.', weights, depth + 1)
