"""What rolls: a bicycle with its rider, a driven cart and a pushed cart."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .actors import Actor, Walker
from .figure import SIDES, TRUNK, Colour, Joints, Part, Person, Point, figure, shade
from .gait import FOREARM, SHIN, THIGH, UPPER_ARM, bend_arm, set_head, two_bone
from .route import Place

RUBBER: Colour = (34.0, 34.0, 36.0)
STEEL: Colour = (125.0, 125.0, 122.0)


def wheel(hub: Point, radius: float, distance: float, spokes: int, thick: float) -> list[Part]:
    """A wheel in the forward-up plane, turned by the way it rolled."""
    turn = -distance / radius
    rim = [
        (hub[0] + radius * math.cos(a), hub[1], hub[2] + radius * math.sin(a))
        for a in (2.0 * math.pi * k / 20 for k in range(21))
    ]
    parts = [Part(rim, (thick,) * 21, RUBBER, line=True)]
    for k in range(spokes):
        a = turn + math.pi * k / spokes
        across = (0.92 * radius * math.cos(a), 0.92 * radius * math.sin(a))
        ends = [(hub[0] + s * across[0], hub[1], hub[2] + s * across[1]) for s in (1.0, -1.0)]
        parts.append(Part(ends, (0.006, 0.006), STEEL, line=True))
    return parts


def reach(joints: Joints, person: Person, name: str, hand: Point) -> None:
    """Put a hand at ``hand``."""
    size = person.height
    joints['wrist_' + name] = hand
    joints['elbow_' + name] = two_bone(
        joints['shoulder_' + name], hand, UPPER_ARM * size, FOREARM * size, -1.0
    )


def seated(person: Person, hip: Point, lean: float) -> Joints:
    """Trunk and head of somebody seated at ``hip``; limbs are left to the caller."""
    size = person.height
    joints: Joints = {}
    for name, side in SIDES:
        joints['hip_' + name] = (hip[0], hip[1] + side * 0.065 * size, hip[2])
        joints['shoulder_' + name] = (
            hip[0] + TRUNK * size * math.sin(lean),
            hip[1] + side * 0.11 * size,
            hip[2] + TRUNK * size * math.cos(lean),
        )
    set_head(joints, size, 0.5 * lean)
    head = joints['head']
    joints['head'] = (head[0], hip[1], head[2])
    return joints


@dataclass(frozen=True, kw_only=True)
class Cyclist(Actor):
    """Somebody on a bicycle.

    Attributes:
        person: The rider.
        frame: Colour of the bicycle.
        lean: Forward bend of the rider, radians.
    """

    person: Person
    frame: Colour
    lean: float

    def pieces(self, time: float, place: Place) -> list[Part]:
        person, size = self.person, self.person.height
        crank, rear, front = (0.02, 0.0, 0.28), (-0.5, 0.0, 0.34), (0.56, 0.0, 0.34)
        saddle, stem = (-0.16, 0.0, 0.52 * size), (0.42, 0.0, 0.95)
        joints = seated(person, (saddle[0], 0.0, saddle[2] + 0.06 * size), self.lean)
        turn = -place.distance / 0.34 / 2.2
        for name, side in SIDES:
            angle = turn + (0.0 if side > 0 else math.pi)
            pedal = (
                crank[0] + 0.17 * math.cos(angle),
                side * 0.11,
                crank[2] + 0.17 * math.sin(angle),
            )
            ankle = (pedal[0] - 0.07, pedal[1], pedal[2] + 0.08)
            joints['ankle_' + name] = ankle
            joints['toe_' + name] = (pedal[0] + 0.06, pedal[1], pedal[2] + 0.01)
            hip = joints['hip_' + name]
            joints['knee_' + name] = two_bone(hip, ankle, THIGH * size, SHIN * size, 1.0)
            reach(joints, person, name, (stem[0] + 0.04, side * 0.24, stem[2] + 0.08))
        tubes = [
            (rear, crank, saddle, rear),
            (crank, (0.38, 0.0, 0.68), (-0.11, 0.0, 0.72)),
            (front, (0.40, 0.0, 0.74), stem),
        ]
        parts = [Part(tube, (0.018,) * len(tube), self.frame, line=True) for tube in tubes]
        bar = ((stem[0], -0.27, stem[2] + 0.05), (stem[0], 0.27, stem[2] + 0.05))
        parts.append(Part(bar, (0.016, 0.016), RUBBER, line=True))
        seat = ((saddle[0] - 0.12, 0.0, saddle[2]), (saddle[0] + 0.1, 0.0, saddle[2]))
        parts.append(Part(seat, (0.04, 0.03), RUBBER))
        for hub in (rear, front):
            parts += wheel(hub, 0.33, place.distance, 3, 0.022)
        return parts + figure(person, joints)


def box(low: Point, high: Point, colour: Colour, lift: float = 0.0) -> list[Part]:
    """Six shaded faces of a box."""
    (f0, s0, u0), (f1, s1, u1) = low, high
    faces = [
        (0.62, [(f0, s0, u0), (f1, s0, u0), (f1, s1, u0), (f0, s1, u0)]),
        (0.80, [(f0, s0, u0), (f0, s1, u0), (f0, s1, u1), (f0, s0, u1)]),
        (0.80, [(f1, s0, u0), (f1, s1, u0), (f1, s1, u1), (f1, s0, u1)]),
        (0.92, [(f0, s0, u0), (f1, s0, u0), (f1, s0, u1), (f0, s0, u1)]),
        (0.92, [(f0, s1, u0), (f1, s1, u0), (f1, s1, u1), (f0, s1, u1)]),
        (1.18, [(f0, s0, u1), (f1, s0, u1), (f1, s1, u1), (f0, s1, u1)]),
    ]
    return [Part(face, (0.015,) * 4, shade(colour, tone), lift=lift) for tone, face in faces]


@dataclass(frozen=True, kw_only=True)
class DrivenCart(Actor):
    """A small open electric cart with a driver and a roof.

    Attributes:
        person: The driver.
        body: Colour of the cart.
        roof: Colour of the roof.
    """

    person: Person
    body: Colour
    roof: Colour

    def pieces(self, time: float, place: Place) -> list[Part]:
        person, size = self.person, self.person.height
        parts = box((-1.05, -0.5, 0.24), (1.0, 0.5, 0.50), self.body)
        parts += box((0.62, -0.48, 0.48), (1.0, 0.48, 0.82), self.body)
        parts += box((-0.42, -0.48, 0.48), (0.0, 0.48, 0.72), shade(RUBBER, 1.6))
        parts += box((-0.52, -0.48, 0.48), (-0.42, 0.48, 1.12), shade(RUBBER, 1.6))
        parts += box((-1.05, -0.5, 0.50), (-0.60, 0.5, 0.80), shade(self.body, 0.8))
        for forward, top in ((0.8, 0.6), (-0.75, -0.7)):
            for side in (-0.46, 0.46):
                post = ((forward, side, 0.8), (top, side, 1.86))
                parts.append(Part(post, (0.02, 0.02), STEEL, line=True, lift=0.05))
        parts += box((-0.85, -0.55, 1.86), (0.75, 0.55, 1.93), self.roof, lift=0.3)
        for forward in (-0.68, 0.66):
            for side in (-0.5, 0.5):
                hub = (forward, side, 0.24)
                disc = [
                    (hub[0] + 0.2 * math.cos(a), side, hub[2] + 0.2 * math.sin(a))
                    for a in (0.785 * k for k in range(8))
                ]
                parts.append(Part(disc, (0.04,) * 8, RUBBER, lift=0.08))
                parts.append(Part((hub,), (0.11,), STEEL, lift=0.09))
                turn = -place.distance / 0.24
                for k in range(2):
                    a = turn + 0.5 * math.pi * k
                    ends = [
                        (hub[0] + s * 0.1 * math.cos(a), side, hub[2] + s * 0.1 * math.sin(a))
                        for s in (1.0, -1.0)
                    ]
                    parts.append(Part(ends, (0.015,) * 2, RUBBER, line=True, lift=0.1))
        joints = seated(person, (-0.2, 0.0, 0.80), -0.08)
        for name, side in SIDES:
            ankle = (0.42, side * 0.12, 0.58)
            joints['ankle_' + name], joints['toe_' + name] = ankle, (0.56, side * 0.13, 0.56)
            hip = joints['hip_' + name]
            joints['knee_' + name] = two_bone(hip, ankle, THIGH * size, SHIN * size, 1.0)
            reach(joints, person, name, (0.34, side * 0.16, 1.08))
        ring = [(0.36, 0.17 * math.cos(a), 1.05 + 0.15 * math.sin(a)) for a in range(7)]
        parts.append(Part(ring, (0.015,) * 7, RUBBER, line=True))
        return parts + figure(person, joints)


@dataclass(frozen=True, kw_only=True)
class PushedCart(Walker):
    """A flat cart loaded with crates and the person who pushes it.

    Attributes:
        body: Colour of the cart.
        crates: Colours of the two crates.
    """

    body: Colour
    crates: tuple[Colour, Colour]

    def pieces(self, time: float, place: Place) -> list[Part]:
        joints = self.joints(time, place, lean=0.22)
        for name, side in SIDES:
            bend_arm(joints, name, side, self.person.height, 0.6, 0.5)
        hand = joints['wrist_r']
        back = hand[0] + 0.05
        parts = box((back, -0.38, 0.26), (back + 1.3, 0.38, 0.34), self.body)
        parts += box((back + 0.1, -0.34, 0.34), (back + 0.62, 0.34, 0.86), self.crates[0])
        parts += box((back + 0.66, -0.34, 0.34), (back + 1.22, 0.34, 0.72), self.crates[1])
        for side in (-0.34, 0.34):
            post = ((back + 0.02, side, 0.3), (back, side, hand[2]))
            parts.append(Part(post, (0.018, 0.018), STEEL, line=True))
            for forward in (0.18, 1.12):
                hub = (back + forward, side, 0.13)
                parts.append(Part((hub,), (0.13,), RUBBER, lift=0.08))
                a = -place.distance / 0.13
                ends = [
                    (hub[0] + s * 0.09 * math.cos(a), side, hub[2] + s * 0.09 * math.sin(a))
                    for s in (1.0, -1.0)
                ]
                parts.append(Part(ends, (0.02, 0.02), STEEL, line=True, lift=0.09))
        bar = ((back, -0.34, hand[2]), (back, 0.34, hand[2]))
        parts.append(Part(bar, (0.018, 0.018), STEEL, line=True))
        return parts + figure(self.person, joints)
