"""Why an object scores high, as one picture: the object in its frame, what each term says of it,
and the training objects that it is most like.

Images are BGR uint8 (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from .heatmaps import overlay
from .plots import save_figure

_CROP = 240  # pixels, the longer side
_CONTEXT = 1.7  # of the object's longer side
_OUTLINE = (60, 220, 250)
_BAR = '#14507a'
_DPI = 100
# Inches. Everything has its place, so that nothing overlaps and nothing has to be measured.
_WIDTH, _MARGIN, _LINE = 10.0, 0.25, 0.15
_PICTURE, _GAP, _HEADING, _NOTE = 1.4, 0.12, 0.3, 0.34


@dataclass(frozen=True)
class TermPicture:
    """What one term says.

    Args:
        name: Of the term.
        surprisal: Of the object.
        weight: In the sum; 0: it does not count.
        share: Of the sum, from 0 to 1.
        lines: What was measured.
        heat: Where the object is unlike the nearest training object, over a crop of it.
        nearest: The nearest training objects, nearest first: picture, None where there is none, and
            what stands below.
    """

    name: str
    surprisal: float
    weight: float
    share: float
    lines: Sequence[str] = ()
    heat: np.ndarray | None = None
    nearest: Sequence[tuple[np.ndarray | None, str]] = ()


@dataclass(frozen=True)
class WhyPicture:
    """An object of high score.

    Args:
        title: Where it was found.
        score: Its score.
        scene: Its frame with its box.
        crop: The object.
        terms: What each term says, in the order in which they are drawn.
    """

    title: str
    score: float
    scene: np.ndarray
    crop: np.ndarray
    terms: Sequence[TermPicture]


def object_crop(frame: np.ndarray, box: np.ndarray, heat: np.ndarray | None = None) -> np.ndarray:
    """An object with what is around it, inside the frame.

    Args:
        frame: BGR uint8 (H, W, 3).
        box: (4,) xyxy, pixels; outlined.
        heat: (G, G), at least 0: of each cell of the box; None: no heat map.

    Returns:
        BGR uint8, square where the frame is large enough, the longer side 240 pixels.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box)
    size = np.array(frame.shape[1::-1])
    side = np.minimum(np.ceil(_CONTEXT * max(x2 - x1, y2 - y1, 8.0)), size)
    middle = np.array([x1 + x2, y1 + y2]) / 2
    left, top = (middle - side / 2).clip(0, size - side).astype(int)
    width, height = side.astype(int)
    scale = _CROP / max(width, height)
    crop = cv2.resize(
        frame[top : top + height, left : left + width],
        (round(width * scale), round(height * scale)),
        interpolation=cv2.INTER_CUBIC,
    )
    corners = (np.array([x1, y1, x2, y2]) - [left, top] * 2) * scale
    limit = np.array(crop.shape[1::-1] * 2)
    inner = corners.round().astype(int).clip(0, limit).tolist()
    a, b, c, d = inner
    if heat is not None and c > a and d > b:
        heat = heat / max(float(heat.max()), 1e-12)
        crop[b:d, a:c] = overlay(crop[b:d, a:c], heat, (c - a, d - b))
    cv2.rectangle(crop, (a, b), (c - 1, d - 1), _OUTLINE, 1)
    return crop


def plot_why(picture: WhyPicture, path: str | Path) -> None:
    """Draw an object of high score.

    Args:
        picture: What to draw.
        path: A PNG or JPEG file, 1000 pixels wide; written whole or not at all.
    """
    counting = [term for term in picture.terms if term.weight and _tells(term)]
    bars = _LINE * 1.25 * len(picture.terms)
    ratio = picture.scene.shape[0] / picture.scene.shape[1]
    wide = min(5.6, 4.4 / ratio)
    top = max(wide * ratio, _PICTURE + 2 * _HEADING + bars)
    rows = [_row_height(term) for term in counting]
    page = _Page(2 * _MARGIN + _HEADING + top + _GAP + sum(rows))

    y = _MARGIN
    page.text(_MARGIN, y, f'{picture.title}, score {picture.score:.2f}', 12, weight='bold')
    y += _HEADING
    page.show(picture.scene, _MARGIN, y, wide, top)
    right = _MARGIN + wide + 3 * _GAP
    crop = top - 2 * _HEADING - bars
    page.show(picture.crop, right, y, _WIDTH - _MARGIN - right, crop)
    page.text(right, y + crop + _GAP, 'share of the sum', 8)
    page.bars(picture.terms, right, y + crop + _HEADING + _GAP / 2, bars)
    y += top + _GAP
    for term, high in zip(counting, rows, strict=True):
        page.term(term, y)
        y += high
    save_figure(page.figure, path)


