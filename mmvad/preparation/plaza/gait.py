"""How people move: joints of a person who walks, runs or stands.

Lengths of the body are shares of its height; coordinates as in ``figure``.
"""

from __future__ import annotations

import math

from .figure import SIDES, TRUNK, Joints, Person, Point

THIGH, SHIN, ANKLE = 0.245, 0.240, 0.045
UPPER_ARM, FOREARM, NECK = 0.175, 0.165, 0.115


def smoothstep(value: float) -> float:
    """Cubic ease from 0 at 0 to 1 at 1."""
    value = min(max(value, 0.0), 1.0)
    return value * value * (3.0 - 2.0 * value)


def two_bone(root: Point, tip: Point, upper: float, lower: float, bend: float) -> Point:
    """Middle joint of a two-bone limb (inverse kinematics in the forward-up plane).

    Args:
        root: Shoulder or hip.
        tip: Wrist or ankle; out of reach, the limb is straight.
        upper: Length of the bone at the root.
        lower: Length of the bone at the tip.
        bend: +1 for a knee (bends forward), -1 for an elbow.
    """
    forward, up = tip[0] - root[0], tip[2] - root[2]
    span = min(max(math.hypot(forward, up), abs(upper - lower) + 1e-6), upper + lower - 1e-6)
    cosine = (upper**2 + span**2 - lower**2) / (2.0 * upper * span)
    angle = math.atan2(up, forward) + bend * math.acos(min(max(cosine, -1.0), 1.0))
    return (
        root[0] + upper * math.cos(angle),
        0.5 * (root[1] + tip[1]),
        root[2] + upper * math.sin(angle),
    )


def stride_length(person: Person, speed: float, running: bool) -> float:
    """Metres that two steps cover at ``speed`` (m/s)."""
    share = 0.55 + 0.24 * speed if running else 0.40 + 0.27 * speed
    return person.height * person.stride * share


def foot(person: Person, cycle: float, stride: float, effort: float, running: bool) -> tuple:
    """Ankle and toe of one leg, as (forward, up) pairs.

    During stance the toe moves backward exactly as fast as the body moves forward, so a planted
    foot doesn't slide on the ground.

    Args:
        person: Whose foot.
        cycle: Phase of this leg in [0, 1); it starts as the heel strikes.
        stride: Metres a full cycle covers.
        effort: 1 walking, 0 standing.
        running: Shorter stance and high heels.
    """
    size = person.height
    stance = 0.34 if running else 0.58
    lead = 0.5 * stance * stride
    if cycle < stance:
        forward = lead - cycle * stride
        rise = 0.07 * size * smoothstep((cycle / stance - 0.6) / 0.4) * effort
        toe = (effort * forward + 0.10 * size, 0.018 * size)
        return (effort * forward, ANKLE * size + rise), toe
    swing = (cycle - stance) / (1.0 - stance)
    forward = -lead + 2.0 * lead * smoothstep(swing)
    high = 0.24 if running else 0.07
    rise = high * size * math.sin(math.pi * swing**0.75) + 0.07 * size * (1 - swing) ** 3
    pitch = (0.9 if running else 0.6) * (1.0 - swing) - 0.25 * swing
    ankle = (effort * forward, ANKLE * size + effort * rise)
    reach = 0.10 * size
    drop = (0.027 + 0.10 * math.sin(pitch) * effort) * size
    return ankle, (ankle[0] + reach * math.cos(pitch * effort), max(ankle[1] - drop, 0.01))


