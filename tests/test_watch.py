"""Two folders of video files, one command to learn, one to watch; and live, over real sockets."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from camera import write_video
from conftest import REPO
from test_webhook import receiver

from mmvad.apis import StreamScorer, VADInferencer, WatchSettings, sources, watch
from mmvad.apis.alarm_events import AlarmState
from mmvad.apis.event_writer import EventWriter
from mmvad.apis.pacing import PacedFrames
from mmvad.apis.reasons import Reasons
from mmvad.apis.sources import SourceError
from mmvad.apis.watch_stream import StreamWatch
from mmvad.datasets import FrameSource
from mmvad.structures import Event, read_events

# Far below what one false alarm an hour asks for: something happens in a few seconds of video.
LOW = WatchSettings(threshold=2.0, hold=0.5, status=0.0)


def quietly(*args, said: list[str] | None = None, **kwargs):
    said = [] if said is None else said
    return watch(*args, tell=said.append, show_progress=False, **kwargs)


def command(tool: str, *args: str | Path, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, '-m', 'mmvad', tool, *map(str, args)],
        env=dict(os.environ, PYTHONPATH=str(REPO), PYTHONUNBUFFERED='1'),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text='stdin' not in kwargs,
        cwd=REPO,
        **kwargs,
    )


def frames_of(camera, name: str) -> list[np.ndarray]:
    source = FrameSource(camera.new / name)
    return [source[number] for number in range(len(source))]


@pytest.fixture(scope='module')
def whole(camera):
    results = VADInferencer(camera.learned.model)(camera.new, show_progress=False)
    return {result.video: result for result in results}


def test_recordings_have_the_scores_of_the_inferencer_and_events_of_these(camera, whole, tmp_path):
    watched = quietly('yard', [str(camera.new)], tmp_path, LOW, camera.root)
    events = read_events(tmp_path / 'events.jsonl')
    assert watched.events == len(events) >= 1 and watched.left_out == {}
    for video, result in whole.items():
        stored = np.load(tmp_path / f'scores/{video}.npy')
        np.testing.assert_array_equal(stored, result.scores)
        # Every frame above the threshold is in an event of its video, and both ends are such.
        own = [event for event in events if event.video == video]
        inside = np.zeros(len(stored), bool)
        for event in own:
            inside[event.start_frame : event.end_frame + 1] = True
            assert stored[[event.start_frame, event.end_frame]].min() > 2.0
            score = stored[event.start_frame : event.end_frame + 1].max()
            assert event.score == pytest.approx(float(score), abs=1e-3)
            assert event.start == pytest.approx(event.start_frame / 10)
        assert inside[stored > 2.0].all()
    for event in events:
        assert event.state == 'closed' and event.source == str(camera.new / f'{event.video}.mp4')
        # What it shows is in its peak's frame, and as the inferencer scores it.
        objects = whole[event.video].objects
        rows = objects['frames'] == event.peak_frame
        assert len(event.objects) == rows.sum() and event.clock is None
        scores = sorted(objects['scores'][rows].tolist())
        assert sorted(o.score for o in event.objects) == pytest.approx(scores, abs=1e-3)
        assert event.kind in ('speed', 'motion') and event.shares[event.kind] > 0.4
        assert sum(event.shares.values()) == pytest.approx(1, abs=1e-3)
        assert event.why.startswith(f'Unusual {event.kind}: ') and 'usual there' in event.why
        assert cv2.imread(str(tmp_path / event.thumbnail)).shape[:2] == (360, 480)
        assert event.nearest and event.values
    with (tmp_path / 'events.csv').open(newline='') as file:
        assert [row['id'] for row in csv.DictReader(file)] == [event.id for event in events]
    record = json.loads((tmp_path / 'watch.json').read_text())
    assert record['events'] == len(events) and set(record['videos']) == set(whole)


def test_clips_and_posts_of_recordings(camera, tmp_path):
    with receiver(200) as (url, got):
        settings = replace(LOW, clips=1.0, webhook=url)
        quietly('yard', [str(camera.new / '01.mp4')], tmp_path, settings, camera.root)
    events = read_events(tmp_path / 'events.jsonl')
    assert [Event.of(body) for _, body in got] == events and len(events) >= 1
    for event in events:
        with av.open(str(tmp_path / event.clip)) as container:
            assert container.streams.video[0].codec_context.name == 'h264'
            count = sum(1 for _ in container.decode(video=0))
        first, last = max(0, event.start_frame - 10), min(79, event.end_frame + 10)
        assert count == last - first + 1
    record = json.loads((tmp_path / 'watch.json').read_text())
    assert record['webhook'] == dict(sent=len(events), dropped=0)


def test_the_alarm_threshold_is_that_of_the_promise(camera, tmp_path):
    watched = quietly('yard', [str(camera.new / '00.mp4')], tmp_path, None, camera.root)
    assert watched.threshold == pytest.approx(camera.learned.threshold)


def test_recordings_that_cannot_be_watched_are_told_and_the_others_are_watched(camera, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    whole_file = (camera.new / '00.mp4').read_bytes()
    (folder / 'whole.mp4').write_bytes(whole_file)
    (folder / 'cut.mp4').write_bytes(whole_file[: len(whole_file) // 2])
    (folder / 'text.mp4').write_text('no video')
    write_video(folder / 'short.mp4', frames_of(camera, '00.mp4')[:3])
    with av.open(str(folder / 'sound.mp4'), 'w') as container:
        stream = container.add_stream('aac', rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), 'fltp', 'mono')
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    said: list[str] = []
    watched = quietly('yard', [str(folder)], tmp_path / 'out', LOW, camera.root, said=said)
    assert set(watched.left_out) == {'cut', 'text', 'short', 'sound'}
    assert (tmp_path / 'out/scores/whole.npy').is_file()
    assert all(str(folder) in why or 'short' in why for why in watched.left_out.values())
    assert sum(line.startswith('left out: ') for line in said) == 4
    (folder / 'whole.mp4').unlink()
    with pytest.raises(ValueError, match='none of the recordings can be watched: '):
        quietly('yard', [str(folder)], tmp_path / 'none', LOW, camera.root)


def test_what_cannot_be_watched_at_all(camera, tmp_path):
    with pytest.raises(FileNotFoundError, match='gate: no such model'):
        quietly('gate', [str(camera.new)], root=camera.root)
    with pytest.raises(FileNotFoundError, match='gone.mp4: no such video file or folder'):
        quietly('yard', ['gone.mp4'], root=camera.root)
    with pytest.raises(ValueError, match='or one live source .*, got 0, a.mp4'):
        quietly('yard', ['0', 'a.mp4'], root=camera.root)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty: holds no images, no videos'):
        quietly('yard', [str(tmp_path / 'empty')], tmp_path / 'out', root=camera.root)
    for false_alarms in (0.0, 4000.0):
        with pytest.raises(ValueError, match='false_alarms: expected above 0 and below 3600'):
            quietly('yard', [str(camera.new)], tmp_path, WatchSettings(false_alarms), camera.root)
    # A model that was tampered with: cut short, or a byte of its weights altered.
    whole_file = camera.learned.model.read_bytes()
    for number, content in enumerate(
        [whole_file[:-500], whole_file[:3000] + b'xxxx' + whole_file[3004:], b'text']
    ):
        path = tmp_path / f'{number}.pth'
        path.write_bytes(content)
        with pytest.raises((ValueError, OSError), match=re.escape(str(path))):
            quietly(path, [str(camera.new)], tmp_path / 'out', LOW)


def mpegts(frames: list[np.ndarray], rate: int = 10) -> bytes:
    path = Path(os.environ.get('TMPDIR', '/tmp')) / f'mmvad-{os.getpid()}.ts'
    try:
        return write_video(path, frames, rate).read_bytes()
    finally:
        path.unlink(missing_ok=True)


def serve(address: socket.socket, data: bytes, pieces: int, pause: float, times: int) -> None:
    """The same video to each of so many who ask, a piece at a time."""
    for _ in range(times):
        connection, _ = address.accept()
        with connection:
            step = -(-len(data) // pieces)
            for start in range(0, len(data), step):
                connection.sendall(data[start : start + step])
                time.sleep(pause)
    address.close()


def test_a_stream_that_drops_and_comes_again(camera, tmp_path, monkeypatch):
    """Two connections, each cut: what happened is there, and each frame is accounted for."""
    monkeypatch.setattr(sources, 'BACK_OFF', (0.1, 0.2))
    frames = frames_of(camera, '01.mp4')
    listener = socket.create_server(('127.0.0.1', 0))
    address = f'tcp://127.0.0.1:{listener.getsockname()[1]}'
    data = mpegts(frames)
    threading.Thread(target=serve, args=(listener, data, 40, 0.12, 2), daemon=True).start()
    said: list[str] = []
    settings = WatchSettings(
        threshold=1.0, hold=0.5, status=1.0, timeout=3.0, give_up=1.0, every_frame=True, clips=0.5
    )
    with pytest.raises(SourceError, match='tried again in vain'):
        quietly('yard', [address], tmp_path, settings, camera.root, said=said)
    record = json.loads((tmp_path / 'watch.json').read_text())
    counts = record['stream']
    assert counts['read'] == 2 * len(frames) and counts['dropped'] == 2
    assert counts['drifted'] == 0
    parts = ('scored', 'left_out', 'lost', 'empty', 'early', 'waiting')
    accounted = sum(counts[part] for part in parts)
    assert accounted == counts['read'] and counts['scored'] > len(frames)
    events = read_events(tmp_path / 'events.jsonl')
    assert record['events'] == len(events) >= 1
    lines = [json.loads(line) for line in (tmp_path / 'events.jsonl').open()]
    # Each was written when it opened, and again when it closed.
    assert [event.state for event in events] == ['closed'] * len(events)
    assert sum(line['state'] == 'open' for line in lines) == len(events)
    assert all(event.clock and event.source == address for event in events)
    for event in events:
        with av.open(str(tmp_path / event.clip)) as container:
            assert sum(1 for _ in container.decode(video=0)) > 1
    assert any('tried again in 0.1 s' in line for line in said)
    assert any(line.endswith(': is there again') for line in said)
    assert any('frames scored' in line and 'delay' in line for line in said)


@pytest.mark.slow
def test_frames_on_a_pipe_by_the_command(camera, tmp_path):
    frames = frames_of(camera, '00.mp4')
    raw = b''.join(frame.tobytes() for frame in frames)
    process = command(
        'watch', 'yard', '-', '--pipe', 'raw', '--size', '160x120', '--rate', '10', '--root',
        camera.root, '--threshold', '2', '--out', tmp_path, stdin=subprocess.PIPE,
    )  # fmt: skip
    out, err = process.communicate(raw, timeout=120)
    assert process.returncode == 0, err
    record = json.loads((tmp_path / 'watch.json').read_text())
    assert record['stream']['read'] == len(frames) and record['stream']['left_out'] == 0
    assert b'frames scored' in out and str(tmp_path).encode() in out
    assert (tmp_path / 'events.csv').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_events_and_files(camera, tmp_path, number):
    frames = frames_of(camera, '00.mp4')
    process = command(
        'watch', 'yard', '-', '--pipe', 'raw', '--size', '160x120', '--rate', '10', '--root',
        camera.root, '--threshold', '-1', '--out', tmp_path, stdin=subprocess.PIPE,
    )  # fmt: skip
    for frame in frames[:70]:
        process.stdin.write(frame.tobytes())
    process.stdin.flush()
    deadline = time.monotonic() + 100
    while not (tmp_path / 'events.jsonl').exists() or not read_events(tmp_path / 'events.jsonl'):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    # It waits for more on the pipe.
    assert [event.state for event in read_events(tmp_path / 'events.jsonl')] == ['open']
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f'stopped by {number.name}; events and files are closed'.encode() in err
    (event,) = read_events(tmp_path / 'events.jsonl')
    assert event.state == 'closed'
    assert json.loads((tmp_path / 'watch.json').read_text())['events'] == 1
    with (tmp_path / 'events.csv').open(newline='') as file:
        assert [row['id'] for row in csv.DictReader(file)] == [event.id]


@pytest.mark.slow
def test_errors_are_a_line_and_an_exit_code(camera, tmp_path):
    (tmp_path / 'a.mp4').write_text('text')
    asked = [
        ((tmp_path / 'a.mp4', '--threshold', '2'), 'a.mp4: cannot be opened as a video'),
        (('tcp://127.0.0.1:9',), 'tcp://127.0.0.1:9: cannot be watched: Connection refused'),
    ]
    for args, says in asked:
        process = command('watch', 'yard', *args, '--root', camera.root, '--out', tmp_path / 'out')
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1 and says in err, err
        assert err.splitlines()[-1].startswith('error: ') and 'Traceback' not in err


def test_a_camera_that_shows_nothing(camera, tmp_path, monkeypatch):
    """Black, then frozen, then as ever: it is told when and what; black frames score nothing."""
    frames = frames_of(camera, '00.mp4')
    black = [np.zeros_like(frames[0])] * 60
    given = [*frames[:40], *black, *[frames[40]] * 70, *frames[40:]]
    pipe = SimpleNamespace(buffer=io.BytesIO(b''.join(frame.tobytes() for frame in given)))
    monkeypatch.setattr(sys, 'stdin', pipe)
    said: list[str] = []
    settings = WatchSettings(threshold=50.0, status=0.0, pipe='raw', size=(160, 120), rate=10.0)
    watched = quietly('yard', ['-'], tmp_path, settings, camera.root, said=said)
    assert watched.counts.empty == 60 and watched.counts.read == len(given)
    # Equal frames stand still as well, and a second is not worth a word.
    assert [re.sub(r'^pipe: \d+ s: ', '', line) for line in said] == [
        'frames are of a single colour since 4 s',
        'the picture stands still since 4 s',
        'the camera shows something again',
        'the camera shows something again',
        'the picture stands still since 10 s',
        'the camera shows something again',
    ]
    assert watched.events == 0


def test_a_camera_that_goes_black_while_something_happens(camera, tmp_path, monkeypatch):
    frames = frames_of(camera, '00.mp4')
    given = [*frames[:60], *[np.zeros_like(frames[0])] * 80]
    pipe = SimpleNamespace(buffer=io.BytesIO(b''.join(frame.tobytes() for frame in given)))
    monkeypatch.setattr(sys, 'stdin', pipe)
    settings = WatchSettings(
        threshold=-1.0, hold=0.5, status=0.0, pipe='raw', size=(160, 120), rate=10.0
    )
    quietly('yard', ['-'], tmp_path, settings, camera.root)
    (event,) = read_events(tmp_path / 'events.jsonl')
    # It ends with the last frame that showed something.
    assert (event.state, event.end_frame, event.end) == ('closed', 59, pytest.approx(5.9))


class Burst(sources.LiveSource):
    """Frames that come faster than they can be scored."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        super().__init__('tcp://camera')
        self.images = frames

    def frames(self):
        for image in self.images:
            yield sources.LiveFrame(image, self._time())
            time.sleep(0.005)


