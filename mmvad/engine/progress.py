"""A bar for long sweeps."""

from __future__ import annotations

import sys

from tqdm import tqdm


def progress(what: str, unit: str, total: int, disable: bool = False) -> tqdm:
    """A bar that a terminal sees move, and of which a log file gets a line now and then.

    Args:
        what: Is going on.
        unit: Of what is counted.
        total: Count at the end.
        disable: Show nothing.
    """
    pause = 0.2 if sys.stderr.isatty() else 20.0
    return tqdm(desc=what, unit=f' {unit}', total=total, mininterval=pause, disable=disable)
