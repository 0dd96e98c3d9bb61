"""The page to hand on: what is in it, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import REPO
from report_work import FPS, FRAMES, ODD, an_event, make_work, write

from mmvad.apis.report import ReportOptions, build_report
from mmvad.apis.report.results import read_results
from mmvad.apis.report.words import sentence
from mmvad.structures import EventFile
from mmvad.visualization import write_video


@pytest.fixture
def work(tmp_path) -> Path:
    return make_work(tmp_path)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.text = ''
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.text += ' ' if tag in ('td', 'th') else ''

    def handle_data(self, data):
        self.text += data

    def of(self, tag: str, **wanted: str) -> list[dict]:
        return [
            attrs for name, attrs in self.found
            if name == tag and all(attrs.get(k.rstrip('_')) == v for k, v in wanted.items())
        ]  # fmt: skip


def page_of(folder: Path) -> Elements:
    return Elements((folder / 'index.html').read_text(encoding='utf-8'))


def numbers_of(folder: Path, number: int) -> dict:
    text = (folder / f'data/{number}.js').read_text()
    return json.loads(re.fullmatch(r'mmvadPage\.take\(\d+, (.*)\);\n', text)[1])


def test_what_a_test_left_is_all_there(work, tmp_path):
    html = build_report(work, tmp_path / 'page', tell=lambda line: None)
    assert html == tmp_path / 'page/index.html'
    page, text = page_of(html.parent), ' '.join(page_of(html.parent).text.split())
    assert [found['id'] for found in page.of('article')] == ['video-0', 'video-1']
    # Frames 40 to 59, 20 a second, are above the threshold; the object in them says why.
    assert '2.0 s to 3.0 s speed score 7.50' in text
    assert 'by speed: 75% of the score. Velocity is 9.25 px, where 0 to 2 is' in text
    assert 'Micro-AUC 91.25 %' in text and 'faster 80.0 70.0 to 90.0 12.5' in text
    assert 'video <i>n</i>, frame 3, distance 1.25' in text and 'seed = 0 # <script>' in text
    (picture,) = page.of('img')
    assert (html.parent / picture['src']).read_bytes() == (work / 'why/01.jpg').read_bytes()
    numbers = numbers_of(html.parent, 1)
    assert numbers['labels'] == [[45, 60]] and numbers['threshold'] == 5.0
    assert numbers['scores'][50] == 7.5 and numbers['raw'][50] == 8.5
    assert numbers['objects']['boxes'][4 * 50 : 4 * 51] == [25, 25, 35, 40]
    # The player is as long as the video, and is what browsers play.
    for source in page.of('source'):
        with av.open(str(html.parent / source['src'])) as container:
            (stream,) = container.streams.video
            assert stream.codec_context.name == 'h264' and stream.frames == FRAMES
            assert float(stream.duration * stream.time_base) == pytest.approx(5.0, abs=0.01)


def test_names_are_text(work, tmp_path):
    folder = build_report(work, tmp_path / 'page', tell=lambda line: None).parent
    page = page_of(folder)
    assert page.text.count(ODD) >= 2 and not page.of('b', id='x') and not page.of('i')
    assert {found['aria-label'] for found in page.of('video')} == {
        'Video deep/plain', f'Video {ODD}'
    }  # fmt: skip
    # One script of the page, those of the data come later; nothing is written into one.
    assert page.of('script') == [dict(src='assets/page.js')]
    names = [path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()]
    assert all(re.fullmatch(r'[A-Za-z0-9_./-]+', name) for name in names), names


def test_nothing_is_fetched_from_elsewhere(work, tmp_path):
    """No address with a host in any file; every file that the page names is there."""
    folder = build_report(work, tmp_path / 'page', tell=lambda line: None).parent
    for path in folder.rglob('*.*'):
        if path.suffix in ('.html', '.css', '.js'):
            assert not re.search(r'(https?:)?//\w', path.read_text(encoding='utf-8')), path
    for tag, attrs in page_of(folder).found:
        for name in ('src', 'href', 'data-source'):
            place = attrs.get(name, '')
            if place and not place.startswith(('#', 'data:')):
                assert (folder / place).is_file(), (tag, place)


def test_what_a_watch_leaves(tmp_path):
    """Events alone, of a stream that is over: pictures and clips in place of a player."""
    root = tmp_path / 'watch'
    write_video((np.zeros((64, 64, 3), np.uint8) for _ in range(5)), root / 'clips/a.mp4', 5)
    # Names of which the same is left in any file system, and longer than that.
    first, second = (f'{letter * 30}{"x" * 60}.jpg' for letter in '\u65e5\u672c')
    cv2.imwrite(str(root / 'a.jpg'), np.zeros((9, 9, 3), np.uint8))
    (root / 'a.jpg').rename(root / first)
    (root / second).write_bytes(b'another')
    events = [
        an_event(1, 2.0, clip='clips/a.mp4', thumbnail=first, clock='2025-03-01T12:00:00+01:00'),
        an_event(2, 9.0, state='open', end=None, end_frame=None, thumbnail=second),
    ]
    file = EventFile(root / 'events.jsonl')
    for event in events:
        file.write(event)
    file.close()
    folder = build_report(root, tell=lambda line: None).parent
    assert folder == root / 'report'
    page = page_of(folder)
    text = ' '.join(page.text.split())
    assert 'Event: motion, 2.0 s to 3.0 s (2025-03-01T12:00:00+01:00)' in text
    assert 'It moves & jumps.' in text and '2 events above a score of 5.00' in text
    assert [chip['data-peak'] for chip in page.of('button')] == ['2.5', '9.5']
    (clip,) = page.of('video', class_='clip')
    assert (folder / clip['src']).read_bytes() == (root / 'clips/a.mp4').read_bytes()
    pictures = [picture['src'] for picture in page.of('img')]
    assert [(folder / picture).read_bytes() for picture in pictures] == [
        (root / first).read_bytes(), b'another'
    ]  # fmt: skip
    assert all(re.fullmatch(r'files/[\w-]+\.jpg', picture, re.ASCII) for picture in pictures)
    assert 'No pictures' in text


def test_recordings_that_were_watched(work, tmp_path):
    """Scores and events; also those without an event are found again, and the threshold is told."""
    (work / 'tested.json').unlink()
    (work / 'metrics.json').unlink()
    EventFile(work / 'events.jsonl').close()
    for number, video in enumerate(('deep/plain', ODD)):
        (tmp_path / f'day/{video}').parent.mkdir(parents=True)
        (tmp_path / f'videos/{number}.mp4').rename(tmp_path / f'day/{video}.mp4')
    write(work / 'watch.json', dict(threshold=5.5, sources=[str(tmp_path / 'day'), '/gone']))
    folder = build_report(work, tmp_path / 'page', tell=lambda line: None).parent
    page = page_of(folder)
    assert len(page.of('source')) == 2 and numbers_of(folder, 1)['threshold'] == 5.5
    # What the file of events does not hold is none, whatever the score.
    assert not page.of('button', class_='chip event') and '0 events' in page.text
    assert numbers_of(folder, 0)['fps'] == FPS


def test_long_videos_are_bounded_and_say_so(work, tmp_path):
    options = ReportOptions(most_frames=30, most_videos=1, height=48, settings=False, title='<T>')
    told: list[str] = []
    folder = build_report(work, tmp_path / 'page', options, told.append).parent
    page, text = page_of(folder), ' '.join(page_of(folder).text.split())
    # One in four of a hundred frames, half as high; the other video keeps its curve.
    (source,) = page.of('source')
    with av.open(str(folder / source['src'])) as container:
        (stream,) = container.streams.video
        assert (stream.frames, stream.width, stream.height) == (25, 64, 48)
        assert float(stream.duration * stream.time_base) == pytest.approx(5.0, abs=0.01)
    # Of the frames that are left out, the page has the score, and no boxes.
    numbers = numbers_of(folder, 1)
    assert numbers['objects']['frames'] == list(range(0, 100, 4)) and len(numbers['scores']) == 100
    assert numbers_of(folder, 0)['objects'] is None
    assert 'one in 4 of its 100 frames is shown' in text and any('one in 4' in t for t in told)
    assert '1 of 2 videos can be played' in text and len(page.of('canvas', class_='curve')) == 2
    assert 'seed = 0' not in text and '<T>' in text
    # The one with the higher scores is played.
    assert page.of('article')[1]['id'] in 'video-1' and '1_' in source['src']
    for name in ('most_frames', 'most_videos', 'height'):
        with pytest.raises(ValueError, match=f'{name}: expected a whole number'):
            ReportOptions(**{name: -1})


def test_videos_that_moved_are_looked_for(work, tmp_path):
    (tmp_path / 'videos').rename(tmp_path / 'moved')
    lost = build_report(work, tmp_path / 'page', tell=lambda line: None)
    assert 'where the video lies has changed' in lost.read_text()
    assert not page_of(lost.parent).of('source')
    (tmp_path / 'moved/0.mp4').rename(tmp_path / 'moved/plain.mp4')
    found = build_report(
        work, tmp_path / 'page', ReportOptions(videos=tmp_path / 'moved'), lambda line: None
    )
    assert len(page_of(found.parent).of('source')) == 1
    # Another video by the same name is none.
    write_video(
        (np.zeros((96, 128, 3), np.uint8) for _ in range(7)), tmp_path / 'moved/plain.mp4', 5
    )
    other = build_report(
        work, tmp_path / 'page', ReportOptions(videos=tmp_path / 'moved'), lambda line: None
    )
    assert 'plain.mp4 has 7 frames, the scores are of 100' in other.read_text()


@pytest.mark.parametrize(
    ('file', 'content', 'words'),
    [
        ('metrics.json', '{', 'metrics.json: not JSON'),
        ('metrics.json', '[]', 'metrics.json: expected a JSON object'),
        ('why.json', '{"objects": [{"video": "a"}]}', 'why.json: objects.0: not the record'),
        ('tested.json', '{"channel": "all"}', 'tested.json: not the record of a test'),
        ('events.jsonl', '{"format": 1}\n', 'events.jsonl, line 1: '),
        ('scores/deep/plain.npy', 'x', 'plain.npy: '),
        ('objects/deep/plain.npz', 'x', 'plain.npz: '),
    ],
)  # fmt: skip
def test_damaged_files_are_named(work, tmp_path, file, content, words):
    write(work / file, content)
    with pytest.raises(ValueError, match=re.escape(words)):
        build_report(work, tmp_path / 'page', tell=lambda line: None)
    assert not (tmp_path / 'page').exists()


def test_a_name_means_the_last_that_was_watched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for stamp in ('20250102_030405', '20250101_090000'):
        file = EventFile(tmp_path / f'work_dirs/yard/watch/{stamp}/events.jsonl')
        file.write(an_event(1, 2.0))
        file.close()
    last = Path('work_dirs/yard/watch/20250102_030405')
    assert build_report('yard', tell=lambda line: None) == last / 'report/index.html'


def test_other_folders_are_left_alone(work, tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing: no such work dir'):
        read_results(tmp_path / 'nothing')
    (tmp_path / 'mine').mkdir()
    with pytest.raises(ValueError, match='mine: holds neither scores/ nor events.jsonl'):
        read_results(tmp_path / 'mine')
    write(tmp_path / 'mine/index.html', '<html>my own</html>')
    with pytest.raises(ValueError, match='mine: is there, and is no report'):
        build_report(work, tmp_path / 'mine', tell=lambda line: None)
    assert (tmp_path / 'mine/index.html').read_text() == '<html>my own</html>'


def test_a_page_that_does_not_come_to_its_end_leaves_the_one_before(work, tmp_path, monkeypatch):
    before = build_report(work, tmp_path / 'page', tell=lambda line: None).read_text()
    calls = []

    def stopped(*args):
        calls.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr('mmvad.apis.report.build.encode_player', stopped)
    with pytest.raises(KeyboardInterrupt):
        build_report(work, tmp_path / 'page', ReportOptions(title='new'), lambda line: None)
    assert calls and (tmp_path / 'page/index.html').read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['page', 'videos', 'work']


def test_the_sentence_names_what_is_out_of_the_usual():
    values = [
        dict(name='a', unit='px', value=5.0, usual=[0, 1], share=0.2),
        dict(name='b', unit='px', value=0.5, usual=[0, 1], share=0.9),
        dict(name='c', unit='px', value=-5.0, usual=[0, 1], share=0.5),
        dict(name='d', unit='px', value=9.0, usual=[0, 1], share=0.05),
    ]
    assert sentence({}, values) == ''
    assert sentence(dict(speed=0.6, size=0.4), values) == (
        'Mostly by speed: 60% of the score. C is -5 px, where 0 to 1 is usual; a is 5 px, where '
        '0 to 1 is usual.'
    )


def test_the_page_of_a_real_run(undisturbed, tmp_path):
    """What the engine leaves today is what the page reads."""
    command = [sys.executable, REPO / 'tools/report.py', undisturbed, '--out', tmp_path / 'page']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(tmp_path / 'page/index.html')
    page = page_of(tmp_path / 'page')
    assert len(page.of('source')) == 2 and 'Micro-AUC' in page.text
    metrics = json.loads((undisturbed / 'metrics.json').read_text())
    labelled = sum(
        stop - start for n in range(2) for start, stop in numbers_of(tmp_path / 'page', n)['labels']
    )
    assert labelled == metrics['abnormal_frames'] > 0
    reasons = json.loads((undisturbed / 'why.json').read_text())['objects']
    assert len(page.of('img')) == len(reasons) > 0
    assert 'stages = dict(' in page.text
