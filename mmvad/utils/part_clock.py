"""Which part of a program takes how long, for the tools that measure speed."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock


class PartClock:
    """CPU seconds of methods, each in whichever thread it runs, without the parts that it calls.

    Attributes:
        seconds: Of each part.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._thread = threading.local()

    def timed(self, owner: type, method: str, part: str) -> Any:
        """A context in which a class's method is timed."""
        original = getattr(owner, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            around, self._thread.within = getattr(self._thread, 'within', 0.0), 0.0
            start = time.thread_time()
            try:
                return original(*args, **kwargs)
            finally:
                took = time.thread_time() - start
                self.seconds[part] += took - self._thread.within
                self._thread.within = around + took

        return mock.patch.object(owner, method, call)

    def timed_steps(self, owner: type, method: str, part: str) -> Any:
        """A context in which the steps of a class's generator are timed, and not what is done
        between them."""
        original = getattr(owner, method)

        def call(*args: Any, **kwargs: Any) -> Iterator[Any]:
            steps = original(*args, **kwargs)
            while True:
                start = time.thread_time()
                try:
                    step = next(steps)
                except StopIteration:
                    return
                finally:
                    self.seconds[part] += time.thread_time() - start
                yield step

        return mock.patch.object(owner, method, call)


def peak_memory() -> float:
    """The most MiB that the process has held."""
    unit = 2**20 if sys.platform == 'darwin' else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
