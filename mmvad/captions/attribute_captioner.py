"""Sentences from measured attributes: captions where no CLIP weights can be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from reprlib import repr as brief
from typing import Any

import numpy as np
from scipy.stats import theilslopes

from mmvad.motion import AttributeMeter
from mmvad.registry import CAPTIONERS
from mmvad.structures import SENTENCES, FrameObjects

from .base import BaseCaptioner
from .templates import TEMPLATES, check_templates, fill

#: Words in ascending order of a quantity, parted at quantiles of the training split.
WORDS: dict[str, tuple[str, ...]] = {
    'speed': (
        'hardly moving',
        'strolling',
        'walking slowly',
        'walking',
        'walking briskly',
        'rushing',
        'running',
        'racing',
    ),
    'spread': ('with still limbs', 'with moving limbs', 'with swinging limbs', 'with wild limbs'),
    'size': ('tiny', 'small', 'of normal size', 'big', 'huge', 'gigantic'),
    'shape': ('slim', 'upright', 'broad', 'wide', 'very wide'),
    'tone': ('dark', 'grey', 'light', 'bright'),
    'contrast': ('plain', 'mixed', 'patterned'),
    'ring_tone': ('dark', 'grey', 'light', 'bright'),
    'ring_texture': ('smooth', 'uneven', 'busy'),
    'depth': ('far away', 'at middle distance', 'close by'),
}
# The last words of some quantities begin at these quantiles. Were all words equally frequent, what
# is faster or larger than usual would share a word, and so its features, with the common.
TAILS = {'speed': (0.95, 0.985), 'spread': (0.97,), 'size': (0.97,), 'shape': (0.97,)}
# Eighths of a turn in the image, from the right and counter-clockwise.
DIRECTIONS = (
    'to the right',
    'away to the right',
    'away from the camera',
    'away to the left',
    'to the left',
    'nearer to the left',
    'towards the camera',
    'nearer to the right',
)
SIDES = ('on the left', 'in the middle', 'on the right')  # thirds of the frame's width
COMPANY = ('a neighbour', 'a pair of neighbours', 'a group of neighbours')
BANDS = 8  # of objects, by their place in the image, from which the usual height is learnt


@CAPTIONERS.register_module()
class AttributeCaptioner(BaseCaptioner):
    """Fill the templates of section 3.2 of the paper with words for what can be measured.

    Speed, direction and the motion of limbs make the action sentence; tone, contrast, size and
    shape the appearance; tone and texture around the object and its place in the view the
    background; number and side of the neighbours the object sentence. Speed and size are relative
    to the height an object usually has at its place in the image, so that perspective does not
    count. Words are parted at quantiles of the training split; nothing is random.

    Args:
        templates: Sentence key to template with one field; default: those for a person.
    """

    def __init__(
        self,
        templates: Mapping[str, str] | None = None,
    ) -> None:
        self.measure = AttributeMeter()
        self.templates = check_templates(templates or TEMPLATES['person'])
        self._state: dict[str, Any] | None = None

    def fit(self, samples: Iterable[FrameObjects]) -> None:
        """Learn the usual height at each place and the quantiles that part the words.

        Raises:
            ValueError: If the samples hold no object.
        """
        measured = [self.measure(sample) for sample in samples]
        if not sum(map(len, measured)):
            raise ValueError('AttributeCaptioner.fit: the training split holds no object')
        table = np.concatenate(measured)
        self._state = dict(height=_usual_height(table), edges={})
        for name, values in self._quantities(table).items():
            self._state['edges'][name] = np.quantile(values, levels(name)).tolist()

    def state(self) -> dict[str, Any]:
        """``height``: slope, intercept and least of the usual height; ``edges``: bins by name."""
        return self._fitted()

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned.

        Raises:
            ValueError: If a field is missing or has another length; the message names it.
        """
        if not isinstance(state, dict):
            raise ValueError(f'AttributeCaptioner state: expected a dict, got {brief(state)}')
        edges = state.get('edges')
        if not isinstance(edges, dict):
            raise ValueError(
                f'AttributeCaptioner state: edges: expected a dict, got {brief(edges)}'
            )
        self._state = dict(
            height=_numbers('height', state.get('height'), 3),
            edges={name: _numbers(name, edges.get(name), len(WORDS[name]) - 1) for name in WORDS},
        )
        if unsorted := next((n for n, e in self._state['edges'].items() if e != sorted(e)), None):
            raise ValueError(
                f'AttributeCaptioner state: {unsorted}: expected ascending numbers, got '
                f'{edges[unsorted]!r}'
            )

    def caption(self, sample: FrameObjects) -> list[dict[str, str]]:
        self._fitted()
        table = self.measure(sample)
        return [
            {
                key: fill(self.templates[key], phrase)
                for key, phrase in zip(SENTENCES, _phrases(record, words), strict=True)
            }
            for record, words in zip(table, self._words(table), strict=True)
        ]

    def _fitted(self) -> dict[str, Any]:
        if self._state is None:
            raise RuntimeError('AttributeCaptioner: call fit() or load_state() first')
        return self._state

    def _quantities(self, table: np.ndarray) -> dict[str, np.ndarray]:
        """(N,) values of each quantity in :data:`WORDS`."""
        slope, intercept, least = self._fitted()['height']
        usual = np.maximum(slope * table['centre'][:, 1] + intercept, least)
        return {
            'speed': table['speed'] / usual,
            'spread': table['spread'] / usual,
            'size': table['height'] / usual,
            'shape': table['width'] / table['height'],
            'tone': table['tone'],
            'contrast': table['contrast'],
            'ring_tone': table['ring_tone'],
            'ring_texture': table['ring_texture'],
            'depth': table['view'][:, 1],
        }

    def _words(self, table: np.ndarray) -> list[dict[str, str]]:
        edges = self._fitted()['edges']
        columns = {
            name: np.searchsorted(edges[name], values).tolist()
            for name, values in self._quantities(table).items()
        }
        return [
            {name: WORDS[name][column[row]] for name, column in columns.items()}
            for row in range(len(table))
        ]


