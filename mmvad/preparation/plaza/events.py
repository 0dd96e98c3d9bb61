"""What doesn't belong on the plaza: the anomalies of the test videos."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .actors import Faller, Thrower, ThrownBag, Walker
from .crowd import Stage, straight, walking_speed
from .figure import random_colour, random_person
from .layout import LANE, LAWN, PROMENADE, SIDEWALK, Band
from .route import Route
from .vehicles import Cyclist, DrivenCart, PushedCart


class Slot(NamedTuple):
    """Stretch of the video (seconds) that holds one event and normal time around it."""

    begin: float
    end: float

    @property
    def budget(self) -> float:
        """Seconds an event should last at most."""
        return 0.55 * (self.end - self.begin)

    def onset(self, rng: np.random.Generator, seconds: float) -> float:
        """Beginning of an event of ``seconds``, about the middle of the slot."""
        spare = max(self.end - self.begin - seconds, 0.8)
        return self.begin + spare * rng.uniform(0.4, 0.6)


def crossing(
    stage: Stage, rng: np.random.Generator, slot: Slot, bands: list[Band], speed: float, half: float
) -> Route:
    """Straight through the view, on a band that is crossed within the slot's budget.

    Args:
        stage: The stage.
        rng: Random numbers.
        slot: When.
        bands: Where it may be; the last one, nearest to the camera, is the shortest.
        speed: Metres a second.
        half: Half the length of what moves, metres.
    """
    camera = stage.layout.camera
    seconds = [2.0 * (camera.reach(band.inner(0.4)) + half) / speed for band in bands]
    fits = [k for k, value in enumerate(seconds) if value <= slot.budget]
    chosen = int(rng.choice(fits)) if fits else len(bands) - 1
    band = bands[chosen]
    begin = slot.onset(rng, seconds[chosen])

    def draw() -> list[Route]:
        z = band.inner(rng.uniform(0.3, 0.7))
        way = stage.layout.flow if band is LANE else int(rng.choice([-1, 1]))
        lead = max(stage.edge(z) - camera.reach(z) - half, 0.0)
        return [Route(straight(stage, z, way, half), speed, begin - lead / speed)]

    return stage.best(draw, seen=True)[0]


def running(stage: Stage, rng: np.random.Generator, slot: Slot, variant: int) -> None:
    """Somebody runs through."""
    speed = rng.uniform(3.5, 4.5)
    route = crossing(stage, rng, slot, [SIDEWALK, PROMENADE, LANE], speed, 0.4)
    person = random_person(rng, grips=('none', 'backpack'))
    stage.add(
        Walker(
            kind='runner',
            route=route,
            person=person,
            running=True,
            anomaly=(route.start, route.end),
        )
    )


def cycling(stage: Stage, rng: np.random.Generator, slot: Slot, variant: int) -> None:
    """Somebody cycles through."""
    speed = rng.uniform(4.0, 6.0)
    route = crossing(stage, rng, slot, [SIDEWALK, PROMENADE, LANE], speed, 0.9)
    stage.add(
        Cyclist(
            kind='cyclist',
            route=route,
            person=random_person(rng, grips=('none', 'backpack')),
            frame=random_colour(rng),
            lean=rng.uniform(0.25, 0.6),
            anomaly=(route.start, route.end),
        )
    )


def cart(stage: Stage, rng: np.random.Generator, slot: Slot, variant: int) -> None:
    """A cart is driven through, or pushed through in a hurry."""
    # A pushed cart is too slow to come and go within a short slot.
    driven = variant % 2 == 0 or slot.end - slot.begin < 6.0
    speed = rng.uniform(2.5, 3.0) if driven else rng.uniform(2.0, 2.4)
    route = crossing(stage, rng, slot, [PROMENADE, LANE], speed, 1.1)
    span = (route.start, route.end)
    person = random_person(rng, grips=('none',))
    if driven:
        body, roof = random_colour(rng), random_colour(rng, 0.5)
        stage.add(
            DrivenCart(kind='cart', route=route, person=person, body=body, roof=roof, anomaly=span)
        )
    else:
        body, crates = random_colour(rng), (random_colour(rng), random_colour(rng))
        stage.add(
            PushedCart(
                kind='cart', route=route, person=person, body=body, crates=crates, anomaly=span
            )
        )


def fall(stage: Stage, rng: np.random.Generator, slot: Slot, variant: int) -> None:
    """Somebody falls on the promenade, lies there and gets up again."""
    seconds = min(slot.budget, rng.uniform(4.0, 6.0))
    begin = slot.onset(rng, seconds)
    speed = walking_speed(rng)
    slant = rng.uniform(-0.6, 0.6)

    def draw() -> list[Route]:
        z = PROMENADE.inner(rng.uniform(0.1, 0.8))
        way = int(rng.choice([-1, 1]))
        points = straight(stage, z, way)
        stop = abs(rng.uniform(-0.5, 0.5) * stage.layout.camera.reach(z) - points[0][0])
        heading = (0.0 if way > 0 else math.pi) + slant
        return [Route(points, speed, begin - stop / speed, [(stop, seconds - 0.3, heading)])]

    stage.add(
        Faller(
            kind='faller',
            route=stage.best(draw, seen=True)[0],
            person=random_person(rng, grips=('none', 'backpack')),
            anomaly=(begin, begin + seconds),
        )
    )


def wrong_way(stage: Stage, rng: np.random.Generator, slot: Slot, variant: int) -> None:
    """Somebody walks across the lawn, or along the one-way lane against its flow."""
    against = variant % 2 == 1
    speed = walking_speed(rng)
    band = LANE if against else LAWN
    length = speed * slot.budget
    if not against:
        depth = LAWN.far - LAWN.near
        speed = max(speed, min(1.7, depth / slot.budget))
        length = max(length, depth)
    fraction = rng.uniform(0.4, 0.6)

    def draw() -> list[Route]:
        way = -stage.layout.flow if against else int(rng.choice([-1, 1]))
        if against:
            z, low = PROMENADE.inner(rng.uniform(0.1, 0.3)), LANE.inner(rng.uniform(0.4, 0.7))
            run = max(min(length - 1.4, 1.6 * stage.layout.camera.reach(low)), 1.0)
            middle = rng.uniform(-0.3, 0.3) * stage.layout.camera.reach(low)
            left, right = middle - 0.5 * run, middle + 0.5 * run
            turns = [(left - 0.7, z), (left, low), (right, low), (right + 0.7, z)]
            points = [(-stage.edge(z), z), *turns, (stage.edge(z), z)]
            points = [(way * x, z) for x, z in points]
        else:
            high, low = SIDEWALK.inner(rng.uniform(0.08, 0.2)), PROMENADE.inner(0.9)
            slant = math.sqrt(max(min(length, 5.0) ** 2 - depth**2, 0.0)) * (high - low) / depth
            middle = _open_lawn(stage, rng, 0.5 * slant)
            a, b = middle - 0.5 * way * slant, middle + 0.5 * way * slant
            points = [(-way * stage.edge(high), high), (a, high), (b, low)]
            points.append((way * stage.edge(low), low))
            points = points if rng.random() < 0.5 else points[::-1]
        inside = _inside(Route(points, speed), band)
        begin = slot.begin + fraction * max(slot.end - slot.begin - (inside[1] - inside[0]), 0.8)
        return [Route(points, speed, begin - inside[0])]

    route = stage.best(draw, seen=True, tries=20)[0]
    span = _inside(route, band)
    person = random_person(rng)
    stage.add(Walker(kind='wrong_way', route=route, person=person, anomaly=span))


def _open_lawn(stage: Stage, rng: np.random.Generator, half: float) -> float:
    """x (metres) on the wider part of the lawn from which ``half`` to both sides misses the path.

    Where the lawn is too small for that, the middle of this part.
    """
    left, right = stage.layout.path
    reach = 0.65 * stage.layout.camera.reach(LAWN.near)
    low, high = (-reach, left - 0.3) if left + right > 0 else (right + 0.3, reach)
    if high - low <= 2.0 * half:
        return 0.5 * (low + high)
    return rng.uniform(low + half, high - half)


def _inside(route: Route, band: Band) -> tuple[float, float]:
    """First and last time at which a route is on a band."""
    times = np.arange(route.start, route.end, 0.05)
    on = np.abs(route.track(times)[:, 1] - band.inner(0.5)) <= 0.5 * (band.far - band.near)
    return float(times[on][0]), float(times[on][-1])


def thrown_bag(stage: Stage, rng: np.random.Generator, slot: Slot, variant: int) -> None:
    """Somebody throws a bag ahead, walks to it and picks it up."""
    speed = walking_speed(rng)
    windup, flight = 0.4, rng.uniform(0.8, 1.1)
    walk = flight + min(rng.uniform(0.5, 2.0), max(slot.budget - windup - flight, 0.4))
    begin = slot.onset(rng, windup + walk) + windup

    def draw() -> list[Route]:
        z = PROMENADE.inner(rng.uniform(0.1, 0.8))
        way = int(rng.choice([-1, 1]))
        points = straight(stage, z, way)
        place = rng.uniform(-0.5, 0.2) * stage.layout.camera.reach(z)
        reach = abs(way * place - points[0][0])
        heading = 0.0 if way > 0 else math.pi
        # The stop for picking up begins a little before the bag is reached.
        stop = (reach + speed * walk - 0.35, 0.7, heading)
        return [Route(points, speed, begin - reach / speed, [stop])]

    route = stage.best(draw, seen=True)[0]
    person = random_person(rng, grips=('bag',))
    pickup = begin + walk + 0.1
    ahead = route.at(pickup).distance - route.at(begin).distance + 0.3
    stage.add(
        Thrower(
            kind='thrower',
            route=route,
            person=person,
            release=begin,
            pickup=pickup,
            anomaly=(begin - windup, begin + 0.4),
        )
    )
    stage.actors.append(
        ThrownBag(
            kind='bag',
            route=route,
            person=person,
            flight=flight,
            ahead=ahead,
            anomaly=(begin, pickup),
        )
    )


EVENTS: dict[str, Callable[[Stage, np.random.Generator, Slot, int], None]] = {
    'running': running,
    'cycling': cycling,
    'cart': cart,
    'fall': fall,
    'wrong_way': wrong_way,
    'thrown_bag': thrown_bag,
}


def add_events(stage: Stage, rng: np.random.Generator, kind: str, first: int) -> None:
    """Put a kind of event on stage, once in every 7.5 s of video.

    Args:
        stage: The stage, with its crowd.
        rng: Random numbers.
        kind: Name in ``EVENTS``.
        first: Variant of the first event; variants alternate.
    """
    count = max(1, round(stage.seconds / 7.5))
    length = stage.seconds / count
    for k in range(count):
        EVENTS[kind](stage, rng, Slot(k * length, (k + 1) * length), first + k)
