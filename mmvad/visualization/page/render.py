"""Writes a page: HTML by a template, style, script, and a script of numbers a video."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mmvad.structures import atomic_path

from ..plots import seconds_text
from .contents import Page, PageVideo

#: In the head of each page, by which it is known.
GENERATOR = '<meta name="generator" content="mmvad">'
_ASSETS = ('page.css', 'page.js')
_TEMPLATE = 'page.html'


def write_page(page: Page, folder: str | Path) -> Path:
    """Write a page, each file whole or not at all; the HTML comes last.

    Args:
        page: What it shows. The files that it names lie in ``folder`` already.
        folder: Where to write.

    Returns:
        The HTML file.
    """
    folder, package = Path(folder), files(__package__)
    for name in _ASSETS:
        _write(folder / 'assets' / name, package.joinpath(name).read_text(encoding='utf-8'))
    for number, video in enumerate(page.videos):
        _write(folder / data_file(number), _script(number, numbers_of(video, page)))
    html = folder / 'index.html'
    _write(html, render(page))
    return html


def data_file(number: int) -> str:
    """The script with the numbers of a video, by its path from the page."""
    return f'data/{number}.js'


def render(page: Page) -> str:
    """The HTML of a page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= dict(time=seconds_text, percent=lambda share: f'{share:.0%}')
    environment.globals |= dict(data_file=data_file, generator=Markup(GENERATOR))
    template = files(__package__).joinpath(_TEMPLATE).read_text(encoding='utf-8')
    return environment.from_string(template).render(page=page)


def numbers_of(video: PageVideo, page: Page) -> dict[str, Any]:
    """What the script of the page needs of a video, as JSON can hold it."""
    content: dict[str, Any] = dict(
        fps=video.fps,
        threshold=page.threshold,
        limits=page.limits,
        size=video.size,
        seconds=video.seconds,
        scores=_rounded(video.scores),
        raw=_rounded(video.raw),
        labels=_runs(video.labels),
        moments=[
            dict(id=m.id, start=m.start, peak=m.peak, end=m.end, event=m.is_event)
            for m in video.moments
        ],
        objects=None,
    )
    if video.objects is not None:
        frames = np.asarray(video.objects.frames)
        content['objects'] = dict(
            frames=frames.tolist(),
            boxes=np.rint(video.objects.boxes).astype(int).ravel().tolist(),
            scores=_rounded(video.objects.scores),
        )
    return content


def _script(number: int, content: dict[str, Any]) -> str:
    """A page from disk may load scripts, and nothing else."""
    text = json.dumps(content, separators=(',', ':'), allow_nan=False)
    return f'mmvadPage.take({number}, {text});\n'


def _rounded(values: np.ndarray | None) -> list[float] | None:
    return None if values is None else np.round(np.asarray(values, float), 3).tolist()


def _runs(labels: np.ndarray | None) -> list[list[int]] | None:
    """Runs of ones as [start, stop] frames, stop excluded."""
    if labels is None:
        return None
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(labels) != 0, [0]]).astype(int)))
    return edges.reshape(-1, 2).tolist()


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8')
