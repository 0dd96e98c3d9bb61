"""Anomalies made of normal video: what happens to one object of a frame.

Each kind is a transform from a :class:`~mmvad.anomalies.Moment` to the frames in which something is
wrong with its object. Another kind is another class, registered in ``ANOMALIES``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import cv2
import numpy as np

from mmvad.registry import ANOMALIES

from .scene import Moment, grown, inside, paste


class BaseAnomaly(ABC):
    """A kind of anomaly.

    ``text`` says in a few words what happens, for a table.
    """

    text = ''

    def reach(self, steps: int) -> int:
        """Frames before and after the moment that are looked at."""
        return steps

    def suits(self, moment: Moment) -> bool:
        """Whether the object at the moment can be altered so."""
        return True

    @abstractmethod
    def __call__(self, moment: Moment) -> tuple[list[np.ndarray], np.ndarray]:
        """The T frames, oldest first, and the (4,) box of what is wrong in the last, xyxy,
        pixels."""


class _Retimed(BaseAnomaly):
    """Another time is shown where the object is; the rest goes on as it does."""

    def suits(self, moment: Moment) -> bool:
        # What stands still looks the same at every speed.
        return moment.moves

    @abstractmethod
    def when(self, offset: int) -> int:
        """The offset that is shown in place of one, which is at most 0."""

    def __call__(self, moment: Moment) -> tuple[list[np.ndarray], np.ndarray]:
        frames = moment.frames()
        offsets = [self.when(offset) for offset in moment.offsets]
        # All the places where the object is seen, or would have been.
        ends = (min(offsets), max(offsets), 1 - moment.steps, 0)
        shifts = [moment.velocity * offset for offset in ends]
        boxes = np.stack([grown(moment.object, 0.25) + np.tile(shift, 2) for shift in shifts])
        whole = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
        x1, y1, x2, y2 = inside(whole, frames[0].shape)
        edge = _edge((y2 - y1, x2 - x1))
        for frame, offset in zip(frames, offsets, strict=True):
            paste(frame, moment.look(offset)[y1:y2, x1:x2], edge, np.array([x1, y1]))
        return frames, moment.object + np.tile(moment.velocity * offsets[-1], 2)


@ANOMALIES.register_module()
class Faster(_Retimed):
    """The object goes so many times as fast.

    Args:
        times: A whole number above 1.
    """

    def __init__(self, times: int = 2) -> None:
        if not (isinstance(times, int) and times > 1):
            raise ValueError(f'Faster.times: expected a whole number above 1, got {times!r}')
        self.times = times
        self.text = f'goes {times} times as fast'

    def reach(self, steps: int) -> int:
        return steps * self.times

    def when(self, offset: int) -> int:
        return offset * self.times


@ANOMALIES.register_module()
class Stopped(_Retimed):
    """The object, which was moving, stands still."""

    text = 'stops where it is'

    def when(self, offset: int) -> int:
        return 0

    def __call__(self, moment: Moment) -> tuple[list[np.ndarray], np.ndarray]:
        frames, box = super().__call__(moment)
        # A sensor never gives the same numbers twice.
        x1, y1, x2, y2 = inside(grown(box, 0.25), frames[0].shape)
        for frame in frames:
            noise = moment.rng.normal(0, 1.5, (y2 - y1, x2 - x1, 1))
            frame[y1:y2, x1:x2] = np.clip(frame[y1:y2, x1:x2] + noise, 0, 255).round()
        return frames, box


@ANOMALIES.register_module()
class Reversed(_Retimed):
    """The object goes the way it came, backwards."""

    text = 'goes backwards, the other way'

    def when(self, offset: int) -> int:
        return -offset


class _Moved(BaseAnomaly):
    """The object is cut out of every frame, altered, and put somewhere.

    ``erases`` says whether the background shows where it was.
    """

    erases = True

    def alter(self, patch: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The patch and the mask as they are put there."""
        return patch, mask

    def foot(self, moment: Moment) -> np.ndarray:
        """(2,) where the middle of its lower edge comes to be at the moment."""
        return moment.foot

    def way(self, moment: Moment, offset: int) -> np.ndarray:
        """(2,) from where it comes to be at the moment to where it is at an offset."""
        return moment.velocity * offset

    def __call__(self, moment: Moment) -> tuple[list[np.ndarray], np.ndarray]:
        frames = moment.frames()
        margin = grown(moment.object, 0.1)
        foot, box = self.foot(moment), None
        for frame, offset in zip(frames, moment.offsets, strict=True):
            if self.erases:
                moment.erase(frame, offset)
            source = margin + np.tile(moment.velocity * offset, 2)
            patch, mask = self.alter(*moment.figure(offset, source))
            height, width = patch.shape[:2]
            corner = foot + self.way(moment, offset) - (width / 2, height)
            paste(frame, patch, mask, corner)
            box = np.concatenate([corner, corner + (width, height)])
        return frames, box


