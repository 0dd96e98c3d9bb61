"""People and the things they carry, as hulls of balls.

Local coordinates of a figure: (forward, sideways, up) in metres, the origin on the ground below
the hips. Lengths of the body are shares of its height.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Point = tuple[float, float, float]
Colour = tuple[float, float, float]
Joints = dict[str, Point]
"""Joint name (``head``, ``hip_l``, ...) to its place."""

SIDES = (('l', 1.0), ('r', -1.0))
TRUNK = 0.285
HAIR: tuple[Colour, ...] = (
    (30.0, 32.0, 36.0),
    (42.0, 56.0, 80.0),
    (50.0, 75.0, 110.0),
    (95.0, 130.0, 160.0),
    (140.0, 142.0, 146.0),
)
GRIPS = ('none', 'bag', 'backpack', 'umbrella')


class Part(NamedTuple):
    """A drawn piece: the convex hull of balls, or a line.

    Attributes:
        points: Centres, local coordinates.
        radii: Radius of each ball; for a line, half its thickness in every entry.
        colour: BGR, 0 to 255.
        line: True for an open line through the points.
        lift: Metres by which the piece counts as nearer when pieces are ordered.
    """

    points: Sequence[Point]
    radii: Sequence[float]
    colour: Colour
    line: bool = False
    lift: float = 0.0


@dataclass(frozen=True)
class Person:
    """Looks and habits of a person; colours are BGR."""

    height: float
    girth: float
    skin: Colour
    hair: Colour
    top: Colour
    bottom: Colour
    shoes: Colour
    thing: Colour
    sleeves: bool
    hem: float
    hat: bool
    grip: str
    hand: str
    stride: float
    swing: float
    phase: float


def shade(colour: Colour, factor: float) -> Colour:
    """Colour made lighter or darker."""
    return tuple(min(255.0, channel * factor) for channel in colour)


def random_colour(rng: np.random.Generator, low: float = 0.14, high: float = 0.78) -> Colour:
    """A colour as clothes have it: many greys and dark tones, few vivid ones."""
    saturation = 0.1 * rng.random() if rng.random() < 0.35 else 0.75 * rng.beta(2.0, 3.0)
    value = rng.uniform(low, high) * (1.0 - 0.35 * saturation)
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), saturation, value)
    return (255.0 * blue, 255.0 * green, 255.0 * red)


def random_person(
    rng: np.random.Generator, *, child: bool = False, grips: Sequence[str] = GRIPS
) -> Person:
    """Draw a person; ``grips`` limits what may be carried."""
    tone = rng.uniform(0.4, 0.85)
    thing = random_colour(rng)
    weights = np.array([{'none': 0.45, 'bag': 0.25, 'backpack': 0.2}.get(g, 0.1) for g in grips])
    return Person(
        height=rng.uniform(1.1, 1.4) if child else float(np.clip(rng.normal(1.72, 0.1), 1.5, 1.95)),
        girth=rng.uniform(0.85, 1.25),
        skin=(160 * tone + 20, 188 * tone + 20, 226 * tone + 20),
        hair=shade(HAIR[rng.integers(len(HAIR))], rng.uniform(0.7, 1.3)),
        top=random_colour(rng),
        bottom=random_colour(rng, 0.1, 0.55),
        shoes=random_colour(rng, 0.08, 0.6),
        thing=thing,
        sleeves=bool(rng.random() < 0.7),
        hem=float(rng.choice([0.0, 0.0, 0.0, 0.5, 0.95])),
        hat=bool(rng.random() < 0.15),
        grip='none' if child else str(rng.choice(list(grips), p=weights / weights.sum())),
        hand='l' if rng.random() < 0.5 else 'r',
        stride=rng.uniform(0.94, 1.06),
        swing=rng.uniform(0.7, 1.2),
        phase=rng.random(),
    )


def figure(person: Person, joints: Joints) -> list[Part]:
    """Drawn pieces of a person with the given joints, carried thing included."""
    size, girth = person.height, person.girth
    parts: list[Part] = []
    for name, side in SIDES:
        hip, knee = joints['hip_' + name], joints['knee_' + name]
        ankle, toe = joints['ankle_' + name], joints['toe_' + name]
        cloth = shade(person.bottom, 1.0 if side > 0 else 0.9)
        parts += [
            Part((hip, knee), (0.050 * size * girth, 0.034 * size * girth), cloth),
            Part((knee, ankle), (0.033 * size * girth, 0.024 * size), shade(cloth, 0.96)),
            Part((ankle, toe), (0.024 * size, 0.017 * size), person.shoes),
        ]
        shoulder, elbow = joints['shoulder_' + name], joints['elbow_' + name]
        wrist = joints['wrist_' + name]
        sleeve = shade(person.top, 0.92)
        lower = sleeve if person.sleeves else person.skin
        parts += [
            Part((shoulder, elbow), (0.034 * size * girth, 0.026 * size), sleeve, lift=0.02),
            Part((elbow, wrist), (0.024 * size, 0.017 * size), lower, lift=0.03),
            Part((wrist,), (0.021 * size,), person.skin, lift=0.03),
        ]
    hips = (joints['hip_l'], joints['hip_r'])
    shoulders = (joints['shoulder_l'], joints['shoulder_r'])
    if person.hem:
        low = [
            tuple(
                h + person.hem * (k - h) for h, k in zip(hip, joints['knee_' + name], strict=True)
            )
            for hip, name in zip(hips, 'lr', strict=True)
        ]
        wide = [0.062 * size * girth] * 2
        parts.append(Part((*hips, *low), (*wide, *wide), shade(person.top, 0.94), lift=0.12))
    parts.append(
        Part(
            (*shoulders, *hips),
            (0.044 * size, 0.044 * size, 0.058 * size * girth, 0.058 * size * girth),
            person.top,
        )
    )
    head = joints['head']
    neck = tuple(0.5 * (a + b) for a, b in zip(*shoulders, strict=True))
    parts.append(Part((neck, head), (0.030 * size, 0.030 * size), shade(person.skin, 0.85)))
    back = (head[0] - 0.014 * size, head[1], head[2] + 0.010 * size)
    above = (back[0], back[1], back[2] + 0.018 * size)
    parts += [
        Part((back, above), (0.057 * size, 0.050 * size), person.hair),
        Part(
            ((head[0] + 0.012 * size, head[1], head[2] - 0.014 * size),),
            (0.052 * size,),
            person.skin,
        ),
    ]
    if person.hat:
        brim = ((head[0] + 0.05 * size, head[1], head[2] + 0.03 * size), back)
        parts.append(Part(brim, (0.02 * size, 0.05 * size), person.thing, lift=0.1))
    return parts + carried(person, joints)


def carried(person: Person, joints: Joints) -> list[Part]:
    """Pieces of the bag, backpack or umbrella."""
    size = person.height
    wrist = joints['wrist_' + person.hand]
    if person.grip == 'bag':
        return bag((wrist[0], wrist[1], wrist[2] - 0.26), person.thing, strap=wrist)
    if person.grip == 'backpack':
        back = -0.085 * size
        points = []
        for pair, along in (('shoulder', 0.08), ('hip', -0.15)):
            for name in 'lr':
                at, other = joints[f'{pair}_{name}'], joints[f'hip_{name}']
                top = joints[f'shoulder_{name}']
                lean = (top[0] - other[0], top[2] - other[2])
                share = -along if pair == 'shoulder' else -along * 1.4
                points.append(
                    (
                        at[0] + share * lean[0] + back * lean[1] / (TRUNK * size),
                        0.75 * at[1],
                        at[2] + share * lean[1] - back * lean[0] / (TRUNK * size),
                    )
                )
        return [Part(points, (0.05 * size,) * 4, person.thing)]
    if person.grip == 'umbrella':
        top = size * 1.17
        tip = (wrist[0], wrist[1], top + 0.16)
        rim = [
            (wrist[0] + 0.5 * math.cos(a), wrist[1] + 0.5 * math.sin(a), top)
            for a in np.linspace(0.0, 2.0 * math.pi, 9)[:-1]
        ]
        return [
            Part((wrist, tip), (0.012, 0.012), (60.0, 60.0, 60.0), line=True),
            Part((*rim, tip), (0.01,) * 9, person.thing, lift=0.3),
            Part((*rim[:3], tip), (0.01,) * 4, shade(person.thing, 1.15), lift=0.31),
        ]
    return []


def bag(centre: Point, colour: Colour, *, strap: Point | None = None, turn: float = 0.0) -> list:
    """Pieces of a holdall around ``centre``, turned by ``turn`` radians; its strap is optional."""
    cosine, sine = math.cos(turn), math.sin(turn)
    corners = [(-0.17, 0.07), (0.17, 0.07), (-0.19, -0.1), (0.19, -0.1)]
    points = [
        (centre[0] + a * cosine - b * sine, centre[1], centre[2] + a * sine + b * cosine)
        for a, b in corners
    ]
    parts = [
        Part(points, (0.07,) * 4, colour, lift=0.04),
        Part(points[:2], (0.05, 0.05), shade(colour, 1.2), lift=0.05),
    ]
    if strap is not None:
        parts.append(Part((points[0], strap, points[1]), (0.015,) * 3, shade(colour, 0.6), True))
    return parts


def tilt(parts: list[Part], angle: float, rest: float = 0.1) -> list[Part]:
    """Tip a figure forward about its feet by ``angle`` radians; nothing sinks below ``rest``."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return [
        part._replace(
            points=[
                (f * cosine + u * sine, s, max(u * cosine - f * sine, min(u, rest)))
                for f, s, u in part.points
            ]
        )
        for part in parts
    ]
