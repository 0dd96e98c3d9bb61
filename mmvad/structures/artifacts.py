"""What stages leave on disk: folders with a manifest, files written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = 'manifest.json'


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
    """A short hash of settings (anything JSON can hold; other values by their ``str``) and files.

    A :class:`pathlib.Path` stands for the content of that file.
    """
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            sha.update(hashlib.sha256(part.read_bytes()).digest())
        else:
            sha.update(json.dumps(part, sort_keys=True, default=str).encode())
    return sha.hexdigest()[:16]


class StageFolder:
    """The folder of one stage, with a manifest that says which settings made it and if it is done.

    Args:
        path: The folder.
        key: Hash of all settings and inputs that shape the stage's output.
    """

    def __init__(self, path: str | Path, key: str) -> None:
        self.path = Path(path)
        self.key = key

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads((self.path / MANIFEST).read_text())
        except FileNotFoundError:
            return {}
        except json.JSONDecodeError as error:
            raise ValueError(f'{self.path / MANIFEST}: not JSON: {error}') from error

    @property
    def complete(self) -> bool:
        """Whether the stage was finished by the same settings."""
        manifest = self._read()
        return manifest.get('key') == self.key and bool(manifest.get('complete'))

    @property
    def record(self) -> dict[str, Any]:
        """What :meth:`finish` stored."""
        return self._read()

    def open(self) -> Path | None:
        """Make the folder ready to write to; what the same settings left there stays.

        Output of other settings is moved aside to ``<name>.stale`` (replacing an earlier one), so
        that no later stage trusts it and nothing is lost.

        Returns:
            Where the stale output went, if there was any.
        """
        stale = None
        if self.path.exists() and any(self.path.iterdir()) and self._read().get('key') != self.key:
            stale = self.path.with_name(self.path.name + '.stale')
            shutil.rmtree(stale, ignore_errors=True)
            os.replace(self.path, stale)
        self.path.mkdir(parents=True, exist_ok=True)
        manifest = self._read()
        self._started = time.monotonic()
        self._seconds = float(manifest.get('seconds', 0.0))
        self.checkpoint()
        return stale

    def checkpoint(self) -> None:
        """Note the seconds spent so far, so that a killed stage still counts them."""
        write_json(
            self.path / MANIFEST,
            dict(key=self.key, complete=False, seconds=round(self.seconds, 2)),
        )

    @property
    def seconds(self) -> float:
        """Seconds of work since :meth:`open`, those of interrupted runs included."""
        return self._seconds + time.monotonic() - self._started

    def finish(self, **record: Any) -> None:
        """Declare the output complete; ``record`` is kept in the manifest."""
        write_json(
            self.path / MANIFEST,
            dict(record, key=self.key, complete=True, seconds=round(self.seconds, 2)),
        )
