"""Live sources over real sockets and pipes: they drop, come back, never answer, are no video."""

from __future__ import annotations

import io
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from mmvad.apis import sources
from mmvad.apis.pacing import SLACK, PacedFrames
from mmvad.apis.sources import LiveFrame, LiveSource, SourceError, is_live, name_of, shown

SIZE = (64, 96)


def picture(number: int) -> np.ndarray:
    """A grey that tells the number, as far as JPEG and MPEG-4 leave it."""
    image = np.full((*SIZE, 3), 40 + 10 * number, np.uint8)
    image[:8] = 255
    return image


def number_of(image: np.ndarray) -> int:
    return round((float(image[20:].mean()) - 40) / 10)


def mpegts(count: int) -> bytes:
    out = io.BytesIO()
    with av.open(out, 'w', format='mpegts') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.height, stream.width = SIZE
        stream.pix_fmt = 'yuv420p'
        stream.options = dict(g='1')
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), 'bgr24')))
        container.mux(stream.encode(None))
    return out.getvalue()


@contextmanager
def server(*answers: bytes | None) -> Iterator[str]:
    """A TCP server: the n-th who asks gets the n-th answer, and then the connection is cut; None
    never answers. After the last one nobody is let in."""
    listener = socket.create_server(('127.0.0.1', 0))
    port, held = listener.getsockname()[1], []

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if answer is None:
                held.append(connection)
                continue
            with connection:
                connection.sendall(answer)
        listener.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f'tcp://127.0.0.1:{port}'
    finally:
        listener.close()
        for connection in held:
            connection.close()


def test_what_is_live():
    live = ['-', '0', '12', 'rtsp://a/b', 'http://a/b.mp4', 'tcp://a:1', '/dev/video0']
    assert all(map(is_live, live))
    assert not any(map(is_live, ['a.mp4', 'recordings/1', './0', 'file:///a.mp4']))
    assert shown('rtsp://me:secret@cam:554/x?password=y') == 'rtsp://cam:554/x'
    assert name_of('rtsp://me:secret@cam:554/x?token=1') == 'rtsp_cam_554_x'
    assert [name_of('-'), name_of('0')] == ['pipe', 'camera-0']


def test_a_dropped_stream_is_tried_again(monkeypatch):
    monkeypatch.setattr(sources, 'BACK_OFF', (0.05, 0.1))
    said, found = [], []
    with server(mpegts(6), mpegts(6), mpegts(6)) as address:
        source = LiveSource(address, timeout=2.0, give_up=1.0, tell=said.append)
        with pytest.raises(SourceError, match=f'{address}: gone .* times tried again in vain'):
            for frame in source.frames():
                found.append((number_of(frame.image), frame.after_gap))
    # All three servings, and of each but the first its first frame comes behind a gap.
    assert [number for number, _ in found] == [*range(6)] * 3
    assert [gap for _, gap in found] == [False] * 6 + ([True] + [False] * 5) * 2
    assert said[0].startswith(f'{address}: gone (ended); tried again in 0.05 s')
    assert said[1] == f'{address}: is there again'
    assert source.dropped == 3 and all('secret' not in line for line in said)
    # The pauses grow.
    assert [line.split()[-2] for line in said[-3:]] == ['0.05', '0.1', '0.1'] or len(said) > 6


@pytest.mark.parametrize(
    ('answer', 'says'),
    [
        (b'', 'cannot be watched'),
        (b'GET / nothing that is video' * 400, 'cannot be watched|holds no video'),
    ],
)
def test_what_is_no_video_is_said_at_once(answer, says):
    with server(answer) as address:
        began = time.monotonic()
        with pytest.raises(SourceError, match=says):
            list(LiveSource(address, timeout=2.0).frames())
    assert time.monotonic() - began < 10


def test_a_source_that_never_answers():
    with server(None) as address:
        began = time.monotonic()
        with pytest.raises(SourceError, match=f'{address}: cannot be watched: no answer for 0.5 s'):
            list(LiveSource(address, timeout=0.5).frames())
    assert 0.3 < time.monotonic() - began < 5