def gait(
    person: Person,
    distance: float,
    speed: float,
    *,
    effort: float = 1.0,
    running: bool = False,
    lean: float = 0.0,
    crouch: float = 0.0,
    sway: float = 0.0,
) -> Joints:
    """Joints of a person walking, running or standing.

    Args:
        person: Who moves.
        distance: Metres covered so far; it sets the phase of the legs.
        speed: Usual speed, m/s; it sets the length of the stride.
        effort: 1 in full motion, 0 standing.
        running: Running instead of walking.
        lean: Forward bend of the trunk, radians.
        crouch: 0 upright to 1 with bent knees.
        sway: Sideways shift of the trunk, metres.
    """
    size = person.height
    stride = stride_length(person, speed, running)
    phase = distance / stride + person.phase
    cycles = {'l': phase % 1.0, 'r': (phase + 0.5) % 1.0}
    bones = (THIGH + SHIN) * size
    hip_up = (ANKLE + 0.985 * (THIGH + SHIN)) * size - 0.2 * size * crouch
    joints: Joints = {}
    turn = 0.03 * size * effort
    for name, side in SIDES:
        ankle, toe = foot(person, cycles[name], stride, effort, running)
        outward = side * (0.045 + 0.02 * (1.0 - effort)) * size
        joints['ankle_' + name] = (ankle[0], outward, ankle[1])
        joints['toe_' + name] = (toe[0], outward * 1.15, toe[1])
        hip_forward = turn * math.cos(2.0 * math.pi * cycles[name])
        joints['hip_' + name] = (hip_forward, side * 0.065 * size + sway, 0.0)
        across = ankle[0] - hip_forward
        hip_up = min(hip_up, ankle[1] + math.sqrt(max((0.998 * bones) ** 2 - across**2, 0.04)))
    lean += 0.2 if running else 0.03 * effort
    for name, side in SIDES:
        hip = joints['hip_' + name]
        joints['hip_' + name] = hip = (hip[0], hip[1], hip_up)
        ankle = joints['ankle_' + name]
        joints['knee_' + name] = two_bone(hip, ankle, THIGH * size, SHIN * size, 1.0)
        beat = -math.cos(2.0 * math.pi * cycles[name]) * effort
        angle = (0.9 if running else 0.42) * person.swing * beat
        flex = 1.5 if running else 0.15 + 0.2 * max(beat, 0.0)
        if name == person.hand and person.grip == 'bag':
            angle, flex = 0.25 * angle, 0.08
        if name == person.hand and person.grip == 'umbrella':
            angle, flex = 0.35 + 0.1 * angle, 1.75
        shoulder = (
            TRUNK * size * math.sin(lean) - 0.6 * hip[0],
            side * 0.115 * size * person.girth**0.5 + 1.5 * sway,
            hip_up + TRUNK * size * math.cos(lean),
        )
        joints['shoulder_' + name] = shoulder
        bend_arm(joints, name, side, size, angle, flex)
    return set_head(joints, size, lean, 1.5 * sway)


def bend_arm(
    joints: Joints, name: str, side: float, size: float, angle: float, flex: float
) -> None:
    """Hang an arm from its shoulder: ``angle`` forward of straight down, elbow bent by ``flex``."""
    shoulder = joints['shoulder_' + name]
    elbow = (
        shoulder[0] + UPPER_ARM * size * math.sin(angle),
        shoulder[1] + side * 0.025 * size,
        shoulder[2] - UPPER_ARM * size * math.cos(angle),
    )
    joints['elbow_' + name] = elbow
    joints['wrist_' + name] = (
        elbow[0] + FOREARM * size * math.sin(angle + flex),
        elbow[1] - side * 0.015 * size,
        elbow[2] - FOREARM * size * math.cos(angle + flex),
    )


def set_head(joints: Joints, size: float, lean: float, sway: float = 0.0) -> Joints:
    """Place the head above the shoulders; returns ``joints``."""
    left, right = joints['shoulder_l'], joints['shoulder_r']
    base = 0.5 * (left[0] + right[0]), 0.5 * (left[2] + right[2])
    joints['head'] = (
        base[0] + NECK * size * math.sin(0.8 * lean),
        sway,
        base[1] + NECK * size * math.cos(0.8 * lean),
    )
    return joints
