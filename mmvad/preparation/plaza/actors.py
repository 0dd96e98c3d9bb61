"""What moves: the actor's contract, and people on foot.

An actor tells where it is and which pieces it is drawn from at a time in seconds. ``anomaly``
holds the time span in which it is anomalous.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from .figure import SIDES, Joints, Part, Person, bag, figure, tilt
from .gait import bend_arm, gait, smoothstep
from .route import Place, Route

Span = tuple[float, float]
GRAVITY = 9.81


class Shape(NamedTuple):
    """Pieces in local coordinates with the place they stand at."""

    parts: list[Part]
    x: float
    z: float
    heading: float


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Somebody or something on a route.

    Attributes:
        kind: Name in the tracks file.
        route: Where it is when.
        anomaly: Seconds (from, to) in which it counts as anomalous; None for never.
    """

    kind: str
    route: Route
    anomaly: Span | None = None

    def present(self, time: float) -> bool:
        """Whether it is on stage at ``time``."""
        return self.route.present(time)

    def anomalous(self, time: float) -> bool:
        """Whether it is anomalous at ``time``."""
        return self.anomaly is not None and self.anomaly[0] <= time <= self.anomaly[1]

    def shape(self, time: float) -> Shape:
        """What to draw at ``time``."""
        place = self.route.at(time)
        return Shape(self.pieces(time, place), place.x, place.z, place.heading)

    def pieces(self, time: float, place: Place) -> list[Part]:
        """Pieces in local coordinates."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Walker(Actor):
    """Somebody who walks, stands and talks, or runs.

    Attributes:
        person: Looks.
        running: Runs instead of walking.
        talk: Gestures a second while standing; 0 for none.
    """

    person: Person
    running: bool = False
    talk: float = 0.0

    def joints(
        self, time: float, place: Place, *, lean: float = 0.0, crouch: float = 0.0
    ) -> Joints:
        """Joints at ``time``."""
        person, rest = self.person, 1.0 - place.effort
        beat = math.sin(2.0 * math.pi * (0.23 * time + person.phase))
        joints = gait(
            person,
            place.distance,
            self.route.speed,
            effort=smoothstep(1.3 * place.effort),
            running=self.running,
            lean=lean,
            crouch=crouch,
            sway=0.015 * rest * beat,
        )
        if self.talk and rest > 0.2:
            name = 'r' if person.hand == 'l' else 'l'
            drive = max(0.0, math.sin(2.0 * math.pi * (0.17 * time + 2.0 * person.phase)))
            wave = math.sin(2.0 * math.pi * self.talk * time)
            flex = 0.1 + rest * drive * (1.5 + 0.4 * wave)
            bend_arm(joints, name, dict(SIDES)[name], person.height, 0.25 * drive, flex)
        return joints

    def pieces(self, time: float, place: Place) -> list[Part]:
        return figure(self.person, self.joints(time, place))


@dataclass(frozen=True, kw_only=True)
class Faller(Walker):
    """Somebody who walks, falls forward, lies and gets up again.

    The route pauses for the fall. ``anomaly`` runs from losing balance to standing again.
    """

    def pieces(self, time: float, place: Place) -> list[Part]:
        parts = figure(self.person, self.joints(time, place, crouch=self._down(time, 0.9, 1.6)))
        angle = 0.5 * math.pi * self._down(time, 0.55, 1.1)
        return tilt(parts, angle, rest=0.09 * self.person.girth) if angle > 0 else parts

    def _down(self, time: float, fall: float, rise: float) -> float:
        """0 upright to 1 on the ground; falls in ``fall`` and rises in ``rise`` seconds."""
        begin, end = self.anomaly
        if not begin < time < end:
            return 0.0
        return min(min((time - begin) / fall, 1.0) ** 2, smoothstep((end - time) / rise))


@dataclass(frozen=True, kw_only=True)
class Thrower(Walker):
    """Somebody who throws a bag ahead, walks on and picks it up.

    ``anomaly`` is the gesture: winding up to letting the arm sink.

    Attributes:
        release: Time at which the bag leaves the hand.
        pickup: Time at which it is in the hand again.
    """

    release: float
    pickup: float

    def pieces(self, time: float, place: Place) -> list[Part]:
        person, (begin, end) = self.person, self.anomaly
        stoop = smoothstep(1.0 - abs(time - self.pickup) / 0.6)
        joints = self.joints(time, place, lean=1.2 * stoop, crouch=stoop)
        angle = None
        if stoop > 0.0:
            angle = 0.2 * stoop
        elif begin <= time < self.release:
            share = (time - begin) / (self.release - begin)
            angle = -1.1 * math.sin(math.pi * min(1.4 * share, 1.0)) + 2.0 * max(0, share - 0.7)
        elif self.release <= time < end:
            angle = 2.4 * (1.0 - smoothstep((time - self.release) / (end - self.release)))
        if angle is not None:
            bend_arm(joints, person.hand, dict(SIDES)[person.hand], person.height, angle, 0.1)
        empty = self.release <= time < self.pickup
        return figure(replace(person, grip='none') if empty else person, joints)


@dataclass(frozen=True, kw_only=True)
class ThrownBag(Actor):
    """The bag of a thrower between release and pick-up; ``route`` is the thrower's.

    Attributes:
        person: The thrower.
        flight: Seconds in the air.
        ahead: Metres between release and landing.
    """

    person: Person
    flight: float
    ahead: float

    def present(self, time: float) -> bool:
        return self.anomalous(time)

    def shape(self, time: float) -> Shape:
        place = self.route.at(self.anomaly[0])
        gone = min(time - self.anomaly[0], self.flight)
        high, low = 0.8 * self.person.height, 0.17
        lift = (low - high) / self.flight + 0.5 * GRAVITY * self.flight
        centre = (
            0.45 + (self.ahead - 0.45) * gone / self.flight,
            0.0,
            high + lift * gone - 0.5 * GRAVITY * gone**2,
        )
        parts = bag(centre, self.person.thing, turn=2.0 * math.pi * gone / self.flight)
        return Shape(parts, place.x, place.z, place.heading)
