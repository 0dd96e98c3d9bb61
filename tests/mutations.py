"""Damaged files, for tests of what reads them."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from functools import reduce
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

# Texts that mean something to one format or another: numbers without end, brackets, quotes, the
# marks of zip and numpy files, byte order marks, line ends.
_WORDS = (
    b'', b'\0', b'\xff', b'\xef\xbb\xbf', b'\xff\xfe', b'\r', b'\n', b'"', b"'", b',', b';', b'=',
    b'-', b'9', b'9' * 20, b'9' * 5000, b'1e999', b'NaN', b'[' * 2000, b'{', b'}', b'(', b')',
    b'O', b'<c16', b'<U4', b'|V8', b'PK\x01\x02', b'PK\x03\x04', b'PK\x05\x06', b'\x93NUMPY',
    b'\x80\x04N.',
)  # fmt: skip


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """``data`` after one to four changes, each in any place.

    A change flips bits of one byte, cuts the end off, or puts bytes in the place of a stretch: any
    bytes, or what may mean something to the format. Of no length, this is an insertion, and by
    nothing, a cut.
    """
    start = st.integers(0, len(data))
    words = st.sampled_from(_WORDS) | st.binary(max_size=16)
    changes = st.one_of(
        st.tuples(start, st.integers(1, 255)),
        st.tuples(start, st.just(len(data)), st.just(b'')),
        st.tuples(start, st.sampled_from((0, 1, 2, 4, 8, 64)), words),
    )
    return st.lists(changes, min_size=1, max_size=4).map(
        lambda changes: reduce(lambda changed, change: _change(changed, *change), changes, data)
    )


def _change(data: bytes, start: int, length: int, word: bytes | None = None) -> bytes:
    """Without a ``word``, ``length`` holds the bits to flip."""
    if word is None:
        word, length = bytes(byte ^ length for byte in data[start : start + 1]), 1
    return data[:start] + word + data[start + length :]


# ---------------------------------------------------------------- what a format is made of

# What may stand where something else is expected.
_VALUES = (
    None, True, False, 0, 1, -1, 0.5, 10**30, -(10**30), 2**63, 2**31, 1e308, math.nan, math.inf,
    -math.inf, '', ' ', 'a', 'a' * 5000, '\ud800', '\u2028', '../../etc/passwd', '/etc/passwd', [],
    [[]], {}, [None], {'a': 1},
)  # fmt: skip


# Of a config: what is no component, and would do something.
_TYPES = tuple(
    dict(type=name, args=['/bin/true'], command='true', path='x', name='x')
    for name in ('os.system', 'subprocess.check_output', 'os.mkdir', 'antigravity', 'this')
)


class _Twice(dict):
    """What JSON makes of it has the first key twice."""

    def items(self) -> list:
        return [*super().items(), *list(super().items())[:1]]


@st.composite
def changed(draw: st.DrawFn, content: Any, values: Sequence[Any] = _VALUES) -> Any:
    """Nested dicts and lists after one to three changes, each in any place: another value, key, or
    length, or a key that JSON holds twice."""
    for _ in range(draw(st.integers(1, 3))):
        content = _change_in(draw, content, values)
    return content


def _change_in(draw: st.DrawFn, content: Any, values: Sequence[Any]) -> Any:
    if not isinstance(content, (dict, list)) or not content or draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(values))
    pairs = list(content.items() if isinstance(content, dict) else enumerate(content))
    place = draw(st.integers(0, len(pairs) - 1))
    key, value = pairs[place]
    kind = draw(st.sampled_from(('within', 'within', 'within', 'drop', 'key', 'twice', 'more')))
    if kind == 'within':
        pairs[place] = key, _change_in(draw, value, values)
    elif kind == 'drop':
        del pairs[place]
    elif kind == 'key':
        pairs[place] = draw(st.sampled_from(('', 'other', '../x', f'{key}_', '9' * 99))), value
    elif kind == 'more':
        pairs.append(('more', draw(st.sampled_from(values))))
    if isinstance(content, dict):
        return _Twice(pairs) if kind == 'twice' else dict(pairs)
    return [value for _, value in pairs]


def changed_json(data: bytes) -> st.SearchStrategy[bytes]:
    """A JSON file with other content."""
    return changed(json.loads(data)).map(lambda content: json.dumps(content).encode())


def changed_lines(data: bytes) -> st.SearchStrategy[bytes]:
    """A file of a JSON object a line with other content."""
    lines = [json.loads(line) for line in data.splitlines()]
    return changed(lines).map(lambda lines: '\n'.join(map(json.dumps, _listed(lines))).encode())


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


_NUMBERS = (math.nan, math.inf, -1, 0, 1, 0.5, 1e30, -1e30, 2**31, 2**63, 1e-30)
_DTYPES = (
    'f2', 'f4', 'f8', '>f4', 'g', 'i1', 'u1', 'u2', 'i4', 'i8', 'u8', '>i8', '?', 'c16', 'U3', 'S3',
    'M8[s]', 'm8[s]', 'V4', 'i4,f4',
)  # fmt: skip
_CLAIMS = (
    (10**12,), (2**62, 2**62), (-1,), (0,), (), (1,) * 33, (10**9, 4), ('a',), (True,), (1.5,),
)  # fmt: skip


@st.composite
def changed_array(draw: st.DrawFn, array: np.ndarray) -> np.ndarray:
    """An array with another number, type or shape."""
    array = np.array(array)
    kind = draw(st.sampled_from(('value', 'value', 'type', 'shape', 'order')))
    if kind == 'value' and array.size:
        place, value = draw(st.integers(0, array.size - 1)), draw(st.sampled_from(_NUMBERS))
        with np.errstate(all='ignore'):
            array.flat[place] = np.array([value]).astype(array.dtype)[0]
    elif kind == 'type':
        with np.errstate(all='ignore'), suppress(TypeError, ValueError):
            array = array.astype(draw(st.sampled_from(_DTYPES)))
    elif kind == 'shape':
        shapes = (lambda a: a[:-1], lambda a: a[None], lambda a: a[..., None], np.ravel,
                  lambda a: np.concatenate([a, a]), lambda a: a[:0], lambda a: a.T,
                  lambda a: a.reshape(-1)[0], lambda a: a[..., :-1])  # fmt: skip
        with suppress(ValueError, IndexError):
            array = np.asarray(draw(st.sampled_from(shapes))(array))
    else:
        array = np.asfortranarray(array)
    return array


@st.composite
def changed_npy(draw: st.DrawFn, data: bytes) -> bytes:
    """A ``.npy`` file with another array, or a header that says what is not so."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    return _npy(draw, draw(changed_array(array)))