@ANOMALIES.register_module()
class Elsewhere(_Moved):
    """The object is where nobody goes: as far from where objects of training are as there is room
    for it."""

    text = 'is where nobody goes'
    erases = False

    def suits(self, moment: Moment) -> bool:
        height = moment.size[1]
        return self._emptiest(moment)[1] >= 1.5 * height

    def _emptiest(self, moment: Moment) -> tuple[np.ndarray, float]:
        rows, columns = moment.background.shape[:2]
        width, height = moment.size
        x = np.linspace(width, max(width, columns - width), 12)
        y = np.linspace(height, rows, 9)
        spots = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        # An object as tall as those of the same row, so that size does not tell.
        like = np.abs(moment.places[:, 2] - height) < 0.5 * height
        used = moment.places[like if like.any() else slice(None), :2]
        away = np.linalg.norm(spots[:, None] - used[None], axis=2).min(axis=1)
        # Any of the emptiest quarter, so that places differ.
        good = np.flatnonzero(away >= np.quantile(away, 0.75))
        pick = int(moment.rng.choice(good))
        return spots[pick], float(away[pick])

    def foot(self, moment: Moment) -> np.ndarray:
        return self._emptiest(moment)[0]


@ANOMALIES.register_module()
class Resized(_Moved):
    """The object is larger or smaller than it is there, its feet where they are.

    Args:
        times: Factor on width and height.
    """

    def __init__(self, times: float = 1.6) -> None:
        if not 0.1 <= times <= 10 or times == 1:
            raise ValueError(f'Resized.times: expected 0.1 to 10 and not 1, got {times!r}')
        self.times = times
        self.text = f'is {times:g} times as large'

    def alter(self, patch: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = [max(2, round(side * self.times)) for side in patch.shape[1::-1]]
        return tuple(
            cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for image in (patch, mask)
        )


@ANOMALIES.register_module()
class Lying(_Moved):
    """The object is turned on its side, where its feet are."""

    text = 'lies on its side'

    def suits(self, moment: Moment) -> bool:
        width, height = moment.size
        return bool(height > 1.3 * width)

    def alter(self, patch: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turn = cv2.ROTATE_90_CLOCKWISE
        return cv2.rotate(patch, turn), cv2.rotate(mask, turn)


@ANOMALIES.register_module()
class OnTheSpot(_Moved):
    """The object moves its limbs and stays where it is."""

    text = 'moves its limbs and stays'

    def suits(self, moment: Moment) -> bool:
        return moment.moves

    def way(self, moment: Moment, offset: int) -> np.ndarray:
        return np.zeros(2)


class _Drawn(BaseAnomaly):
    """Something that is no part of the video is drawn into it.

    It goes ``pace`` heights of the object a frame, in a direction of chance.
    """

    pace = 0.05

    @abstractmethod
    def draw(self, moment: Moment) -> tuple[np.ndarray, np.ndarray]:
        """The thing, (h, w, 3) uint8, and its mask."""

    def way(self, moment: Moment, offset: int, speed: np.ndarray) -> np.ndarray:
        """(2,) of its lower edge at an offset, beside that at the moment."""
        return speed * offset

    def __call__(self, moment: Moment) -> tuple[list[np.ndarray], np.ndarray]:
        frames = moment.frames()
        patch, mask = self.draw(moment)
        height, width = patch.shape[:2]
        side = moment.rng.choice([-1.0, 1.0])
        speed = np.array([side * self.pace, 0.0]) * moment.size[1]
        beside = np.array([side * (moment.size[0] / 2 + width / 2 + 2), 0.0])
        foot = moment.foot + beside
        if not width / 2 < foot[0] < frames[0].shape[1] - width / 2:
            foot -= 2 * beside
        box = None
        for frame, offset in zip(frames, moment.offsets, strict=True):
            corner = foot + self.way(moment, offset, speed) - (width / 2, height)
            paste(frame, patch, mask, corner)
            box = np.concatenate([corner, corner + (width, height)])
        return frames, box


@ANOMALIES.register_module()
class Vehicle(_Drawn):
    """Something on wheels passes by, of the size of the object.

    It is drawn of plain shapes in colours of chance: unlike what training shows, and like no
    particular thing.

    Args:
        pace: Heights of the object a frame that it goes.
    """

    text = 'a thing on wheels passes'

    def __init__(self, pace: float = 0.04) -> None:
        self.pace = pace

    def draw(self, moment: Moment) -> tuple[np.ndarray, np.ndarray]:
        height = max(8, int(moment.size[1] * moment.rng.uniform(0.6, 0.9)))
        width = int(height * moment.rng.uniform(1.2, 2.0))
        image = np.zeros((height, width, 3), np.uint8)
        mask = np.zeros((height, width), np.float32)
        body = moment.rng.integers(20, 235, 3).tolist()
        wheel = round(0.18 * height)
        top = round(moment.rng.uniform(0.0, 0.5) * height)
        corners = np.array(
            [
                [0, top],
                [round(0.8 * width), top],
                [width - 1, round(0.6 * height)],
                [width - 1, height - wheel],
                [0, height - wheel],
            ]
        )
        for canvas, colour in ((image, body), (mask, 1.0)):
            cv2.fillPoly(canvas, [corners], colour)
        shade = [int(0.6 * c) for c in body]
        cv2.rectangle(image, (0, round(0.7 * height)), (width - 1, height - wheel), shade, -1)
        for x in (wheel, width - 1 - wheel):
            for canvas, colour in ((image, (25, 25, 25)), (mask, 1.0)):
                cv2.circle(canvas, (x, height - 1 - wheel), wheel, colour, -1)
        return image, mask


@ANOMALIES.register_module()
class Thrown(_Drawn):
    """Something small is thrown up and falls.

    Args:
        pace: Heights of the object a frame that it flies.
    """

    text = 'something small is thrown'

    def __init__(self, pace: float = 0.12) -> None:
        self.pace = pace

    def draw(self, moment: Moment) -> tuple[np.ndarray, np.ndarray]:
        side = max(6, int(0.3 * moment.size[1]))
        mask = np.zeros((side, side), np.float32)
        centre, axes = (side // 2, side // 2), (max(2, side // 2 - 1), max(2, side // 3))
        cv2.ellipse(mask, centre, axes, float(moment.rng.uniform(0, 180)), 0, 360, 1.0, -1)
        colour = moment.rng.integers(10, 245, 3)
        return np.broadcast_to(colour, (side, side, 3)).astype(np.uint8), mask

    def way(self, moment: Moment, offset: int, speed: np.ndarray) -> np.ndarray:
        # On its way down from the height of the head.
        height = moment.size[1]
        return speed * offset + np.array([0.0, 0.5 * height * (offset / 8) ** 2 - 0.9 * height])


def _edge(shape: tuple[int, int]) -> np.ndarray:
    """(h, w) float32: 1 inside, falling to 0 over the outermost pixels."""
    height, width = shape
    y = np.minimum(np.arange(height) + 1, np.arange(height)[::-1] + 1)
    x = np.minimum(np.arange(width) + 1, np.arange(width)[::-1] + 1)
    return np.minimum(np.minimum(y[:, None], x[None]) / 4, 1).astype(np.float32)
