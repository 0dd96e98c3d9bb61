"""Whether a camera still looks where it did, and in what light: by the empty scene, no label."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from mmvad.motion.registration import Registration, ViewStructure

# Width of the pictures that are compared, pixels.
_WIDTH = 320
# Seconds between two looks; looks that the empty scene is the median of, an odd number.
_EVERY, _KEPT = 2.0, 15
# The scene is judged after so many looks, and so many times alike until it is said.
_JUDGED, _TIMES = 5, 3
# Pixels of the small picture that a corner moves, from which on the camera moved, and is back.
_MOVED, _BACK = 3.0, 2.0
# Agreement of structure from which on a move is believed, how much better than without it that
# has to be, and below which nothing is where it was.
_BELIEVED, _BETTER, _NOTHING = 0.2, 0.05, 0.12
# Brightness or contrast so many times higher or lower are other light, and the same light again.
_LIGHT, _LIGHT_BACK = 2.0, 1.6
# Colour below this share of what it was is grey (infrared), and its grey levels that tell so.
_GREY, _GREY_BACK, _COLOURED = 0.25, 0.4, 6.0


@dataclass(frozen=True)
class View:
    """The empty scene, small.

    Args:
        structure: What of it does not depend on light.
        brightness: Mean grey level.
        contrast: Standard deviation of the grey levels.
        colour: Mean grey levels between the strongest and the weakest channel.
        size: Width and height.
    """

    structure: ViewStructure
    brightness: float
    contrast: float
    colour: float
    size: tuple[int, int]

    @classmethod
    def of(cls, picture: np.ndarray) -> View:
        """Of a small picture, (H, W, 3) uint8 BGR."""
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        # Of noise that each channel has of its own, little is left.
        soft = cv2.GaussianBlur(picture, (0, 0), 2.0)
        colour = cv2.subtract(soft.max(axis=2), soft.min(axis=2))
        return cls(
            ViewStructure.of(grey),
            float(grey.mean()),
            float(grey.std()),
            float(colour.mean()),
            (grey.shape[1], grey.shape[0]),
        )

    def light_apart(self, other: View) -> float:
        """How many times brighter, or of higher contrast, one of both is; at least 1."""
        ratios = (
            (self.brightness + 1) / (other.brightness + 1),
            (self.contrast + 1) / (other.contrast + 1),
        )
        return max(max(ratio, 1 / ratio) for ratio in ratios)


@dataclass
class Lasting:
    """Something that is told when it lasts, and when it is over.

    Args:
        now: Whether it is so.
        times: How often it began.
    """

    now: bool = False
    times: int = 0
    _row: int = field(default=0, repr=False)

    def judge(self, is_so: bool) -> bool:
        """Whether it has just turned, the last times having been alike."""
        self._row = 0 if is_so == self.now else self._row + 1
        if self._row < _TIMES:
            return False
        self.now, self._row = is_so, 0
        self.times += is_so
        return True


class ViewDrift:
    """Compares the empty scene of the last half minute with that of the first.

    The scene is the median of a look every two seconds, so that who passes, a lamp that is on for
    seconds and a short shake are not in it. That the camera moved is seen by structure (see
    :mod:`mmvad.motion.registration`), other light by brightness, contrast and colour. Both are
    told when three views of the scene, ten seconds apart, agree.

    Args:
        tell: Takes a sentence when something has changed for good, and when it is back.
        name: Of the model, for what is advised.
    """

    def __init__(self, tell: Callable[[str], None], name: str = 'NAME') -> None:
        self.tell = tell
        self._advice = f'if it stays so, `mmvad adapt {name} RECORDINGS` learns it'
        #: Whether it looks elsewhere, and whether the light is another.
        self.moved, self.light = Lasting(), Lasting()
        self._last, self._width = -np.inf, _WIDTH
        self._begin()

    def _begin(self) -> None:
        self._looks: deque[np.ndarray] = deque(maxlen=_KEPT)
        self._first: View | None = None
        self._new = 0

    def look(self, image: np.ndarray, time: float) -> None:
        """The next frame, (H, W, 3) uint8 BGR, and its seconds, ascending. With frames of another
        form it begins anew."""
        if time - self._last < _EVERY - 1e-3:
            return
        self._last, self._width = time, image.shape[1]
        height = max(16, round(image.shape[0] * _WIDTH / image.shape[1]))
        picture = cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA)
        if self._looks and self._looks[0].shape != picture.shape:
            self._begin()
            self.moved.now = self.light.now = False
        self._looks.append(picture)
        self._new += 1
        if len(self._looks) == _KEPT and self._new >= _JUDGED:
            self._new = 0
            middle = _KEPT // 2
            now = View.of(np.partition(np.stack(self._looks), middle, axis=0)[middle])
            if self._first is None:
                self._first = now
                return
            self._judge_light(self._first, now, time)
            self._judge_place(self._first, now, time)

    def _judge_light(self, first: View, now: View, time: float) -> None:
        bound, grey = (_LIGHT_BACK, _GREY_BACK) if self.light.now else (_LIGHT, _GREY)
        lost = first.colour >= _COLOURED and now.colour < grey * first.colour
        apart = first.light_apart(now) >= bound
        if not self.light.judge(lost or apart):
            return
        values = (
            f'brightness {first.brightness:.0f} at first and {now.brightness:.0f} now, contrast '
            f'{first.contrast:.0f} and {now.contrast:.0f}, colour {first.colour:.0f} and '
            f'{now.colour:.0f}'
        )
        if not self.light.now:
            self.tell(f'{time:.0f} s: the light is as at first again: {values}')
            return
        what = 'the light has changed'
        if apart and now.brightness < first.brightness:
            what = 'it has become dark'
        elif lost:
            what = 'the picture has lost its colour, as by infrared'
        self.tell(f'{time:.0f} s: {what}: {values}; {self._advice}')

    def _judge_place(self, first: View, now: View, time: float) -> None:
        found = first.structure.register(now.structure)
        if found.agreement >= _BELIEVED:
            # What agrees as well without a move has not moved.
            better = found.agreement >= found.unmoved + _BETTER
            bound = _BACK if self.moved.now else _MOVED
            if self.moved.judge(better and found.furthest(now.size) >= bound):
                self.tell(f'{time:.0f} s: {self._place(found, now)}')
        elif (
            # Little light or fog leaves no structure, which is not another place.
            not self.light.now
            and found.agreement < _NOTHING
            and 2 * now.structure.strength >= first.structure.strength
            and self.moved.judge(True)
        ):
            self.tell(
                f'{time:.0f} s: the camera shows another view: nothing is where it was at first '
                f'(structure agrees by {found.agreement:.2f} of 1); {self._advice}'
            )

    def _place(self, found: Registration, now: View) -> str:
        if not self.moved.now:
            return 'the view is as at first again'
        scale = self._width / now.size[0]
        right, down = found.shift(now.size) * scale
        return (
            f'the camera has moved: things are up to {found.furthest(now.size) * scale:.0f} of '
            f'{self._width} pixels from where they were at first ({right:+.0f} right, '
            f'{down:+.0f} down, turned {found.degrees:+.1f} degrees, zoom {found.zoom:.2f}); '
            f'{self._advice}'
        )
