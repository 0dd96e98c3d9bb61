"""Events are posted to an address, and nobody waits for it."""

from __future__ import annotations

import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from mmvad.structures import Event

from .sources import shown

# Events that may wait, seconds for an answer, and pauses before a try is repeated.
_WAITING = 100
_TIMEOUT = 10.0
_BACK_OFF = (1.0, 4.0, 15.0, 60.0)
# Answers that another try may change.
_PASSING = (408, 425, 429)


class Webhook:
    """Posts every line of an event file, as it is there, as JSON.

    A thread of its own does it, in the order of the events. One that is not taken is tried again
    with longer and longer pauses, and then dropped, as is one that comes while too many wait; both
    are counted and told. What the receiver answers with 2xx is taken; 4xx is not tried again.

    Args:
        url: ``http://`` or ``https://``.
        tell: Takes what a person should know.
        timeout: Seconds for an answer.
        back_off: Seconds of the pauses before each further try.

    Raises:
        ValueError: If it is no such address.
    """

    def __init__(
        self,
        url: str,
        tell: Callable[[str], None] = print,
        timeout: float = _TIMEOUT,
        back_off: tuple[float, ...] = _BACK_OFF,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ('http', 'https') or not parts.hostname:
            raise ValueError(
                f'webhook: expected an http:// or https:// address, got {shown(url)!r}'
            )
        self.url, self.tell, self.timeout, self.back_off = url, tell, timeout, back_off
        #: Events that were taken, and that were dropped.
        self.sent = self.dropped = 0
        self._waiting: queue.Queue[Event | None] = queue.Queue(_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name='webhook', daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Have an event posted; this returns at once."""
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._drop(event, f'{_WAITING} others wait')

    def close(self, patience: float = 5.0) -> None:
        """Post what waits, for so many seconds at most; what is left then is dropped and told.

        Args:
            patience: Seconds.
        """
        deadline = time.monotonic() + patience
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.02)
        self._closing.set()
        left = self._waiting.unfinished_tasks
        if left:
            self.dropped += left
            self.tell(f'webhook: {left} events were not taken before the end')

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                event = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            self._post(event)
            self._waiting.task_done()

    def _post(self, event: Event) -> None:
        for pause in (*self.back_off, None):
            why, again = self._try(event)
            if not why:
                self.sent += 1
                return
            if pause is None or not again:
                break
            if self._closing.wait(pause):
                return
        if not self._closing.is_set():
            self._drop(event, why)

    def _try(self, event: Event) -> tuple[str, bool]:
        """What is wrong, '' if nothing, and whether another try may help."""
        request = urllib.request.Request(
            self.url,
            event.line.encode(),
            {'Content-Type': 'application/json', 'User-Agent': 'mmvad'},
            method='POST',
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout):
                return '', False
        except urllib.error.HTTPError as error:
            error.close()
            return f'HTTP {error.code}', error.code >= 500 or error.code in _PASSING
        except (OSError, ValueError) as error:
            # No answer, none in time, or one that is no HTTP.
            return str(getattr(error, 'reason', error)) or type(error).__name__, True
        except Exception as error:  # http.client has errors of its own
            return type(error).__name__, True

    def _drop(self, event: Event, why: str) -> None:
        self.dropped += 1
        self.tell(f'webhook: event {event.id} ({event.state}) is not delivered: {why}')
