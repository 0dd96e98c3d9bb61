"""Files on disk: written whole or not at all, and known by what they hold."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well.

    The suffix is kept, since writers choose their format by it. After an error the temporary file
    is removed and ``path`` is as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f'.{path.stem}.{os.getpid()}.tmp{path.suffix}')
    try:
        yield tmp
        os.replace(tmp, path)
    finally:
        tmp.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    with atomic_path(path) as tmp:
        tmp.write_text(json.dumps(content, indent=2, sort_keys=True) + '\n')


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


class FileDigests:
    """What files hold, told by a hash, which is remembered as long as a file looks the same.

    A file looks the same if its place, size and time of change are. So thousands of frames are
    read once, and looked at after that.

    Args:
        cache: JSON file that remembers, from how files look to what they hold. It names no path,
            so a work dir that is moved or copied takes it along.
    """

    def __init__(self, cache: str | Path) -> None:
        self.cache = Path(cache)
        try:
            known = json.loads(self.cache.read_text())
        except (FileNotFoundError, ValueError):
            known = None
        # It only saves time: what it lacks is read again.
        self._known: dict[str, str] = known if isinstance(known, dict) else {}

    def of(self, paths: Iterable[str | Path]) -> str:
        """One hash of what all these files hold, in their order.

        Raises:
            FileNotFoundError: If one is missing.
        """
        paths = [Path(path) for path in paths]
        look = hashlib.sha256()
        for path in paths:
            stat = path.stat()
            look.update(f'{os.path.abspath(path)}|{stat.st_size}|{stat.st_mtime_ns}\n'.encode())
        key = look.hexdigest()[:16]
        if key not in self._known:
            held = hashlib.sha256()
            for path in paths:
                held.update(bytes.fromhex(file_digest(path)))
            self._known[key] = held.hexdigest()[:16]
            write_json(self.cache, self._known)
        return self._known[key]
