"""The page to hand on, in a headless Chromium; skipped where there is none."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import browser
from report_work import FPS, ODD, an_event, make_work

from mmvad.apis.report import build_report
from mmvad.structures import Event, EventFile, read_events
from mmvad.visualization.page import Moment, Page, PageVideo, Reason, Row, Table, write_page


@pytest.fixture
def work(tmp_path) -> Path:
    return make_work(tmp_path)


def evil(text: str) -> str:
    return f'{text}<img src=x onerror="window.pwned=1">\'"</script><script>window.pwned=1</script>'


@pytest.fixture(scope='module')
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp('profile')) as page:
        yield page


@pytest.fixture
def fresh(chromium, tmp_path):
    chromium.window(1000, 900)
    yield chromium
    # Before the files of its page go with the test's folder.
    chromium.leave()


READY = (
    "document.querySelectorAll('.video[data-ready]').length === {} && "
    "[...document.querySelectorAll('.stage video')].every(v => v.readyState >= 2)"
)


@pytest.fixture
def watched(work) -> list[Event]:
    """Events of both videos of the work dir, in a file."""
    file = EventFile(work / 'events.jsonl')
    for number, start in enumerate((0.5, 2.0, 3.5)):
        video = ODD if number else 'deep/plain'
        file.write(an_event(number, start, video=video))
    file.close()
    return read_events(work / 'events.jsonl')


def frame_of(page, number: int) -> str:
    return page.run(f"document.querySelector('#video-{number}').dataset.frame")


def seconds_of(page, number: int) -> float:
    return page.run(f"document.querySelector('#video-{number} .stage video').currentTime")


def test_clicks_seek_and_events_match(fresh, work, watched, tmp_path):
    html = build_report(work, tmp_path / 'page', tell=lambda line: None)
    fresh.open(html)
    fresh.wait(READY.format(2))
    # The chips are the events of the file, in time, and say so.
    chips = fresh.run(
        "[...document.querySelectorAll('.video')].map(v => [v.querySelector('h2').textContent, "
        "...[...v.querySelectorAll('.chip.event')].map(c => Number(c.dataset.peak))])"
    )
    expected = {'deep/plain': [], ODD: []}
    for event in watched:
        expected[event.video].append(event.peak)
    assert chips == [[name, *peaks] for name, peaks in expected.items()]
    # A click on one goes to its peak and shows why; the one before closes.
    for event, number in zip(watched, (0, 1, 1), strict=True):
        fresh.click(f'document.querySelector(\'#video-{number} [data-peak="{event.peak}"]\')')
        fresh.wait(f"document.querySelector('#video-{number}').dataset.frame == {event.peak_frame}")
        assert seconds_of(fresh, number) == pytest.approx(event.peak, abs=1 / FPS)
        shown = fresh.run(
            "[...document.querySelectorAll('.why:not([hidden])')].map(w => w.innerText)"
        )
        assert len(shown) == 1 and 'It moves & jumps.' in shown[0]
    # A click on the curve goes to its share of the time, and the box there is drawn.
    fresh.click("document.querySelector('#video-0 .curve')", across=0.803)
    fresh.wait("document.querySelector('#video-0').dataset.frame == 80")
    fresh.wait("document.querySelector('#video-0').dataset.boxes == 1")
    assert seconds_of(fresh, 0) == pytest.approx(4.0, abs=1 / FPS)
    assert 'highest box' in fresh.run("document.querySelector('#video-0 .now').textContent")
    coloured = (
        "(() => { const c = document.querySelector('#video-0 .boxes');"
        'const w = c.width, h = c.height, d = c.getContext("2d").getImageData(0, 0, w, h).data;'
        'let x = [w, 0], y = [h, 0]; for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) {'
        'const a = (i / 4) % w, b = Math.floor(i / 4 / w);'
        'x = [Math.min(x[0], a), Math.max(x[1], a)]; y = [Math.min(y[0], b), Math.max(y[1], b)]; }'
        'return [x[0] / w, x[1] / w, y[1] / h]; })()'
    )
    # 40 to 50 of 128 pixels across, down to 55 of 96.
    assert fresh.run(coloured) == pytest.approx([40 / 128, 50 / 128, 55 / 96], abs=0.02)
    assert not fresh.complaints, fresh.complaints
    folder = html.parent.as_uri()
    assert all(r.startswith((folder, 'data:')) for r in fresh.requests), fresh.requests


def test_keys(fresh, work, watched, tmp_path):
    fresh.open(build_report(work, tmp_path / 'page', tell=lambda line: None))
    fresh.wait(READY.format(2))
    focused = 'document.activeElement.dataset.peak'
    # In between, the object that why.json explains.
    for key, peak in (('n', 1), ('n', 2.5), ('n', 2.5), ('n', 4), ('n', 1), ('p', 4), ('p', 2.5)):
        fresh.press(key)
        assert float(fresh.run(focused)) == peak
    fresh.wait("document.querySelector('#video-1').dataset.frame == 50")
    fresh.press('ArrowRight')
    fresh.wait("document.querySelector('#video-1').dataset.frame == 70")
    fresh.press('ArrowLeft', shift=True)
    fresh.wait("document.querySelector('#video-1').dataset.frame == 69")
    fresh.run('document.activeElement.blur()')
    fresh.press(' ')
    fresh.wait("!document.querySelector('#video-1 .stage video').paused")
    fresh.wait("Number(document.querySelector('#video-1').dataset.frame) > 72")
    fresh.press(' ')
    fresh.wait("document.querySelector('#video-1 .stage video').paused")
    # A slider that says where it is; boxes off.
    now = fresh.run(
        "Number(document.querySelector('#video-1 .curve').getAttribute('aria-valuenow'))"
    )
    assert now == pytest.approx(seconds_of(fresh, 1), abs=2 / FPS)
    fresh.press('b')
    fresh.wait("document.querySelector('#video-1').dataset.boxes == 0")
    assert not fresh.complaints, fresh.complaints


def test_phones_dark_and_screen_readers(fresh, work, watched, tmp_path):
    fresh.open(build_report(work, tmp_path / 'page', tell=lambda line: None))
    fresh.window(360, 740, phone=True)
    fresh.press('n')
    assert fresh.run('document.documentElement.scrollWidth') <= 360
    # A finger finds what is to be touched.
    high = fresh.run(
        "Math.min(...[...document.querySelectorAll('.chip')].map(c => c.offsetHeight))"
    )
    assert high >= 36
    grounds = []
    for scheme in ('light', 'dark'):
        fresh.prefer(scheme)
        colours = fresh.run(
            "['backgroundColor', 'color'].map(n => getComputedStyle(document.body)[n])"
        )
        ground, ink = (np.mean([int(v) for v in re.findall(r'\d+', c)[:3]]) for c in colours)
        assert abs(ground - ink) > 150
        grounds.append(ground)
    assert grounds[0] > 200 > 60 > grounds[1]
    # Everything that acts has a name and a role.
    tree = fresh.call('Accessibility.getFullAXTree')['nodes']
    acting = {'button', 'slider', 'link', 'checkbox', 'Video', 'image', 'img'}
    nameless = [
        node['role']['value'] for node in tree
        if not node['ignored'] and node['role']['value'] in acting
        and not node.get('name', {}).get('value')
    ]  # fmt: skip
    assert nameless == []
    roles = [node['role']['value'] for node in tree if not node['ignored']]
    assert roles.count('slider') >= 2 and {'main', 'navigation', 'status', 'article'} <= set(roles)


def test_nothing_in_a_page_runs(fresh, tmp_path):
    """Whatever texts hold."""
    reason = Reason(
        evil('sentence'), {evil('term'): 0.5}, [[evil('cell')] * 4], [[0.5]], [evil('near')],
    )  # fmt: skip
    moment = Moment('0', 0.0, 0.1, 0.2, 1.0, evil('what'), True, evil('clock'), reason)
    video = PageVideo(
        evil('name'), 10.0, np.arange(5.0), moments=[moment], notes=[evil('note')]
    )  # fmt: skip
    page = Page(
        evil('title'), evil('made'), [video, replace(video, scores=None, moments=())], 0.5,
        [Row(evil('row'), evil('value'), evil('meaning'))],
        [Table(evil('caption'), [evil('column')], [[evil('cell')]])], evil('config'), [evil('n')],
    )  # fmt: skip
    fresh.open(write_page(page, tmp_path))
    fresh.press('n')
    fresh.wait("document.querySelector('#video-0').dataset.frame == 1")
    assert fresh.run('window.pwned === undefined')
    assert fresh.run("document.querySelector('h1').textContent") == evil('title')
    assert not fresh.complaints, fresh.complaints