def levels(name: str) -> list[float]:
    """The quantiles that part the words of a quantity: evenly spaced up to its tail, if any."""
    tail = TAILS.get(name, (1.0,))
    even = len(WORDS[name]) - len(tail) + (name not in TAILS)
    return [*np.linspace(0, tail[0], even + 1)[1:-1].tolist(), *(t for t in tail if t < 1)]


def _numbers(name: str, values: Any, length: int) -> list[float]:
    numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    # JSON's numbers may be of any length, and NaN.
    if not numbers or len(values) != length or not all(abs(v) < float('inf') for v in values):
        raise ValueError(
            f'AttributeCaptioner state: {name}: expected {length} finite numbers, got '
            f'{brief(values)}'
        )
    return [float(value) for value in values]


def _usual_height(table: np.ndarray) -> list[float]:
    """Slope and intercept of an object's usual height over the row of its middle, and its least.

    Boxes that hold several objects are too high and too low-footed at once, which would pass for
    perspective: so the slimmer half only, a low quantile, and the middle in place of the foot.
    """
    shape = table['width'] / table['height']
    slim = table[shape <= np.median(shape)]
    bands = np.array_split(slim[np.argsort(slim['centre'][:, 1], kind='stable')], BANDS)
    rows = np.array([np.median(band['centre'][:, 1]) for band in bands if len(band)])
    heights = np.array([np.quantile(band['height'], 0.25) for band in bands if len(band)])
    least = 0.3 * float(np.median(slim['height']))
    if np.ptp(rows) < 1:
        return [0.0, float(np.median(heights)), least]
    slope, intercept = theilslopes(heights, rows)[:2]
    return [float(slope), float(intercept), least]


def _phrases(record: np.void, words: dict[str, str]) -> tuple[str, str, str, str]:
    """What fills the action, appearance, background and object template of one object."""
    x, y = record['velocity']
    if words['speed'] == WORDS['speed'][0]:
        motion = words['speed']  # the direction would be that of the noise
    elif np.hypot(x, y) < 0.5 * record['speed']:
        motion = f'{words["speed"]} to and fro'  # the parts cancel out
    else:
        turn = round(np.arctan2(-y, x) / (np.pi / 4)) % 8
        motion = f'{words["speed"]} {DIRECTIONS[turn]}'
    side = SIDES[min(int(record['view'][0] * 3), 2)]
    left, right = record['neighbours']
    if left + right:
        where = 'on both sides' if left and right else 'on the left' if left else 'on the right'
        company = f'{COMPANY[min(left + right, 3) - 1]} {where}'
    else:
        company = 'nobody near'
    return (
        f'{motion} {words["spread"]}',
        f'{words["tone"]} {words["contrast"]} clothes, {words["size"]} and {words["shape"]}',
        f'a {words["ring_tone"]} {words["ring_texture"]} place {side}, {words["depth"]}',
        company,
    )