def _npy(draw: st.DrawFn, array: np.ndarray) -> bytes:
    file = io.BytesIO()
    if draw(st.integers(0, 3)):
        np.lib.format.write_array(file, array, allow_pickle=False)
        return file.getvalue()
    header = np.lib.format.header_data_from_array_1_0(array)
    key = draw(st.sampled_from(('shape', 'descr', 'fortran_order', 'more')))
    header[key] = draw(st.sampled_from(_CLAIMS if key == 'shape' else ('|O', '<f8', 'x', 7, None)))
    text = f'{header!r}\n'.encode()
    size = len(text).to_bytes(2, 'little')
    return b'\x93NUMPY\1\0' + size + text + array.tobytes()


@st.composite
def changed_npz(draw: st.DrawFn, data: bytes) -> bytes:
    """A ``.npz`` file with other arrays, or other entries."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = dict(file)
    names = st.sampled_from(sorted(arrays))
    for _ in range(draw(st.integers(1, 2))):
        name = draw(names)
        if draw(st.integers(0, 5)) and name in arrays:
            arrays[name] = draw(changed_array(arrays[name]))
        else:
            arrays.pop(name, None)
    changed_name = draw(names)
    file = io.BytesIO()
    method = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))
    with zipfile.ZipFile(file, 'w', method) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, array, allow_pickle=False)
            content = _npy(draw, array) if name == changed_name else entry.getvalue()
            archive.writestr(f'{name}.npy', content)
        if draw(st.integers(0, 9)) == 0:
            archive.writestr(draw(st.sampled_from(('notes.txt', '../x.npy'))), b'')
    return file.getvalue()


@st.composite
def changed_pth(draw: st.DrawFn, data: bytes) -> bytes:
    """What ``torch.save`` wrote, with other tensors or values, or JSON in it changed."""
    content = torch.load(io.BytesIO(data), weights_only=True)
    for _ in range(draw(st.integers(1, 2))):
        content = _changed_state(draw, content)
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@st.composite
def changed_model(draw: st.DrawFn, data: bytes) -> bytes:
    """A model file whose config is another in one of the parts that a model is built of."""
    content = torch.load(io.BytesIO(data), weights_only=True)
    config = json.loads(content['meta']['config'])
    part = draw(st.sampled_from(('model', 'model', 'proposer', 'stages', 'test_dataset')))
    config[part] = draw(changed(config[part], _VALUES + _TYPES))
    content['meta']['config'] = json.dumps(config)
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _changed_state(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(map(str, value))))
        kind = draw(st.sampled_from(('within',) * 4 + ('drop', 'key')))
        out = dict(value)
        if key in out:
            held = out.pop(key)
            if kind == 'within':
                out[key] = _changed_state(draw, held)
            elif kind == 'key':
                out[draw(st.sampled_from((f'{key}_', 7, '')))] = held
        return out
    if isinstance(value, str) and value.startswith('{') and draw(st.integers(0, 9)):
        return json.dumps(draw(changed(json.loads(value))))
    if isinstance(value, torch.Tensor) and draw(st.integers(0, 9)):
        if value.device.type == 'meta' or value.layout != torch.strided:
            return value
        special = draw(st.sampled_from(('sparse', 'meta', 'complex', 'array', 'array', 'array')))
        if special == 'sparse' and value.is_floating_point() and value.ndim:
            return value.to_sparse()
        if special == 'meta':
            return value.to('meta')
        if special == 'complex' and value.is_floating_point():
            return value.to(torch.complex64)
        # numpy has types that torch has not.
        with suppress(TypeError, ValueError):
            return torch.from_numpy(np.array(draw(changed_array(value.numpy()))))
        return value
    other = draw(st.sampled_from(_VALUES))
    # No encoding of a pickle holds half a character.
    return 'half' if other == '\ud800' else other
