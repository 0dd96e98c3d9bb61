"""Reading text and JSON that people write."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from reprlib import repr as brief
from typing import Any


def read_text(path: Path) -> str:
    """A text in UTF-8, with or without the byte order mark that Windows programs write.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is in another encoding; the message names the file and the place.
    """
    try:
        return path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not UTF-8: {error.reason} at byte {error.start}') from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``json.loads(..., object_pairs_hook=unique_keys)``: of a key that stands twice, Python
    would keep the last value and say nothing.

    Raises:
        ValueError: Naming the key.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        ((twice, times),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f'key {brief(twice)} comes {times} times, expected each once')
    return content
