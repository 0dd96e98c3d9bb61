"""A bar for long sweeps."""

from __future__ import annotations

import sys
from weakref import WeakSet

from mmengine.dist import is_main_process
from tqdm import tqdm

_bars: WeakSet[tqdm] = WeakSet()


def progress(what: str, unit: str, total: int, disable: bool = False) -> tqdm:
    """A bar that a terminal sees move, and of which a log file gets a line now and then; of several
    processes only the main one's, which counts what falls to it.

    For a ``with`` block, at whose end it is closed, so that what is said next has its own line.

    Args:
        what: Is going on.
        unit: Of what is counted.
        total: Count at the end.
        disable: Show nothing.
    """
    pause = 0.2 if sys.stderr.isatty() else 20.0
    disable = disable or not is_main_process()
    bar = tqdm(desc=what, unit=f' {unit}', total=total, mininterval=pause, disable=disable)
    _bars.add(bar)
    return bar


def close_bars() -> None:
    """Close all bars that are open, such as those of a stage that ends with an error."""
    for bar in list(_bars):
        bar.close()
