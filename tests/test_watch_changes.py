"""A camera that changes while it is watched; a watch that is stopped; what a report makes of it."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from test_report import page_of
from test_view_drift import moved
from test_watch import LOW, command, frames_of, quietly

from mmvad.apis import WatchSettings
from mmvad.apis.report import build_report
from mmvad.structures import read_events


def pipe(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, 'stdin', SimpleNamespace(buffer=io.BytesIO(data)))


def test_a_camera_that_is_moved_is_told_with_what_to_do(camera, tmp_path, monkeypatch):
    frames = frames_of(camera, '00.mp4')
    width = frames[0].shape[1]
    # Of two seconds each: a minute and a half as ever, then a minute and a half elsewhere.
    given = [*frames[:45], *[moved(frame, right=16) for frame in frames[:45]]]
    pipe(monkeypatch, b''.join(frame.tobytes() for frame in given))
    said: list[str] = []
    settings = WatchSettings(threshold=1e6, status=0.0, pipe='raw', size=(160, 120), rate=0.5)
    quietly('yard', ['-'], tmp_path, settings, camera.root, said=said)
    (line,) = (line for line in said if 'the camera has moved' in line)
    second, shift = map(int, re.match(r'(\d+) s: .*\((\+\d+) right', line).groups())
    assert 90 < second <= 90 + 60 and abs(shift - 16) <= 2 and f' of {width} pixels' in line
    assert '`mmvad adapt yard RECORDINGS`' in line
    counts = json.loads((tmp_path / 'watch.json').read_text())['stream']
    assert (counts['moved'], counts['other_light']) == (1, 0)


def test_frames_of_another_size_begin_anew(camera, tmp_path, monkeypatch):
    """JPEG after JPEG, in mid-stream half as large again, and back."""
    small = frames_of(camera, '00.mp4')[:50]
    large = [cv2.resize(frame, (240, 180)) for frame in small]
    given = [*small, *large, *small]
    codes = [cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for frame in given]
    pipe(monkeypatch, b''.join(code.tobytes() for code in codes))
    said: list[str] = []
    settings = WatchSettings(threshold=-1.0, hold=0.5, status=0.0, rate=10.0, clips=0.5)
    watched = quietly('yard', ['-'], tmp_path, settings, camera.root, said=said)
    assert [line for line in said if 'begins anew' in line] == [
        'pipe: frames are 240 x 180 pixels now, were 160 x 120: it begins anew',
        'pipe: frames are 160 x 120 pixels now, were 240 x 180: it begins anew',
    ]
    counts = watched.counts
    assert counts.read == 150 and counts.dropped == counts.damaged == 0
    # After each change there is no past to score by.
    assert counts.early > 2 and counts.scored + counts.early == 150
    events = read_events(tmp_path / 'events.jsonl')
    assert events and {event.state for event in events} == {'closed'}
    for event in events:
        side = (180, 240) if 50 <= event.peak_frame < 100 else (120, 160)
        assert all(max(o.box[2::2]) <= side[1] and o.box[3] <= side[0] for o in event.objects)
        with av.open(str(tmp_path / event.clip)) as container:
            assert len({(f.width, f.height) for f in container.decode(video=0)}) == 1


@pytest.mark.slow
def test_a_signal_while_a_clip_is_written_leaves_no_half_of_it(camera, tmp_path):
    frames = frames_of(camera, '00.mp4')
    process = command(
        'watch', 'yard', '-', '--pipe', 'raw', '--size', '160x120', '--rate', '10', '--root',
        camera.root, '--threshold', '-1', '--clips', '1', '--out', tmp_path / 'out',
        stdin=subprocess.PIPE,
    )  # fmt: skip
    # Encoding begins when the rate is known, after some seconds of the event.
    for frame in [*frames, *frames]:
        process.stdin.write(frame.tobytes())
    process.stdin.flush()
    events, deadline = tmp_path / 'out/events.jsonl', time.monotonic() + 150
    while not list(tmp_path.glob('out/clips/.*')):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM, err
    files = [path for path in (tmp_path / 'out').rglob('*') if path.is_file()]
    assert not [path for path in files if path.name.startswith('.')]
    (event,) = read_events(events)
    (clip,) = (path for path in files if path.parent.name == 'clips')
    assert clip == tmp_path / 'out' / event.clip
    with av.open(str(clip)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 1


def test_a_report_shows_the_events_that_a_watch_wrote(camera, tmp_path):
    quietly('yard', [str(camera.new)], tmp_path, LOW, camera.root)
    events = read_events(tmp_path / 'events.jsonl')
    assert events
    folder = build_report(tmp_path, tell=lambda line: None).parent
    html, page = (folder / 'index.html').read_text(encoding='utf-8'), page_of(folder)
    # By video and time, as they are on the page.
    order = list(dict.fromkeys(re.findall(r'aria-label="Events of video ([^"]+)"', html)))
    wanted = sorted(events, key=lambda event: (order.index(event.video), event.start))
    chips = page.of('button', class_='chip event')
    assert len(chips) == len(page.of('button')) == len(events)
    peaks = [float(chip['data-peak']) for chip in chips]
    np.testing.assert_allclose(peaks, [event.peak for event in wanted])
    shown = re.findall(r'<b>([^<]+)</b> (\w+) <span>score ([\d.]+)</span>', html)
    assert [(kind, score) for _, kind, score in shown] == [
        (event.kind, f'{event.score:.2f}') for event in wanted
    ]
    for (times, *_), event in zip(shown, wanted, strict=True):
        assert times == f'{event.start:.1f} s to {event.end:.1f} s'
        assert event.why in page.text
    pictures = [(folder / picture['src']).read_bytes() for picture in page.of('img')]
    assert pictures == [(tmp_path / event.thumbnail).read_bytes() for event in wanted]
    threshold = json.loads((tmp_path / 'watch.json').read_text())['threshold']
    assert f'{len(events)} events above a score of {threshold:.2f}' in ' '.join(page.text.split())
