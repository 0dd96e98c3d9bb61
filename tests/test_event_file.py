"""Event files: written line by line, read back with a look at every field."""

from __future__ import annotations

import csv
import json
import re
import resource
from dataclasses import replace

import pytest

from mmvad.structures import (
    Event,
    EventFile,
    EventObject,
    NoSpaceError,
    read_events,
    write_event_table,
)

OPEN = Event(
    id='yard-1',
    state='open',
    source='rtsp://camera/stream',
    video='yard',
    start=12.4,
    start_frame=310,
    peak=12.6,
    peak_frame=315,
    score=7.5,
    threshold=6.0,
    kind='speed',
    why='Moves at 9 pixels a frame; usual there is 1 to 3.',
    clock='2024-05-01T12:00:00+02:00',
    shares=dict(speed=0.7, motion=0.3),
    objects=(EventObject((1.0, 2.0, 30.0, 60.0), 8.0, 4), EventObject((5, 5, 9, 9), 1.0)),
    values=(dict(name='speed', unit='pixels a frame', value=9.0, usual=[1.0, 3.0]),),
    nearest=(dict(video='morning', frame=7, box=[0, 0, 9, 9], distance=2.5),),
    thumbnail='thumbnails/yard-1.jpg',
)
CLOSED = replace(
    OPEN, state='closed', end=15.0, end_frame=375, peak=13.0, peak_frame=325, score=9.0
)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / 'events.jsonl'
    file = EventFile(path)
    file.write(OPEN)
    # On disk at once, not at the end.
    assert read_events(path) == [OPEN]
    file.write(replace(OPEN, id='yard-2'))
    file.write(CLOSED)
    file.close()
    assert read_events(path) == [CLOSED, replace(OPEN, id='yard-2')]
    again = EventFile(path)
    again.write(replace(CLOSED, id='yard-2'))
    again.close()
    assert [event.state for event in read_events(path)] == ['closed', 'closed']


def test_a_line_that_was_not_finished_is_left_out_and_then_dropped(tmp_path):
    path = tmp_path / 'events.jsonl'
    path.write_text(f'{OPEN.line}\n{CLOSED.line[:50]}')
    assert read_events(path) == [OPEN]
    file = EventFile(path)
    file.write(CLOSED)
    file.close()
    assert read_events(path) == [CLOSED]
    path.write_text('{"half')
    EventFile(path).close()
    assert read_events(path) == [] and path.read_bytes() == b''


def test_a_full_disk_loses_no_line_that_is_there(tmp_path):
    path = tmp_path / 'events.jsonl'
    file = EventFile(path)
    file.write(OPEN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(OPEN.line) + 100, hard))
    try:
        with pytest.raises(NoSpaceError, match='events.jsonl'):
            file.write(CLOSED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == f'{OPEN.line}\n'
    file.write(CLOSED)
    assert read_events(path) == [CLOSED]


@pytest.mark.parametrize(
    ('field', 'value', 'says'),
    [
        ('format', 2, 'format: expected 1, got 2'),
        ('id', '', 'id: expected a name'),
        ('id', 3, 'id: expected a text, got 3'),
        ('state', 'over', "state: expected open or closed, got 'over'"),
        ('start', float('nan'), 'start: expected a number, got nan'),
        ('score', None, 'score: expected a number, got None'),
        ('score', True, 'score: expected a number, got True'),
        ('peak', 1.0, 'peak: expected from the start on, 12.4 s, got 1 s'),
        ('peak_frame', -3, 'peak_frame: expected a whole number'),
        ('end', 13.0, 'end: expected none of an open event, got 13.0'),
        ('clock', 'noon', "clock: expected ISO 8601 with its zone, got 'noon'"),
        ('clock', '2024-05-01T12:00:00', 'clock: expected ISO 8601'),
        ('shares', dict(speed=3), 'shares: expected terms with shares 0 to 1'),
        ('objects', [dict(box=[1, 2, 3], score=1)], 'objects.0: box: expected four numbers'),
        ('objects', [dict(box=[9, 2, 3, 4], score=1)], 'objects.0: box: expected x1 <= x2'),
        ('objects', [dict(score=1)], 'objects.0: '),
        ('objects', 'none', "objects: expected a list, got 'none'"),
        ('values', [3], 'values: expected a list of objects'),
        ('thumbnail', '../../x.jpg', "thumbnail: expected a path below the event file's folder"),
        ('clip', '/etc/passwd', "clip: expected a path below the event file's folder"),
        ('colour', 'red', "'colour': no such field"),
    ],
)
def test_a_field_that_is_off_is_named_with_file_and_line(tmp_path, field, value, says):
    path = tmp_path / 'events.jsonl'
    record = json.loads(OPEN.line) | {field: value}
    path.write_text(f'{OPEN.line}\n{json.dumps(dict(record, id=record["id"] or ""))}\n')
    with pytest.raises(ValueError, match=re.escape(f'{path}, line 2: {says}')):
        read_events(path)


@pytest.mark.parametrize(
    ('line', 'says'),
    [
        ('{', 'line 1: not JSON'),
        ('[1]', 'line 1: expected a JSON object, got list'),
        ('{"format": 1}', 'line 1: id: missing'),
        ('{"format": 1, "format": 1}', "line 1: not JSON: key 'format' comes 2 times"),
        (f'{CLOSED.line}\n{OPEN.line}', "line 2: id: 'yard-1' was closed by a line before"),
        (CLOSED.line.replace('"end": 15.0', '"end": 12.5'), 'end: expected from the peak on'),
    ],
)
def test_lines_that_are_no_events(tmp_path, line, says):
    path = tmp_path / 'events.jsonl'
    path.write_text(f'{line}\n')
    with pytest.raises(ValueError, match=re.escape(says)):
        read_events(path)
    with pytest.raises(FileNotFoundError, match='no such event file'):
        read_events(tmp_path / 'other.jsonl')


def test_the_table(tmp_path):
    path = tmp_path / 'events.csv'
    write_event_table(path, [CLOSED, replace(CLOSED, id='b', why='=HYPERLINK("x")', objects=())])
    with path.open(newline='') as file:
        first, second = csv.DictReader(file)
    assert (first['id'], first['start'], first['end'], first['kind']) == (
        'yard-1', '12.4', '15.0', 'speed'
    )  # fmt: skip
    assert [first[key] for key in ('x1', 'y1', 'x2', 'y2', 'track')] == [
        '1.0', '2.0', '30.0', '60.0', '4'
    ]  # fmt: skip
    # No spreadsheet takes it for a formula.
    assert second['why'] == '\'=HYPERLINK("x")' and second['x1'] == ''
