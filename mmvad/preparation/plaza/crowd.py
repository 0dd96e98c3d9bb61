"""The normal cast: who walks, stops and talks on the plaza, in training and test alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .actors import Actor, Walker
from .figure import random_person
from .layout import LANE, PROMENADE, SIDEWALK, Layout
from .route import Route

ROOM = 0.75
"""Metres that people keep from each other where they can."""

Points = list[tuple[float, float]]


class Stage:
    """A video being cast: its plan, its length and who is on it already.

    Args:
        layout: The plan.
        seconds: Length of the video.
    """

    def __init__(self, layout: Layout, seconds: float) -> None:
        self.layout = layout
        self.seconds = seconds
        self.actors: list[Actor] = []
        self._times = np.arange(0.0, seconds + 0.25, 0.25)
        self._tracks: list[np.ndarray] = []

    def add(self, *actors: Actor) -> None:
        """Put actors on stage; later routes are kept away from theirs."""
        self.actors += actors
        self._tracks += [actor.route.track(self._times) for actor in actors]

    def best(
        self, draw: Callable[[], list[Route]], *, seen: bool = False, tries: int = 12
    ) -> list[Route]:
        """First drawn routes that keep their distance to what is on stage, else the best ones.

        Args:
            draw: Makes random routes for people who belong together.
            seen: Also prefer routes that the kiosk and the trees don't hide.
            tries: How often routes are drawn at most.
        """
        best: list[Route] = []
        high = -math.inf
        for _ in range(tries):
            routes = draw()
            tracks = [route.track(self._times) for route in routes]
            score = min(ROOM, *(self._room(track) for track in tracks))
            score -= 2.0 * self._hidden(tracks[0]) if seen else 0.0
            if score > high:
                best, high = routes, score
            if score >= ROOM:
                break
        return best

    def _room(self, track: np.ndarray) -> float:
        """Smallest distance (metres) to obstacles and to everybody on stage."""
        posts = np.array(self.layout.obstacles)
        gaps = [np.linalg.norm(track[:, None] - posts, axis=-1).ravel()]
        gaps += [np.linalg.norm(track - other, axis=-1) for other in self._tracks]
        gap = np.concatenate(gaps)
        return float(np.min(gap[np.isfinite(gap)], initial=math.inf))

    def _hidden(self, track: np.ndarray) -> float:
        """Share of the times on stage spent behind the kiosk or a tree."""
        track = track[np.isfinite(track[:, 0])]
        hidden = np.zeros(len(track), bool)
        for x, z, radius in (self.layout.kiosk, *self.layout.trees):
            aside = np.abs(track[:, 0] / track[:, 1] - x / z) * z
            hidden |= (track[:, 1] > z) & (aside < radius + 0.25)
        return float(hidden.mean()) if len(track) else 1.0

    def edge(self, z: float) -> float:
        """x (metres) at which somebody at depth ``z`` has just left the view."""
        return self.layout.camera.reach(z) + 0.7


def straight(stage: Stage, z: float, way: int, half: float = 0.0) -> Points:
    """From one side of the view to the other at depth ``z``.

    Args:
        stage: The stage.
        z: Depth, metres.
        way: +1 to the right, -1 to the left.
        half: Half the length of what moves, metres.
    """
    edge = max(stage.edge(z), stage.layout.camera.reach(z) + half)
    return [(-way * edge, z), (way * edge, z)]


def across(stage: Stage, rng: np.random.Generator) -> Points:
    """Between the sidewalk and the promenade over the path."""
    x = rng.uniform(stage.layout.path[0] + 0.3, stage.layout.path[1] - 0.3)
    high, low = SIDEWALK.inner(rng.uniform(0.1, 0.5)), PROMENADE.inner(rng.uniform(0.2, 0.8))
    ends = [way * stage.edge(z) for way, z in zip(rng.choice([-1, 1], 2), (high, low), strict=True)]
    points = [(ends[0], high), (x, high), (x, low), (ends[1], low)]
    return points if rng.random() < 0.5 else points[::-1]


def lane_way(stage: Stage, rng: np.random.Generator, lane: str) -> Points:
    """A usual way through the plaza: ``sidewalk``, ``promenade``, ``lane`` or ``path``."""
    if lane == 'path':
        return across(stage, rng)
    way = 1 if rng.random() < 0.5 else -1
    if lane == 'lane':
        return straight(stage, LANE.inner(rng.uniform(0.3, 0.8)), stage.layout.flow)
    if lane == 'promenade':
        return straight(stage, PROMENADE.inner(rng.uniform(0.07, 0.95)), way)
    return straight(stage, SIDEWALK.inner(rng.uniform(0.08, 0.7)), way)


def walking_speed(rng: np.random.Generator) -> float:
    """A usual walking speed, m/s."""
    return float(np.clip(rng.normal(1.3, 0.2), 0.9, 1.7))


def add_group(stage: Stage, rng: np.random.Generator, lane: str) -> None:
    """One to three people who walk together; some stop on the way and look around."""
    size = int(rng.choice([1, 2, 3], p=[0.62, 0.32, 0.06]))
    child = size > 1 and rng.random() < 0.3
    speed = min(walking_speed(rng), 1.2 if child else 1.7)
    stops = rng.random() < 0.15 and lane != 'lane'
    share, wait, look = rng.uniform(0.3, 0.7), rng.uniform(2.0, 5.0), rng.uniform(0, 2 * math.pi)

    def draw() -> list[Route]:
        points = lane_way(stage, rng, lane)
        length = Route(points, speed).length
        stop = [(share * length, wait, look)] if stops else []
        start = rng.uniform(-(length / speed + wait * stops), stage.seconds)
        # Side by side: rows apart in depth, and apart in x too where the way turns.
        apart = 0.62 * (np.arange(size) - 0.5 * (size - 1))
        slant = 0.7 if lane == 'path' else 0.1
        return [
            Route([(x + slant * gap, z + gap) for x, z in points], speed, start, stop)
            for gap in apart
        ]

    stage.add(
        *(
            Walker(kind='walker', route=route, person=random_person(rng, child=child and k == 1))
            for k, route in enumerate(stage.best(draw))
        )
    )


def add_talk(stage: Stage, rng: np.random.Generator) -> None:
    """Two or three people who stand and talk, for the whole video or after walking up."""
    size = int(rng.choice([2, 3], p=[0.7, 0.3]))
    stays = rng.random() < 0.5
    speeds = [walking_speed(rng) for _ in range(size)]
    wait = rng.uniform(4.0, 9.0)
    turns = [2.0 * math.pi * (k + rng.uniform(-0.1, 0.1)) / size for k in range(size)]
    first = rng.uniform(0.0, math.pi)
    meeting = rng.uniform(-0.5 * wait, 0.8 * stage.seconds)

    def standing(centre: tuple[float, float], k: int) -> Route:
        angle = first + turns[k]
        x, z = centre[0] + 0.42 * math.cos(angle), centre[1] + 0.42 * math.sin(angle)
        facing = angle + math.pi
        if stays:
            near = [(x - 0.02 * math.cos(facing), z - 0.02 * math.sin(facing)), (x, z)]
            return Route(near, 1.3, -5.0, [(0.0, stage.seconds + 10.0, facing)])
        home = (math.copysign(stage.edge(z), math.cos(angle)), z)
        stop = abs(x - home[0])
        start = meeting - stop / speeds[k]
        return Route([home, (x, z), home], speeds[k], start, [(stop, wait, facing)], rounded=False)

    def draw() -> list[Route]:
        band, low, high = (PROMENADE, 0.1, 0.95) if rng.random() < 0.75 else (SIDEWALK, 0.2, 0.5)
        z = band.inner(rng.uniform(low, high))
        centre = (rng.uniform(-0.85, 0.85) * stage.layout.camera.reach(z), z)
        return [standing(centre, k) for k in range(size)]

    stage.add(
        *(
            Walker(
                kind='walker',
                route=route,
                person=random_person(rng),
                talk=rng.uniform(0.5, 1.1),
            )
            for route in stage.best(draw)
        )
    )


def add_crowd(stage: Stage, rng: np.random.Generator) -> None:
    """Fill the stage with normal people; their number varies from video to video."""
    density = rng.uniform(0.5, 1.05)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.3, 0.5, 0.2]))):
        add_talk(stage, rng)
    for lane, share in (('promenade', 2.0), ('lane', 0.9), ('sidewalk', 1.6), ('path', 0.7)):
        length = Route(lane_way(stage, rng, lane), 1.3).seconds
        expected = density * share * (stage.seconds + length) / length
        for _ in range(int(expected + rng.random())):
            add_group(stage, rng, lane)
