"""Reading JSON that people write."""

from __future__ import annotations

from collections import Counter
from reprlib import repr as brief
from typing import Any


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
