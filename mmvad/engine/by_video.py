"""Output that a stage makes video by video: another video makes none of the others' anew."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmvad.structures import StageFolder, WorkDir, atomic_path

from .stage import BaseStage


def take_over(
    stage: BaseStage, folder: StageFolder, keys: Mapping[str, str], sources: Iterable[Path]
) -> list[Path]:
    """Take the files of videos from folders where the same made them, as links where the file
    system has them.

    Args:
        stage: Whose files.
        folder: Where to.
        keys: Video to a hash of what shapes its files.
        sources: Folders that the stage left, with their manifests.

    Returns:
        What was taken.
    """
    taken: list[Path] = []
    for source in sources:
        other = StageFolder(source, '', stage.leaves, stage.hashed)
        known = other.record.get('videos')
        if not isinstance(known, dict):
            continue
        damaged = set(other.damaged)
        for video, key in keys.items():
            files = stage.files_of(source, video) if known.get(video) == key else []
            if not files or damaged & set(files) or not all(map(Path.is_file, files)):
                continue
            for file in files:
                to = folder.path / file.relative_to(source)
                if not to.exists():
                    _link(file, to)
                    taken.append(to)
    return taken


def remember_from(work_dir: WorkDir, other: WorkDir) -> None:
    """Take what another work dir remembers of files, which saves reading them."""
    for mine, theirs in ((work_dir.digests, other.digests), (work_dir.examined, other.examined)):
        if theirs.is_file() and not mine.exists():
            with atomic_path(mine) as tmp:
                shutil.copyfile(theirs, tmp)


def _link(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Files of stages are replaced, never written into.
        os.link(file, to)
    except OSError:
        # Another file system, or one without links.
        with atomic_path(to) as tmp:
            shutil.copy2(file, tmp)
