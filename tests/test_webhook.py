"""Events are posted: in order, again where need be, and never in the way."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmvad.apis.webhook import Webhook
from mmvad.structures import Event

EVENT = Event(
    id='yard-1',
    state='open',
    source='rtsp://camera',
    video='yard',
    start=1.0,
    start_frame=25,
    peak=1.0,
    peak_frame=25,
    score=7.0,
    threshold=6.0,
)


@contextmanager
def receiver(*answers: int) -> Iterator[tuple[str, list]]:
    """An HTTP server that answers with these codes, the last one for ever; and what it got."""
    got: list[tuple[int, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers['Content-Length']))
            code = answers[min(len(got), len(answers) - 1)]
            got.append((code, json.loads(body)))
            self.send_response(code)
            self.end_headers()

        def log_message(self, *args) -> None: ...

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_address[1]}/hook', got
    finally:
        server.shutdown()
        server.server_close()


def test_events_are_posted_in_order():
    with receiver(200) as (url, got):
        hook = Webhook(url)
        events = [replace(EVENT, id=f'yard-{number}') for number in range(5)]
        for event in events:
            hook(event)
        hook.close()
    assert [Event.of(body) for _, body in got] == events
    assert (hook.sent, hook.dropped) == (5, 0)


def test_what_is_not_taken_is_tried_again():
    said: list[str] = []
    with receiver(503, 429, 204) as (url, got):
        hook = Webhook(url, said.append, back_off=(0.02, 0.05))
        hook(EVENT)
        hook.close()
    assert [code for code, _ in got] == [503, 429, 204]
    assert (hook.sent, hook.dropped, said) == (1, 0, [])
    with receiver(500) as (url, got):
        hook = Webhook(url, said.append, back_off=(0.02, 0.05))
        hook(EVENT)
        hook.close()
    assert len(got) == 3 and hook.dropped == 1
    assert said == ['webhook: event yard-1 (open) is not delivered: HTTP 500']


def test_what_another_try_would_not_change():
    said: list[str] = []
    with receiver(404) as (url, got):
        hook = Webhook(url, said.append, back_off=(9.0,))
        hook(EVENT)
        hook.close()
    assert len(got) == 1 and said == ['webhook: event yard-1 (open) is not delivered: HTTP 404']


def test_one_that_never_answers_holds_nothing_up():
    said: list[str] = []
    with socket.create_server(('127.0.0.1', 0)) as silent:
        url = f'http://me:secret@127.0.0.1:{silent.getsockname()[1]}'
        hook = Webhook(url, said.append, timeout=30.0)
        began = time.monotonic()
        for number in range(150):
            hook(replace(EVENT, id=f'yard-{number}'))
        assert time.monotonic() - began < 1
        # A hundred wait, and one is on its way.
        assert 48 <= hook.dropped <= 50
        assert said[-1] == 'webhook: event yard-149 (open) is not delivered: 100 others wait'
        hook.close(patience=0.2)
        assert time.monotonic() - began < 5
    assert hook.sent == 0 and hook.dropped == 150
    assert 'were not taken before the end' in said[-1]
    assert not any('secret' in line for line in said)


def test_nobody_is_there():
    said: list[str] = []
    hook = Webhook('http://127.0.0.1:9/', said.append, back_off=(0.01,))
    hook(EVENT)
    hook.close()
    assert hook.dropped == 1 and 'Connection refused' in said[0]


@pytest.mark.parametrize('url', ['ftp://a/b', 'camera', 'http://', 'file:///etc/passwd'])
def test_addresses_that_are_none(url):
    with pytest.raises(ValueError, match='webhook: expected an http:// or https:// address'):
        Webhook(url)
