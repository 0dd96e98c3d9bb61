"""Clips of events: H.264 that is played at its own speed, with some seconds before and after."""

from __future__ import annotations

import threading
import time
import tracemalloc

import av
import cv2
import numpy as np
import pytest

from mmvad.apis import clips
from mmvad.apis.clips import ClipWriter
from mmvad.visualization import video


def frames(count: int, size: tuple[int, int] = (64, 98)) -> list[np.ndarray]:
    """Greys that tell the number."""
    return [np.full((*size, 3), 20 + 2 * number, np.uint8) for number in range(count)]


def read(path) -> tuple[str, list[float], list[int], tuple[int, int]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = list(container.decode(video=0))
        numbers = [round((float(f.to_ndarray(format='bgr24').mean()) - 20) / 2) for f in found]
        times = [f.time for f in found]
        return stream.codec_context.name, times, numbers, (stream.height, stream.width)


def test_a_clip_has_the_seconds_about_its_event(tmp_path):
    writer = ClipWriter(tmp_path, before=1.0, after=0.5)
    for number, image in enumerate(frames(100)):
        writer.look(image, number / 10)
        if number == 30:
            assert writer.begin('one') == tmp_path / 'one.mp4'
        if number == 45:
            writer.over(4.0)
        if number == 80:
            writer.begin('two')
    writer.close()
    codec, times, numbers, size = read(tmp_path / 'one.mp4')
    assert codec == 'h264' and size == (64, 98)
    # It was known with frame 45 that it ended at 4.0 s: nothing is behind that.
    # As near as colours are kept.
    np.testing.assert_allclose(numbers, range(20, 46), atol=2)
    np.testing.assert_allclose(np.diff(times), 0.1, atol=2e-3)
    np.testing.assert_allclose(read(tmp_path / 'two.mp4')[2], range(70, 100), atol=2)
    assert writer.lost == 0 and not list(tmp_path.glob('.*'))


def test_a_clip_ends_where_the_size_changes(tmp_path):
    writer = ClipWriter(tmp_path, before=60.0)
    for number, image in enumerate([*frames(5, (51, 73)), *frames(5)]):
        writer.look(image, number / 10)
        if number == 2:
            writer.begin('odd')
    writer.close()
    _, times, numbers, size = read(tmp_path / 'odd.mp4')
    # No line of an odd side is lost.
    assert size == (52, 74) and len(numbers) == 5
    assert times[-1] - times[0] == pytest.approx(0.4, abs=0.01)


def test_what_is_kept_is_bounded(tmp_path):
    writer = ClipWriter(tmp_path, before=2.0)
    for turn in range(50):
        for number, image in enumerate(frames(20)):
            writer.look(image, turn * 2 + number / 10)
    assert len(writer._past) <= 21
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_long_event_is_written_while_it_lasts(tmp_path):
    """Minutes of an event take no more memory than seconds, and none of its frames is lost."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(20)]
    writer = ClipWriter(tmp_path, before=4.0)
    tracemalloc.start()
    for number in range(1000):
        writer.look(noise[number % 20], number / 25)
        if number == 100:
            writer.begin('long')
        while writer._jobs.qsize() > 50:
            time.sleep(0.001)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = len(cv2.imencode('.jpg', noise[0], [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
    # Four seconds before, those that the rate is taken of, and those that wait.
    assert held < (100 + 128 + 60) * size * 1.3 < 1000 * size / 2
    writer.close()
    _, times, _, _ = read(tmp_path / 'long.mp4')
    # The frames before and all that came after; the clip plays at its own speed.
    assert len(times) == 1000 and writer.lost == 0
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-3)


def test_frames_that_are_lost_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, '_WAITING', 3)
    begun, go_on = threading.Event(), threading.Event()

    def slow(path, images):
        begun.set()
        go_on.wait(60)
        list(images)

    monkeypatch.setattr(ClipWriter, '_write', staticmethod(slow))
    said: list[str] = []
    writer = ClipWriter(tmp_path, before=0.1, tell=said.append)
    for number, image in enumerate(frames(20)):
        writer.look(image, number / 10)
        if number == 0:
            writer.begin('one')
            assert begun.wait(60)
    go_on.set()
    writer.close()
    # Of the 19 after the first, three wait.
    assert writer.lost == 16 and said == ['clip one lacks 16 frames: encoding is too slow']


def test_where_there_is_no_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr(video, 'ENCODERS', ())
    video.video_encoder.cache_clear()
    try:
        with pytest.raises(ValueError, match='can write no video for browsers'):
            ClipWriter(tmp_path)
    finally:
        video.video_encoder.cache_clear()
    monkeypatch.undo()
    with pytest.raises(ValueError, match='clips.before: expected 0 to 60 seconds, got 99'):
        ClipWriter(tmp_path, before=99)


def test_a_clip_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / 'file').write_text('in the way')
    said: list[str] = []
    writer = ClipWriter(tmp_path / 'file', tell=said.append)
    writer.look(frames(1)[0], 0.0)
    writer.begin('one')
    writer.close()
    assert len(said) == 1 and said[0].startswith('clip one is not written: ')
