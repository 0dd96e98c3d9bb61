"""A headless Chromium, spoken to by its DevTools protocol over a pipe: no port, no package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
_PATIENCE = 60.0  # seconds


class Browser:
    """One page of a browser.

    Attributes:
        requests: Addresses that were asked for.
        complaints: Errors and warnings that the page or the browser put on the console.
    """

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._rest, self._number = b'', 0
        self._events: list[dict[str, Any]] = []
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        attached = self.call('Target.attachToTarget', targetId=target, flatten=True)
        self._session = attached['sessionId']
        for domain in ('Page', 'Runtime', 'Network', 'Log'):
            self.call(f'{domain}.enable')

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol; its result."""
        self._number += 1
        message = dict(id=self._number, method=method, params=params)
        if self._session:
            message['sessionId'] = self._session
        os.write(self._write, json.dumps(message).encode() + b'\0')
        end = time.monotonic() + _PATIENCE
        while True:
            answer = self._next(end)
            if answer.get('id') == self._number:
                if 'error' in answer:
                    raise RuntimeError(f'{method}: {answer["error"]}')
                return answer['result']

    def close(self) -> None:
        """End the browser."""
        self._session = None
        try:
            self.call('Browser.close')
        except (OSError, EOFError, TimeoutError):
            pass  # it is gone, or will be

    def _next(self, end: float) -> dict[str, Any]:
        while b'\0' not in self._rest:
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError('the browser does not answer')
            if not (block := os.read(self._read, 1 << 16)):
                raise EOFError('the browser is gone')
            self._rest += block
        line, _, self._rest = self._rest.partition(b'\0')
        message = json.loads(line)
        self._note(message.get('method'), message.get('params', {}))
        return message

    def _note(self, method: str | None, params: dict[str, Any]) -> None:
        if method == 'Network.requestWillBeSent':
            self.requests.append(params['request']['url'])
        elif method == 'Runtime.exceptionThrown':
            self.complaints.append(json.dumps(params['exceptionDetails']))
        elif method == 'Runtime.consoleAPICalled' and params['type'] in ('error', 'warning'):
            self.complaints.append(json.dumps(params['args']))
        elif method == 'Log.entryAdded' and params['entry']['level'] in ('error', 'warning'):
            entry = params['entry']
            self.complaints.append(f'{entry["text"]} {entry.get("url", "")}')
        if method == 'Page.loadEventFired':
            self._events.append(params)

    def open(self, path: Path) -> None:
        """Load a file from disk, as a person who clicks on it."""
        self._load(path.resolve().as_uri())

    def leave(self) -> None:
        """Leave the page, which then loads nothing more, and forget what it did."""
        self._load('about:blank')
        self.requests.clear()
        self.complaints.clear()

    def _load(self, address: str) -> None:
        self._events.clear()
        self.call('Page.navigate', url=address)
        end = time.monotonic() + _PATIENCE
        while not self._events:
            self._next(end)

    def run(self, script: str) -> Any:
        """The value of an expression in the page; what it promises is waited for."""
        result = self.call(
            'Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        if 'exceptionDetails' in result:
            raise RuntimeError(json.dumps(result['exceptionDetails']))
        return result['result'].get('value')

    def wait(self, script: str) -> Any:
        """The value of an expression once it is true."""
        end = time.monotonic() + _PATIENCE
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(f'never true: {script}')
            time.sleep(0.05)
        return value

    def click(self, script: str, across: float = 0.5) -> None:
        """A real click on the element that an expression gives, at a share of its width."""
        place = self.run(
            f'(() => {{ const e = {script}; e.scrollIntoView({{block: "center"}}); const b = '
            'e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()'
        )
        x, y = place[0] + across * place[2], place[1] + place[3] / 2
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def press(self, key: str, shift: bool = False) -> None:
        """A key."""
        text = dict(text=key) if len(key) == 1 else {}
        for kind in ('keyDown', 'keyUp'):
            more = text if kind == 'keyDown' else {}
            self.call('Input.dispatchKeyEvent', type=kind, key=key, modifiers=8 * shift, **more)

    def window(self, width: int, height: int, phone: bool = False) -> None:
        """Make the window so large, pixels."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width, height=height, deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip

    def prefer(self, scheme: str) -> None:
        """``'dark'`` or ``'light'``, as if the reader's system said so."""
        features = [dict(name='prefers-color-scheme', value=scheme)]
        self.call('Emulation.setEmulatedMedia', features=features)

    def screenshot(self, path: Path, **options: Any) -> None:
        """What the window shows, by the suffix of the file."""
        kind = 'jpeg' if path.suffix == '.jpg' else 'png'
        data = self.call('Page.captureScreenshot', format=kind, **options)['data']
        path.write_bytes(base64.b64decode(data))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own; the test is skipped where there is none.

    Args:
        profile: Folder for what it remembers.
    """
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f'needs a browser: none of {", ".join(_NAMES)} is there')
    from_us, to_them = os.pipe()
    from_them, to_us = os.pipe()
    os.set_blocking(from_them, True)
    command = [
        program, '--headless=new', '--no-sandbox', '--disable-gpu', '--mute-audio',
        '--no-first-run', '--disable-background-networking', '--disable-component-update',
        '--disable-dev-shm-usage', f'--user-data-dir={profile}', '--remote-debugging-pipe',
    ]  # fmt: skip
    # It reads commands from 3 and writes answers to 4.
    shell = f'exec "$@" 3<&{from_us} 4>&{to_us}'
    process = subprocess.Popen(
        ['/bin/bash', '-c', shell, 'bash', *command],
        pass_fds=(from_us, to_us),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(from_us)
    os.close(to_us)
    found = None
    try:
        found = Browser(to_them, from_them)
        yield found
    finally:
        # By itself it ends its own processes, which write to the profile.
        if found:
            found.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(to_them)
        os.close(from_them)
