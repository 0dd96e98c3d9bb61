"""Reading text and JSON that people write."""

from __future__ import annotations

import json
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


def parse_json(text: str, where: str | Path, **kwargs: Any) -> Any:
    """What a text in JSON says, each key of an object once: of one that stands twice, Python would
    keep the last value and say nothing.

    Args:
        text: The text.
        where: The file, or its line, to name it by.
        kwargs: Arguments of ``json.loads``.

    Raises:
        ValueError: If it is no JSON, holds a key twice, or lists in lists without end.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, **kwargs)
    except RecursionError as error:
        raise ValueError(f'{where}: not JSON: nested too deep') from error
    # Whole numbers of thousands of digits, too.
    except ValueError as error:
        raise ValueError(f'{where}: not JSON: {error}') from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        ((twice, times),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f'key {brief(twice)} comes {times} times, expected each once')
    return content