def plot_why_overview(pictures: Sequence[WhyPicture], path: str | Path, columns: int = 4) -> None:
    """Draw objects of high score side by side, each with the term that counts most.

    Args:
        pictures: At least one.
        path: A PNG or JPEG file, 1000 pixels wide; written whole or not at all.
        columns: Side by side.
    """
    side = (_WIDTH - _MARGIN) / columns
    step = _NOTE + side
    page = _Page(_MARGIN + -(-len(pictures) // columns) * step)
    for number, picture in enumerate(pictures):
        x, y = _MARGIN + number % columns * side, _MARGIN + number // columns * step
        most = max(picture.terms, key=lambda term: term.share)
        about = f'score {picture.score:.2f}, {most.name} {most.share:.0%}'
        page.text(x, y, f'{picture.title}\n{about}', 8)
        page.show(picture.crop, x, y + _NOTE, side - _MARGIN, side - _MARGIN)
    save_figure(page.figure, path)


class _Page:
    """A figure on which things are put at inches from the left and the top.

    Args:
        height: Inches.
    """

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)

    def text(self, x: float, y: float, text: str, size: float, **style) -> None:
        at = x / _WIDTH, 1 - y / self.height
        # A name may hold what means mathematics to matplotlib.
        self.figure.text(*at, text, fontsize=size, va='top', parse_math=False, **style)

    def show(self, image: np.ndarray, x: float, y: float, wide: float, high: float) -> None:
        """A picture as large as fits, in the upper left corner of its place."""
        scale = _DPI * min(wide / image.shape[1], high / image.shape[0])
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        # Several times as fast as axes for each picture.
        fit = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        below = round((self.height - y) * _DPI) - size[1]
        self.figure.figimage(fit[:, :, ::-1], round(x * _DPI), below)

    def bars(self, terms: Sequence[TermPicture], x: float, y: float, high: float) -> None:
        """The share of each term in the sum."""
        left = x + 0.075 * max(len(term.name) for term in terms) + 0.1
        wide, bottom = _WIDTH - _MARGIN - left, self.height - y - high
        axes = self.figure.add_axes(
            (left / _WIDTH, bottom / self.height, wide / _WIDTH, high / self.height)
        )
        shares = [term.share for term in terms]
        axes.barh(range(len(terms)), shares, color=_BAR, height=0.6)
        # Room for the numbers behind the longest bar.
        axes.set(xlim=(0, max([*shares, 1e-6]) * 2.2), ylim=(len(terms) - 0.5, -0.5), xticks=[])
        axes.set_yticks(range(len(terms)), [term.name for term in terms], fontsize=8)
        axes.tick_params(length=0)
        axes.spines[['top', 'right', 'bottom']].set_visible(False)
        for row, (term, value) in enumerate(zip(terms, shares, strict=True)):
            share = f'{value:.0%}' if term.weight else 'not counted'
            text = f'{share}, surprisal {term.surprisal:.2f}'
            axes.annotate(
                text, (value, row), (4, 0), textcoords='offset points', va='center', fontsize=8
            )

    def term(self, term: TermPicture, y: float) -> None:
        """What one term says, over the whole width."""
        heading = f'{term.name}: surprisal {term.surprisal:.2f}, {term.share:.0%} of the sum'
        self.text(_MARGIN, y + _GAP / 2, heading, 10, weight='bold')
        x = _WIDTH - _MARGIN - len(term.nearest) * (_PICTURE + _GAP)
        if term.nearest:
            self.text(x, y + _GAP / 2, 'the training objects most like it', 8)
        y += _HEADING
        self.text(_MARGIN, y, '\n'.join(_lines(term)), 8, linespacing=1.25)
        if term.heat is not None:
            self.show(term.heat, x - _PICTURE - 3 * _GAP, y, _PICTURE, _PICTURE)
        for crop, note in term.nearest:
            if crop is not None:
                self.show(crop, x, y, _PICTURE, _PICTURE)
            else:
                self.text(x, y + _PICTURE / 2, 'no picture', 8, color='#888888')
            self.text(x, y + _PICTURE + 0.04, note, 7)
            x += _PICTURE + _GAP


def _tells(term: TermPicture) -> bool:
    return bool(term.lines or term.nearest or term.heat is not None)


def _lines(term: TermPicture) -> list[str]:
    if term.lines or term.heat is None:
        return list(term.lines)
    return ['red: where it is least like the', 'training object most like it']


def _row_height(term: TermPicture) -> float:
    pictures = _PICTURE + _NOTE if term.nearest or term.heat is not None else 0.0
    lines = sum(line.count('\n') + 1 for line in _lines(term)) * _LINE
    return _HEADING + max(pictures, lines) + _GAP
