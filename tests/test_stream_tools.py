"""The tools that measure how streams are watched: their figures add up and agree with a test's."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO
from test_watch import frames_of, mpegts

from mmvad.apis import VADInferencer
from mmvad.apis.sources import LiveSource


def tool(name: str) -> dict:
    return runpy.run_path(str(REPO / f'tools/analysis_tools/{name}.py'))


@pytest.fixture
def printed(capsys) -> Callable[..., list[str]]:
    """What a tool prints, line by line."""

    def run(name: str, *arguments: object) -> list[str]:
        functions = tool(name)
        functions['main'](functions['make_parser']().parse_args(list(map(str, arguments))))
        return capsys.readouterr().out.splitlines()

    return run


def test_streams_beside_a_test(printed, undisturbed):
    # At 25 frames a second the videos would be over before there are three seconds of background.
    options = ('--cfg-options', 'test_dataset.frame_rate=10')
    lines = printed('compare_stream', undisturbed, *options)
    assert lines.count('00: 40 frames, 28 before the first') == 1
    table = {line[:44].strip(): [float(cell) for cell in line[44:].split()] for line in lines[-4:]}
    both, causal, streams, shown = table.values()
    figures = json.loads((undisturbed / 'metrics.json').read_text())
    assert both[:2] == pytest.approx([figures['auc/micro'], figures['auc/macro']], abs=0.006)
    # The background is all that such a stream lacks.
    assert shown[2:] == pytest.approx(causal[2:], abs=0.006) and shown[2:] != both[2:]
    assert all(0 < cell <= 100 for cell in streams)
    *_, streams = printed('compare_stream', undisturbed)[-2].rpartition('streams')
    assert streams.split()[2:] == ['-', '-']


def test_streams_without_labels_are_refused(printed, camera):
    with pytest.raises(ValueError, match='its config names no test_dataset'):
        printed('compare_stream', camera.learned.model)


def test_the_parts_of_a_stream_add_up(printed, camera):
    before = LiveSource._decoded
    lines = printed(
        'benchmark_stream', 'yard', camera.new / '01.mp4', '--root', camera.root,
        '--threshold', '1', '--clips', '0.5',
    )  # fmt: skip
    assert LiveSource._decoded is before
    assert f'{camera.frames} frames of 160 x 120' in lines[0] and ' 0 events' not in lines[0]
    assert lines[1].startswith('end to end: ') and lines[-1].startswith('peak memory: ')
    start = next(i for i, line in enumerate(lines) if line.startswith('part '))
    parts = {line[:22].strip(): float(line[22:].split()[0]) for line in lines[start + 1 : -1]}
    assert parts.pop('all') == pytest.approx(sum(parts.values()), abs=0.2)
    assert all(
        parts[name] > 0
        for name in ('decoding', 'boxes', 'optical flow', 'scoring', 'events', 'clips: written')
    )


def test_false_alarms_promised_and_found(printed, camera):
    rates = [60, 600, 3000]
    lines = printed(
        'count_false_alarms', 'yard', camera.normal, '--root', camera.root, '--rates', *rates
    )
    rows = [line.split() for line in lines[-2 * len(rates) :]]
    assert [row[0] for row in rows] == ['recordings'] * 3 + ['streams'] * 3
    seconds = 2 * camera.frames / 10
    assert f' 2 recordings, {seconds:.0f} s' in lines[-2 * len(rates) - 2]
    for row in rows:
        rate, count, found, low, high = (float(row[n]) for n in (1, 5, 6, 7, 9))
        assert float(row[3]) == pytest.approx(rate * seconds / 3600, abs=0.006)
        assert found == pytest.approx(count * 3600 / seconds, abs=0.06) and low <= found <= high
    # By hand: each time the score comes from below, as far as the two seconds' hold does not join.
    results = VADInferencer(camera.learned.model)(camera.normal, show_progress=False)
    by_hand, over, threshold = 0, 0, float(rows[2][2])
    for result in results:
        above = np.flatnonzero(result.scores > threshold) / 10
        by_hand += len(above) and 1 + int((np.diff(above) > 2).sum())
        # What is promised are seconds, of which those that follow each other are one event.
        whole = [result.scores[n : n + 10].max() for n in range(0, len(result.scores), 10)]
        over += int((np.array(whole) > threshold).sum())
    assert int(rows[2][5]) == by_hand and int(rows[2][4]) == over


@pytest.mark.parametrize(
    ('count', 'interval'), [(0, (0, 3.689)), (1, (0.025, 5.572)), (10, (4.795, 18.390))]
)
def test_intervals_are_those_of_tables(count, interval):
    assert tool('count_false_alarms')['poisson_interval'](count) == pytest.approx(
        interval, abs=5e-4
    )


def test_what_an_endurance_run_says():
    functions = tool('watch_endurance')
    line = 'cam: 200 frames scored, 9.9 a second, 1 events, 30 left out, 4 lost, 6 of a single '
    line += 'colour, 7 damaged, 2 times gone, delay 0.25 s'
    assert functions['frames_of'](line) == (240, 0.25)
    assert functions['frames_of']('cam: gone (ended); tried again in 1 s') is None
    frames = np.arange(1, 101) * 1000
    rows = np.stack([frames, 500 + frames / 2e4, frames / 100, np.full(100, 0.1)], 1)
    counts = dict(scored=9, left_out=1, lost=0, empty=0, early=2, waiting=0, read=12, dropped=0)
    said = functions['summary'](rows.tolist(), dict(counts, damaged=0, events=0, seconds=4.0))
    assert said[0].startswith('read 12 = 9 scored') and said[0].endswith(' = 12')
    assert '+5.0 MiB per 100,000 frames' in said[2] and '500 MiB at 10000 frames' in said[2]


SERVER = """
import socket, sys, time
data = open(sys.argv[2], 'rb').read()
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
connection, _ = listener.accept()
for start in range(0, len(data), step := -(-len(data) // 200)):
    connection.sendall(data[start : start + step])
    time.sleep(0.1)
"""


@pytest.mark.slow
def test_an_endurance_run_whose_server_is_killed(camera, tmp_path, capsys, monkeypatch):
    """Some seconds of one: the real command, a real socket, a server that is killed once."""
    import socket

    monkeypatch.setenv('PYTHONPATH', str(REPO))
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / 'server.py').write_text(SERVER)
    (tmp_path / 'video.ts').write_bytes(mpegts(frames_of(camera, '01.mp4') * 8))
    functions = tool('watch_endurance')
    functions['main'].__globals__['_PAUSE'] = 0.5
    server = f'{sys.executable} {tmp_path}/server.py {port} {tmp_path}/video.ts'
    args = functions['make_parser']().parse_args(
        ['yard', f'tcp://127.0.0.1:{port}', '--out', str(tmp_path / 'out'), '--frames', '300',
         '--every', '1', '--server', server, '--restarts', '1',
         f'--watch=--root {camera.root}']
    )  # fmt: skip
    code = functions['main'](args)
    said = capsys.readouterr().out.splitlines()
    assert code == 0, said
    assert said[-3].startswith('1 times gone') and 'delay: median' in said[-1], said
    with Path(tmp_path / 'out/endurance.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]['frames']) >= 300 and int(rows[-1]['dropped']) == 1
    assert all(float(row['rss_mib']) > 100 for row in rows)
