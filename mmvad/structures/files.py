"""Files on disk: written whole or not at all, and known by what they hold."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

#: What the system says where a file, or what a user has, can grow no more.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = re.compile(r'\..*\.(\d+)\.tmp(\.[^.]*)?')


class NoSpaceError(OSError):
    """There is no room for a file; ``filename`` says which, ``strerror`` how much there is.

    Args:
        path: The file, or the folder that files are for.
        code: The system's number of the error.
        needed: Bytes that it takes, where that is known.
    """

    def __init__(
        self, path: str | Path, code: int = errno.ENOSPC, needed: int | None = None
    ) -> None:
        wanted = '' if needed is None else f'{megabytes(needed)} needed, '
        room = f'{wanted}{megabytes(free_space(path))} free'
        super().__init__(code, f'{os.strerror(code).lower()} ({room})', str(path))
        self.needed = needed

    def __reduce__(self) -> tuple:
        # An OSError is copied by its own arguments, a loader's worker hands errors on as copies.
        return type(self), (self.filename, self.errno, self.needed)

    @classmethod
    def of(cls, error: OSError, path: str | Path) -> NoSpaceError | None:
        """What an error says of ``path``, if it is that there is no room.

        An error that names a file of its own keeps it.
        """
        if isinstance(error, cls) or error.errno not in _FULL:
            return None
        return cls(error.filename or path, error.errno)


def megabytes(count: int) -> str:
    """A number of bytes in words."""
    return f'{count / 1e6:,.1f} MB'


def free_space(path: str | Path) -> int:
    """Bytes that are free where a file is or will be."""
    path = Path(path).absolute()
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well.

    The suffix is kept, since writers choose their format by it. After an error the temporary file
    is removed and ``path`` is as it was.

    Raises:
        NoSpaceError: The temporary file could not be written for lack of room, whatever its writer
            made of that; it names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f'.{path.stem}.{os.getpid()}.tmp{path.suffix}')
    try:
        yield tmp
        os.replace(tmp, path)
    except (OSError, RuntimeError) as error:
        if code := _no_room(error, tmp):
            raise NoSpaceError(path, code, getattr(error, 'needed', None)) from error
        raise
    finally:
        tmp.unlink(missing_ok=True)


def _no_room(error: OSError | RuntimeError, tmp: Path) -> int | None:
    """The number of the error, if it is that ``tmp`` cannot grow."""
    if isinstance(error, OSError) and error.errno is not None:
        of_others = error.filename not in (None, str(tmp))
        return error.errno if error.errno in _FULL and not of_others else None
    # numpy and torch do not say why they could not write; the system does, asked once more.
    try:
        with tmp.open('ab') as file:
            file.write(bytes(1 << 16))
    except OSError as again:
        return again.errno if again.errno in _FULL else None
    return None


def remove_temporaries(root: str | Path) -> list[Path]:
    """Remove what :func:`atomic_path` left anywhere below a folder in processes that were killed.

    What a process of this machine may be writing, such as another tool, stays.

    Returns:
        What was removed.
    """
    removed = []
    for path in Path(root).rglob('.*.tmp*'):
        found = _TEMPORARY.fullmatch(path.name)
        if not (found and path.is_file()):
            continue
        # In containers a process often has the number of the one before it.
        if int(found[1]) == os.getpid() or not Path('/proc', found[1]).exists():
            path.unlink()
            removed.append(path)
    return removed


def reserved_array(path: Path, dtype: DTypeLike, shape: Sequence[int]) -> np.memmap:
    """A new ``.npy`` file as a map, whose room on the disk is taken at once.

    A map as such takes it page by page, and SIGBUS ends the process where the disk is full by then.

    Raises:
        NoSpaceError: If there is not enough room.
    """
    needed = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        array = np.lib.format.open_memmap(path, mode='w+', dtype=dtype, shape=tuple(shape))
        with path.open('r+b') as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpaceError(path, error.errno, needed) from error
        raise
    return array


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    with atomic_path(path) as tmp:
        tmp.write_text(json.dumps(content, indent=2, sort_keys=True) + '\n')


def remembered(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file that only saves time or explains: empty where there is none that
    can be read."""
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def digest(*parts: Any) -> str:
    """A short hash of values that JSON can hold (others by their ``str``)."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(json.dumps(part, sort_keys=True, default=str).encode())
    return sha.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of what a file holds."""
    sha = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch('[0-9a-f]{16}', value))


class FileDigests:
    """What files hold, told by a hash, which is remembered as long as a file looks the same.

    A file looks the same if its place, size and times of change are: that of what it holds, which
    a copy may have taken over from another file, and the system's own, which nobody can set. So
    thousands of frames are read once, and looked at after that.

    Args:
        cache: JSON file that remembers, from how files look to what they hold. It names no path,
            so a work dir that is moved or copied takes it along.
    """

    def __init__(self, cache: str | Path) -> None:
        self.cache = Path(cache)
        self._known = self._remembered()

    def _remembered(self) -> dict[str, str]:
        # What it lacks is read again.
        return {key: held for key, held in remembered(self.cache).items() if _is_digest(held)}

    def of(self, paths: Iterable[str | Path]) -> str:
        """One hash of what all these files hold, in their order.

        Raises:
            FileNotFoundError: If one is missing.
        """
        paths = [Path(path) for path in paths]
        look = hashlib.sha256()
        for path in paths:
            stat = path.stat()
            times = f'{stat.st_mtime_ns}|{stat.st_ctime_ns}'
            look.update(f'{os.path.abspath(path)}|{stat.st_size}|{times}\n'.encode())
        key = look.hexdigest()[:16]
        if key not in self._known:
            # Another process of the run may have read them meanwhile.
            self._known |= self._remembered()
        if key not in self._known:
            held = hashlib.sha256()
            for path in paths:
                held.update(bytes.fromhex(file_digest(path)))
            self._known[key] = held.hexdigest()[:16]
            write_json(self.cache, self._known)
        return self._known[key]
