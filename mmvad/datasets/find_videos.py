"""Which videos there are below a folder, as recorders and people leave them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .frames import VIDEO_SUFFIXES, by_number, is_hidden, list_images


def find_videos(root: str | Path) -> dict[str, Path]:
    """The videos below a folder, however deep: recorders make a folder a day.

    Video files are videos, and so is a folder with images where there is no video file beside
    them (recorders leave a still of each recording). Hidden files, and what file managers, NAS and
    archives leave, are none.

    Args:
        root: A folder; a video file, or a folder of images, is a single video.

    Returns:
        Name to path, in the order of the numbers in the names. Names are paths from ``root`` on,
        without suffix unless two would have the same; a single video has its own.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If there is no video in it.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f'{root}: no such folder of frames, of videos, or video file')
    if root.is_file():
        return {root.stem: root}
    found = list(_below(root, set()))
    if not found:
        raise ValueError(
            f'{root}: holds no images, no videos and no folders of either, however deep; videos '
            f'end in {" ".join(VIDEO_SUFFIXES)}'
        )
    if found == [root]:
        return {root.resolve().name: root}
    bare = {path: path.relative_to(root).with_name(_stem(path)).as_posix() for path in found}
    times = Counter(bare.values())
    names = {
        path: bare[path] if times[bare[path]] == 1 else path.relative_to(root).as_posix()
        for path in found
    }
    return {names[path]: path for path in sorted(found, key=lambda path: by_number(names[path]))}


def _stem(path: Path) -> str:
    # A folder's name has no suffix, whatever dots are in it.
    return path.name if path.is_dir() else path.stem


def _below(folder: Path, above: set[str]) -> Iterator[Path]:
    """The videos of a folder and those in it; ``above`` holds real paths, since links may lead
    round in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    inside = [path for path in folder.iterdir() if not is_hidden(path)]
    files = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
    yield from files
    if not files and list_images(folder):
        yield folder
        return
    for path in inside:
        if path.is_dir():
            yield from _below(path, above | {real})
