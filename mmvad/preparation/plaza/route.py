"""Where somebody is when: a smooth line on the ground, a usual speed and stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STEP = 0.05
ACCELERATION = 3.0


class Place(NamedTuple):
    """Position (x, z in metres), heading (radians from +x towards +z) and motion at one time."""

    x: float
    z: float
    heading: float
    distance: float
    effort: float


class Route:
    """A walk along ``points`` at ``speed``, with stops.

    Args:
        points: Corners (x, z) in metres, at least two; corners are rounded.
        speed: Usual speed, m/s.
        start: Time at the first point, seconds.
        pauses: (distance, seconds, heading) of each stop; the heading is taken while standing.
        rounded: False keeps sharp corners, for turning back at a stop.
    """

    def __init__(
        self,
        points: Sequence[tuple[float, float]],
        speed: float,
        start: float = 0.0,
        pauses: Sequence[tuple[float, float, float]] = (),
        *,
        rounded: bool = True,
    ) -> None:
        line = np.asarray(points, float)
        for _ in range(3 if rounded and len(line) > 2 else 0):
            near, far = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
            inner = np.stack([near, far], 1).reshape(-1, 2)[1:-1]
            line = np.concatenate([line[:1], inner, line[-1:]])
        steps = np.diff(line, axis=0)
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*steps.T))])
        self.length = float(along[-1])
        self.speed = speed
        self.start = start
        grid = np.linspace(0.0, self.length, max(2, int(self.length / 0.1)))
        self._grid = grid
        self._line = np.stack([np.interp(grid, along, line[:, k]) for k in (0, 1)], 1)
        ahead = self._line[np.minimum(np.arange(len(grid)) + 3, len(grid) - 1)] - self._line
        ahead[-1] = steps[-1]
        self._bearing = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))
        self._walk(sorted(pauses))

    def _walk(self, pauses: list[tuple[float, float, float]]) -> None:
        """Tabulate distance, effort and heading over time."""
        distances, efforts, turns = [0.0], [1.0], [0.0]
        faces = [0.0]
        waiting = list(pauses)
        left, speed, turned, face = 0.0, self.speed, 0.0, 0.0
        while distances[-1] < self.length:
            if waiting and distances[-1] >= waiting[0][0]:
                _, left, face = waiting.pop(0)
            wanted = 0.0 if left > 0 else self.speed
            change = np.clip(wanted - speed, -ACCELERATION * STEP, ACCELERATION * STEP)
            speed = float(speed + change)
            left -= STEP
            turned += (float(left > 0) - turned) * 0.15
            distances.append(distances[-1] + speed * STEP)
            efforts.append(min(speed / self.speed, 1.0))
            turns.append(turned)
            faces.append(face)
        self._times = STEP * np.arange(len(distances))
        self._table = np.array([distances, efforts, turns, faces])
        self.seconds = float(self._times[-1])

    @property
    def end(self) -> float:
        """Time at the last point, seconds."""
        return self.start + self.seconds

    def present(self, time: float) -> bool:
        """Whether the walk is under way at ``time``."""
        return self.start <= time <= self.end

    def at(self, time: float) -> Place:
        """Place at ``time`` (held at the ends)."""
        row = (time - self.start) / STEP
        low = int(min(max(row, 0.0), len(self._times) - 2))
        share = min(max(row - low, 0.0), 1.0)
        values = (1.0 - share) * self._table[:, low] + share * self._table[:, low + 1]
        distance, effort, turned, face = (float(value) for value in values)
        x, z, bearing = (
            float(np.interp(distance, self._grid, column))
            for column in (self._line[:, 0], self._line[:, 1], self._bearing)
        )
        if turned > 1e-3:
            away = (face - bearing + np.pi) % (2.0 * np.pi) - np.pi
            bearing += float(away) * turned
        return Place(x, z, bearing, distance, effort)

    def track(self, times: np.ndarray) -> np.ndarray:
        """Positions (T, 2) at ``times``; NaN while absent."""
        distance = np.interp(times - self.start, self._times, self._table[0])
        spots = [np.interp(distance, self._grid, self._line[:, k]) for k in (0, 1)]
        track = np.stack(spots, 1)
        track[(times < self.start) | (times > self.end)] = np.nan
        return track
