"""Reading numpy's files, whoever wrote them; nothing is unpickled.

Files may be damaged, of another program or hostile: whatever they hold, a reader returns an array
or raises a ``ValueError`` or ``OSError`` that names the file, and allocates by what the file is
known to hold, not by what it says of itself.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as brief
from typing import BinaryIO

import numpy as np

#: Says what is wrong with a shape and a dtype, by a ``ValueError``, before anything is read.
Check = Callable[[tuple[int, ...], np.dtype], None]

# Of one archive, unpacked. A few kilobytes of zip can claim, and hold, far more than memory.
MOST_BYTES = 1 << 30
# More than numpy's longest header of an array without fields.
_HEADER_BYTES = 1 << 14
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@contextmanager
def damage_named(where: str, what: str = 'a plain numpy file') -> Iterator[None]:
    """Names the file in what libraries raise about damaged bytes.

    That is nearly anything: of zipfile, zlib and numpy zlib.error, struct.error,
    NotImplementedError, tokenize.TokenError, KeyError, OverflowError and MemoryError were seen. So
    only their calls stand in such a block.
    """
    try:
        with warnings.catch_warnings():
            # Of the parser that reads headers, about odd text in them.
            warnings.simplefilter('ignore')
            yield
    except OSError as error:
        raise OSError(f'{where}: cannot be read: {error.strerror or error}') from error
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise ValueError(f'{where}: not {what}: {lines[0][:120]}') from error


def read_npy(file: str | Path, check: Check, most: int | None = None) -> np.ndarray:
    """The array of a ``.npy`` file.

    Args:
        file: Which.
        check: See :data:`Check`; told the kinds in :func:`expect_numbers`.
        most: Bytes that the file may have.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is none, or what ``check`` says; the message names the file.
    """
    with damage_named(str(file)):
        stream = Path(file).open('rb')
    with stream:
        return _read(str(file), stream, Path(file).stat().st_size, check, most)


def map_npy(file: str | Path, check: Check) -> np.ndarray:
    """The array of a ``.npy`` file, mapped; one without numbers, which cannot be, is read.

    Args, Raises: See :func:`read_npy`.
    """
    with damage_named(str(file)), Path(file).open('rb') as stream:
        shape, dtype, _ = _header(stream)
    check(shape, dtype)
    with damage_named(str(file)):
        return np.load(file, mmap_mode='r' if math.prod(shape) else None, allow_pickle=False)


def expect_numbers(where: str, dtype: np.dtype, kinds: str = 'fiu') -> None:
    """ValueError unless a dtype is of these kinds, which numpy names by letters."""
    if dtype.kind not in kinds:
        raise ValueError(f'{where}: expected real numbers, got {brief(dtype)}')


class Archive:
    """The arrays of an open ``.npz`` file by name, read when they are asked for.

    Args:
        path: Which.
        archive: The file, opened.
        members: Its entries, by the arrays' names.
    """

    def __init__(
        self, path: str | Path, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]
    ) -> None:
        self.path, self._archive, self._members = path, archive, members

    @property
    def names(self) -> list[str]:
        """Of its arrays."""
        return list(self._members)

    def where(self, name: str) -> str:
        """What to call an array in a message."""
        return f'{self.path}: array {brief(name)}'

    def read(self, name: str, check: Check) -> np.ndarray:
        """One array.

        Args, Raises: See :func:`read_npy`; ValueError as well if it is not there.
        """
        if name not in self._members:
            raise ValueError(f'{self.path}: no array named {name!r}, found {brief(self.names)}')
        where, member = self.where(name), self._members[name]
        with damage_named(where):
            stream = self._archive.open(member)
        with stream:
            # Nothing is unpacked beyond the size that stands in the directory.
            return _read(where, stream, member.file_size, check)


@contextmanager
def open_npz(path: str | Path) -> Iterator[Archive]:
    """A ``.npz`` file whose arrays may be read without filling memory.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is none, or holds more than 1 GiB; the message names it.
    """
    with damage_named(str(path)):
        archive = zipfile.ZipFile(path)
    with archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.infolist():
            name = member.filename.removesuffix('.npy')
            if name == member.filename or name in members:
                what = 'no array' if name == member.filename else 'a second array of this name'
                raise ValueError(f'{path}: {brief(member.filename)} is {what}, expected <name>.npy')
            # What numpy writes. Python unpacks the others without a bound on the memory it takes.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(
                    f'{path}: array {brief(name)}: not a plain numpy file: compressed by method '
                    f'{member.compress_type}, expected deflated or stored'
                )
            members[name] = member
        total = sum(member.file_size for member in members.values())
        if total > MOST_BYTES:
            raise ValueError(f'{path}: {total} bytes when unpacked, expected at most {MOST_BYTES}')
        yield Archive(path, archive, members)


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype and length in bytes of a header; for a block that names the file."""
    head = io.BytesIO(stream.read(_HEADER_BYTES))
    version = np.lib.format.read_magic(head)
    if version not in _HEADER_READERS:
        raise ValueError(f'format {version}, expected one of {sorted(_HEADER_READERS)}')
    shape, _, dtype = _HEADER_READERS[version](head)
    return shape, dtype, head.tell()


def _read(
    where: str, stream: BinaryIO, size: int, check: Check, most: int | None = None
) -> np.ndarray:
    """The array in ``stream``, once its header agrees with the ``size`` in bytes of the whole."""
    with damage_named(where):
        shape, dtype, length = _header(stream)
    check(shape, dtype)
    most = size if most is None else most
    claimed = length + math.prod(shape) * dtype.itemsize
    if size > most or min(shape, default=0) < 0 or claimed != size:
        raise ValueError(
            f'{where}: not a plain numpy file: {size} bytes, expected what its header claims '
            f'({brief(dtype)}, shape {brief(shape)})' + (f', at most {most}' if size > most else '')
        )
    with damage_named(where):
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