@pytest.mark.parametrize('stopped', [False, True])
def test_each_frame_is_accounted_for(camera, tmp_path, monkeypatch, stopped):
    """Black ones while there is no time to look, too; and the one in hand when a signal comes."""
    frames = frames_of(camera, '00.mp4')
    black = [np.zeros_like(frames[0])] * 5
    given = [image for n in range(0, 160, 20) for image in (*(frames * 2)[n : n + 20], *black)]
    scorer, paced = StreamScorer(camera.learned.model, background=frames), Burst(given)
    push, pushed = scorer.push, []

    def slow(image, time_, look):
        pushed.append(look)
        if stopped and sum(pushed) == 20:
            raise KeyboardInterrupt
        time.sleep(0.02 * look)
        return push(image, time_, look)

    monkeypatch.setattr(scorer, 'push', slow)
    writer = EventWriter(tmp_path, 50.0, Reasons(scorer.model, scorer.channel))
    stream = StreamWatch(scorer, PacedFrames(paced), writer, 1.0, status=0.0, tell=str)
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            stream.run()
    else:
        stream.run()
    found = stream.summary
    fates = ('scored', 'left_out', 'lost', 'empty', 'early', 'waiting')
    assert sum(found[fate] for fate in fates) == found['read'] <= len(given)
    assert found['scored'] + found['early'] == sum(pushed) - stopped
    assert found['left_out'] > 0 and min(found[fate] for fate in fates) >= 0
    if not stopped:
        assert found['read'] == len(given) and found['waiting'] == 0


def test_an_event_is_the_same_as_by_hand(whole):
    """The state against a plain loop over seconds."""
    for result in whole.values():
        state, found = AlarmState(2.0, 0.5), []
        for number, score in enumerate(result.scores.tolist()):
            _, over = state.step(number, number / 10, score)
            found += [over] if over else []
        last = state.finish()
        found += [last] if last else []
        above = np.flatnonzero(result.scores > 2.0)
        parts = np.split(above, np.flatnonzero(np.diff(above) > 5) + 1) if len(above) else []
        assert [(f.start_frame, f.end_frame) for f in found] == [(p[0], p[-1]) for p in parts]
