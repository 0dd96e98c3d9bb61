"""Camera and ground plan of the plaza.

World: x to the right, y up, z away from the camera; metres. The camera looks level with a
shifted lens, so that verticals stay vertical and the horizon lies above the frame, as it does for
a camera mounted high on a wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FPS = 10.0
"""Frames a second of the simulated camera."""

FOCAL = 1.6
"""Focal length in frame heights."""

MOUNT = 5.0
"""Height of the camera above the ground, metres."""

HORIZON = -0.15
"""Row of the horizon in frame heights (negative: above the frame)."""


@dataclass(frozen=True)
class Camera:
    """Pinhole camera of a frame of ``height`` x ``width`` pixels."""

    height: int
    width: int

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project world points.

        Args:
            points: (N, 3) x, y, z in metres, z > 0.

        Returns:
            Pixel positions (N, 2) as (column, row), and pixels a metre (N,).
        """
        scale = FOCAL * self.height / points[:, 2]
        column = 0.5 * self.width + points[:, 0] * scale
        row = HORIZON * self.height + (MOUNT - points[:, 1]) * scale
        return np.stack([column, row], 1), scale

    def reach(self, z: float) -> float:
        """Half of the visible width at depth ``z``, metres."""
        return 0.5 * self.width * z / (FOCAL * self.height)


def depth(row: float) -> float:
    """Depth (metres) of the ground seen at ``row`` (frame heights from the top)."""
    return FOCAL * MOUNT / (row - HORIZON)


@dataclass(frozen=True)
class Band:
    """A strip of ground across the whole view between two depths (metres)."""

    near: float
    far: float

    def inner(self, share: float) -> float:
        """Depth at ``share`` of the way from the near edge to the far edge."""
        return self.near + share * (self.far - self.near)


WALL = depth(0.17)
SIDEWALK = Band(near=depth(0.315), far=WALL)
LAWN = Band(near=depth(0.45), far=depth(0.325))
PROMENADE = Band(near=depth(0.765), far=depth(0.46))
LANE = Band(near=depth(0.985), far=depth(0.775))


@dataclass(frozen=True)
class Layout:
    """What the seed decides about the plan.

    Attributes:
        camera: The camera.
        flow: Direction (+1 right, -1 left) in which people use the one-way lane.
        path: Range of x (metres) of the path that joins sidewalk and promenade across the lawn.
        kiosk: x, z and radius of the advertising column.
        trees: x, z and crown radius of each tree.
        lamp: x and z of the lamp post.
        bench: x and z of the bench's middle.
        sun: Shift (x, z) of a shadow for each metre of height.
    """

    camera: Camera
    flow: int
    path: tuple[float, float]
    kiosk: tuple[float, float, float]
    trees: tuple[tuple[float, float, float], ...]
    lamp: tuple[float, float]
    bench: tuple[float, float]
    sun: tuple[float, float]

    @property
    def obstacles(self) -> list[tuple[float, float]]:
        """Ground positions (x, z) that nobody walks through."""
        trunks = [tree[:2] for tree in self.trees]
        return [self.kiosk[:2], self.lamp, self.bench, *trunks]


def make_layout(rng: np.random.Generator, camera: Camera) -> Layout:
    """Draw a plan; x positions scale with the visible width."""
    side = 1 if rng.random() < 0.5 else -1
    middle = side * rng.uniform(0.25, 0.4) * camera.reach(LAWN.inner(0.5))
    kiosk_z = 0.5 * (PROMENADE.near + LANE.far)
    lawn = camera.reach(LAWN.inner(0.4))
    return Layout(
        camera=camera,
        flow=1 if rng.random() < 0.5 else -1,
        path=(middle - 0.85, middle + 0.85),
        kiosk=(-side * rng.uniform(0.66, 0.8) * camera.reach(kiosk_z), kiosk_z, 0.42),
        trees=(
            (-side * rng.uniform(0.55, 0.7) * lawn, LAWN.inner(0.6), rng.uniform(1.0, 1.2)),
            (side * rng.uniform(0.8, 0.9) * lawn, LAWN.inner(0.55), rng.uniform(1.1, 1.4)),
        ),
        lamp=(-side * rng.uniform(0.8, 0.9) * lawn, LAWN.inner(0.08)),
        bench=(side * rng.uniform(0.6, 0.68) * lawn, LAWN.inner(0.1)),
        sun=(rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 0.6), -rng.uniform(0.2, 0.45)),
    )
