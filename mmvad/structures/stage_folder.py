"""The folder that a stage leaves, with a manifest of what made it and what it holds."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Collection, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from zlib import crc32

from .files import digest, file_digest, write_json

MANIFEST = 'manifest.json'


class StageFolder:
    """The folder of one stage, with a manifest that says which settings made it and if it is done.

    Args:
        path: The folder.
        key: Hash of all settings and inputs that shape the stage's output.
        leaves: Patterns of the files that are its output, relative to the folder.
        hashed: Whether the files' content counts for what comes after. If not, that is what made
            them, and the manifest holds checksums only, by which changes show: for output so large
            that a hash takes long.
        editable: Whether people may change the files: they then count as they are.
        notes: Whether :meth:`checkpoint` writes: of several processes only one does.
    """

    def __init__(
        self,
        path: str | Path,
        key: str,
        leaves: Sequence[str] = ('**/*',),
        hashed: bool = True,
        editable: bool = False,
        notes: bool = True,
    ) -> None:
        self.path = Path(path)
        self.key = key
        self.leaves = tuple(leaves)
        self.hashed = hashed
        self.editable = editable
        self.notes = notes
        self._started, self._seconds = time.monotonic(), 0.0

    @property
    def record(self) -> dict[str, Any]:
        """The manifest; empty where there is none that can be read."""
        try:
            record = json.loads((self.path / MANIFEST).read_text())
        except (FileNotFoundError, ValueError, RecursionError):
            record = {}
        # Without a manifest nothing says that the output is whole.
        return record if _is_record(record) else {}

    @property
    def files(self) -> list[Path]:
        """What is there of its output, in order."""
        found = sorted({file for pattern in self.leaves for file in self.path.glob(pattern)})
        return [
            file
            for file in found
            if file.is_file() and file.name != MANIFEST and not file.name.startswith('.')
        ]

    @property
    def finished(self) -> bool:
        """Whether the same settings finished it, whatever became of its files since."""
        record = self.record
        return record.get('key') == self.key and bool(record.get('complete'))

    @property
    def complete(self) -> bool:
        """Whether the same settings finished it, and its files are as they were left."""
        return self.finished and not self.damaged

    @property
    def damaged(self) -> list[Path]:
        """Files of a finished stage that are gone or no longer what they were."""
        return [
            self.path / name
            for name, (size, stamp, held) in self.record.get('files', {}).items()
            if not self._intact(self.path / name, size, stamp, held)
        ]

    def _intact(self, file: Path, size: int, stamp: int, held: str | None) -> bool:
        if not file.is_file():
            return False
        if self.editable:
            return True
        stat = file.stat()
        if stat.st_size != size:
            return False
        return held is None or stat.st_mtime_ns == stamp or self._held(file) == held

    def _held(self, file: Path) -> str:
        """What a file holds, by a hash or a checksum, of which the latter takes half the time."""
        if self.hashed:
            return file_digest(file)
        checksum = 0
        with file.open('rb') as content:
            while block := content.read(1 << 20):
                checksum = crc32(block, checksum)
        return f'{checksum:08x}'

    @property
    def content(self) -> str:
        """A hash of what a finished stage left: of the files, or of what made them."""
        if not self.hashed:
            return self.key
        held = {}
        for name, (size, stamp, sha) in self.record.get('files', {}).items():
            stat = (self.path / name).stat()
            same = (stat.st_size, stat.st_mtime_ns) == (size, stamp)
            held[name] = sha if same else file_digest(self.path / name)
        return digest(held)

    def open(self) -> Path | None:
        """Make the folder ready to write to; whole files that the same settings left stay.

        Output of other settings is moved aside, so that no later stage trusts it: to
        ``<name>.stale``, replacing what a stage left there earlier. What people may have made or
        changed replaces nothing and is not replaced: there are ``<name>.stale.1`` and so on.

        Returns:
            Where the stale output went, if there was any.
        """
        stale = None
        record = self.record
        self.path.mkdir(parents=True, exist_ok=True)
        if record.get('key') != self.key:
            # Output beside the folder goes with it.
            for file in self.files:
                if '..' in file.relative_to(self.path).parts:
                    os.replace(file, self.path / file.name)
            if any(self.path.iterdir()):
                stale = self._aside(by_hand=self.editable or not record)
                os.replace(self.path, stale)
                self.path.mkdir()
            record = {}
        # Only of its own output, whatever a manifest may name.
        for file in set(self.damaged) & set(self.files):
            file.unlink()
        self._started = time.monotonic()
        # What is made once more starts at 0, what was interrupted goes on.
        self._seconds = 0.0 if record.get('complete') else float(record.get('seconds', 0.0))
        self.checkpoint()
        return stale

    def put_back(self, stale: Path, taken: Collection[Path] = ()) -> bool:
        """Undo :meth:`open` where a stage ended before it left anything: output of other settings
        is better than none.

        Args:
            stale: Where that went.
            taken: Files that are there and were not made by the stage.

        Returns:
            Whether it is back; not where there is new output, or a checkpoint to go on from.
        """
        if set(self.files) - set(taken) or any(self.path.glob('*.pth')):
            return False
        shutil.rmtree(self.path)
        os.replace(stale, self.path)
        for pattern in self.leaves:
            if '..' in Path(pattern).parts:
                for file in self.path.glob(Path(pattern).name):
                    os.replace(file, (self.path / pattern).with_name(file.name))
        return True

    def _aside(self, by_hand: bool) -> Path:
        """A free place for stale output."""
        stale = self.path.with_name(f'{self.path.name}.stale')
        names = (f'{stale.name}.{number}' if number else stale.name for number in count())
        for place in map(stale.with_name, names):
            if place.exists():
                # Without a manifest no stage made it.
                if by_hand or not StageFolder(place, '').record:
                    continue
                shutil.rmtree(place, ignore_errors=True)
            return place

    def checkpoint(self) -> None:
        """Note the seconds spent so far, so that a killed stage still counts them."""
        if self.notes:
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
        files = {}
        for file in self.files:
            stat = file.stat()
            look = (stat.st_size, stat.st_mtime_ns, self._held(file))
            files[os.path.relpath(file, self.path)] = look
        write_json(
            self.path / MANIFEST,
            dict(
                record,
                key=self.key,
                complete=True,
                seconds=round(self.seconds, 2),
                files=files,
            ),
        )


def _is_record(record: Any) -> bool:
    """Whether a manifest is as :meth:`StageFolder.finish` or :meth:`StageFolder.checkpoint` left
    it, as far as it is read."""
    if not isinstance(record, dict):
        return False
    seconds, files = record.get('seconds', 0.0), record.get('files', {})
    return (
        type(seconds) in (int, float)
        and 0 <= seconds < 1e9
        and isinstance(files, dict)
        and all(map(_is_look, files.values()))
    )


def _is_look(look: Any) -> bool:
    """Size, time of change and hash or checksum of a file."""
    return (
        isinstance(look, list)
        and [type(value) for value in look[:2]] == [int, int]
        and [type(value) for value in look[2:]] in ([str], [type(None)])
    )