def test_nobody_is_there():
    with pytest.raises(SourceError, match='127.0.0.1:9: cannot be watched: Connection refused'):
        list(LiveSource('tcp://127.0.0.1:9', timeout=1.0).frames())
    with pytest.raises(SourceError, match='77: cannot be watched: No such file'):
        list(LiveSource('77').frames())


def on_pipe(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, 'stdin', SimpleNamespace(buffer=io.BytesIO(data)))


def test_frames_on_a_pipe(monkeypatch):
    def found(data: bytes, **how) -> list[LiveFrame]:
        on_pipe(monkeypatch, data)
        return list(LiveSource('-', **how).frames())

    raw = b''.join(picture(number).tobytes() for number in range(5))
    frames = found(raw, pipe='raw', size=(96, 64), rate=5.0)
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(frames[3].image, picture(3))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    # The end of a pipe may cut a frame: it is none.
    assert len(found(raw[:-100], pipe='raw', size=(96, 64))) == 4
    jpegs = b''.join(cv2.imencode('.jpg', picture(number))[1].tobytes() for number in range(5))
    assert [number_of(frame.image) for frame in found(jpegs)] == [0, 1, 2, 3, 4]
    assert [number_of(frame.image) for frame in found(mpegts(4), pipe='auto')] == [0, 1, 2, 3]
    for data in (b'', b'no picture at all' * 100):
        with pytest.raises(SourceError, match='^-: '):
            found(data)
    with pytest.raises(ValueError, match='size: expected the width and height of raw frames'):
        LiveSource('-', pipe='raw')
    with pytest.raises(ValueError, match="pipe: expected one of mjpeg, raw, auto, got 'gif'"):
        LiveSource('-', pipe='gif')


class Ready(LiveSource):
    """Frames that come all at once, or wait until somebody takes them."""

    def __init__(self, count: int, waits: bool) -> None:
        super().__init__('-' if waits else 'tcp://x')
        self.count, self.given = count, 0

    def frames(self) -> Iterator[LiveFrame]:
        for number in range(self.count):
            self.given += 1
            yield LiveFrame(np.full((2, 2, 3), number, np.uint8), number / 10)


def test_frames_are_left_out_by_rule_and_counted():
    source = Ready(40, waits=False)
    paced, found = PacedFrames(source), []
    for frame, look in paced:
        if frame is None:
            continue
        if not found:
            while source.given < 40:
                time.sleep(0.01)
            time.sleep(0.05)
        found.append((int(frame.image[0, 0, 0]), look))
    # All came in, in order; those with more than so many behind them were not looked at.
    assert [number for number, _ in found] == list(range(40))
    assert [look for _, look in found][1:] == [39 - n <= SLACK for n in range(1, 40)]
    assert paced.counts.read == 40 and paced.counts.lost == 0
    assert paced.counts.left_out == sum(not look for _, look in found)


def test_where_frames_are_lost_the_next_one_says_so():
    source = Ready(200, waits=False)
    paced, found = PacedFrames(source), []
    for frame, _ in paced:
        if frame is None:
            continue
        if not found:
            while source.given < 200:
                time.sleep(0.01)
            time.sleep(0.05)
        found.append(frame)
    numbers = [int(frame.image[0, 0, 0]) for frame in found]
    assert numbers[1:] == list(range(200 - len(numbers) + 1, 200))
    assert paced.counts.lost == 200 - len(found) > 0
    befores = [-1, *numbers[:-1]]
    follows = [n == before + 1 for before, n in zip(befores, numbers, strict=True)]
    assert [frame.after_gap for frame in found] == [not so for so in follows]


def test_a_source_that_waits_loses_nothing():
    source = Ready(60, waits=True)
    paced, found = PacedFrames(source), []
    for frame, look in paced:
        if frame is not None:
            time.sleep(0.002)
            found.append(look)
            assert source.given <= len(found) + SLACK + 1
    assert found == [True] * 60 and paced.counts.left_out == 0


def test_what_ends_a_source_is_raised_where_frames_are_taken():
    paced = PacedFrames(LiveSource('tcp://127.0.0.1:9', timeout=1.0))
    with pytest.raises(SourceError, match='cannot be watched'):
        list(paced)
    assert Path('/dev/video77').exists() is False
