"""The scene a set of videos shares: empty plaza, fixed objects in front of it, and sunlight."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .backdrop import SUPER, paint_backdrop, smooth_noise
from .layout import WALL, Layout


@dataclass(frozen=True)
class Fixture:
    """A fixed object that hides what is behind it.

    Attributes:
        z: Depth at which it stands, metres.
        image: (h, w, 4) float32, BGR multiplied by opacity, and opacity in 0 to 1.
        corner: (row, column) of the image in the frame.
        sway: Largest sideways shift in the wind, pixels.
    """

    z: float
    image: np.ndarray
    corner: tuple[int, int]
    sway: float = 0.0


@dataclass(frozen=True)
class Scene:
    """What the camera sees without people.

    Attributes:
        layout: The plan.
        backdrop: (H, W, 3) float32 BGR without shadows.
        shadow: (H, W) float32, 0 to 1: shadow of the fixed objects.
        fixtures: Objects that stand in front, any order.
        glow: (H, W) float32, 0 to 1: where the flickering lamp light falls.
        cloth: (512, 512) float32 of mean 0: weave and folds laid over everybody.
    """

    layout: Layout
    backdrop: np.ndarray
    shadow: np.ndarray
    fixtures: tuple[Fixture, ...]
    glow: np.ndarray
    cloth: np.ndarray


class Easel:
    """Transparent canvas as large as the frame on which a fixture is painted in world units."""

    def __init__(self, layout: Layout) -> None:
        self.camera = layout.camera
        shape = (self.camera.height * SUPER, self.camera.width * SUPER)
        self.colour = np.zeros((*shape, 3), np.float32)
        self.cover = np.zeros(shape, np.float32)

    def spot(self, x: float, y: float, z: float) -> tuple[np.ndarray, float]:
        """Painted pixel (column, row) of a world point, and pixels a metre."""
        pixel, scale = self.camera.project(np.array([[x, y, z]]))
        return pixel[0] * SUPER, float(scale[0]) * SUPER

    def fill(self, outline: np.ndarray, colour: np.ndarray | tuple[float, ...]) -> None:
        """Fill a polygon (N, 2) of painted pixels; ``colour`` may vary by column (W, 3)."""
        height, width = self.cover.shape
        low = np.clip(np.floor(outline.min(0)).astype(int) - 2, 0, (width, height))
        high = np.clip(np.ceil(outline.max(0)).astype(int) + 3, 0, (width, height))
        rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        if not mask.size:
            return
        points = np.round((outline - low) * 8).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 3)
        share = mask[..., None] / np.float32(255)
        colour = np.asarray(colour, np.float32)
        patch = self.colour[rows, columns]
        patch += ((colour[columns] if colour.ndim == 2 else colour) - patch) * share
        np.maximum(self.cover[rows, columns], share[..., 0], out=self.cover[rows, columns])

    def disc(self, centre: np.ndarray, radius: float, colour: np.ndarray) -> None:
        """Fill a small circle, given in painted pixels."""
        low = np.floor(centre - radius - 2).astype(int)
        size = int(2 * radius + 6)
        rows, columns = (
            slice(max(start, 0), max(start + size, 0)) for start in (int(low[1]), int(low[0]))
        )
        cover = self.cover[rows, columns]
        if not cover.size:
            return
        y, x = np.mgrid[: cover.shape[0], : cover.shape[1]]
        away = np.hypot(x + columns.start - centre[0], y + rows.start - centre[1])
        share = np.clip(radius + 0.5 - away, 0.0, 1.0).astype(np.float32)
        patch = self.colour[rows, columns]
        patch += (colour.astype(np.float32) - patch) * share[..., None]
        np.maximum(cover, share, out=cover)

    def rectangle(
        self, x: tuple[float, float], y: tuple[float, float], z: float, colour: tuple
    ) -> None:
        """Fill an upright rectangle facing the camera."""
        low, high = self.spot(x[0], y[0], z)[0], self.spot(x[1], y[1], z)[0]
        corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
        self.fill(np.array(corners), colour)

    def fixture(self, z: float, sway: float = 0.0) -> Fixture | None:
        """What was painted, cut out at frame size; None when it lies outside of the frame."""
        sheet = np.dstack([self.colour * self.cover[..., None], self.cover])
        size = (self.camera.width, self.camera.height)
        sheet = cv2.resize(sheet, size, interpolation=cv2.INTER_AREA)
        rows, columns = (np.flatnonzero(sheet[..., 3].max(axis)) for axis in (1, 0))
        if not len(rows):
            return None
        top, left = max(rows[0] - 1, 0), max(columns[0] - 3, 0)
        image = sheet[top : rows[-1] + 2, left : columns[-1] + 4]
        return Fixture(z, np.ascontiguousarray(image), (int(top), int(left)), sway)


def muted(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """A faded colour (3,), BGR, of a brightness between ``low`` and ``high``."""
    return 255.0 * rng.uniform(low, high) * (1.0 - 0.4 * rng.beta(2.0, 3.0, 3))


def ellipse(centre: np.ndarray, width: float, height: float) -> np.ndarray:
    """Outline (32, 2) of an upright ellipse with the given half axes."""
    angle = np.linspace(0.0, 2.0 * math.pi, 33)[:-1]
    return centre + np.stack([width * np.cos(angle), height * np.sin(angle)], 1)


def paint_kiosk(rng: np.random.Generator, layout: Layout) -> Fixture | None:
    """Advertising column: a round pillar with posters and a cap."""
    easel = Easel(layout)
    x, z, radius = layout.kiosk
    centre, scale = easel.spot(x, 0.0, z)
    columns = (np.arange(easel.cover.shape[1]) + 0.5 - centre[0]) / (radius * scale)
    round_light = np.sqrt(np.clip(1.0 - columns**2, 0.0, 1.0)) * 0.55 + 0.5
    round_light -= 0.2 * np.sign(layout.sun[0]) * np.clip(columns, -1.0, 1.0)
    body = np.array((96.0, 108.0, 92.0)) * round_light[:, None]

    def ring(low: float, high: float, wide: float) -> np.ndarray:
        (bottom, _), (top, _) = easel.spot(x, low, z), easel.spot(x, high, z)
        curve = ellipse(bottom, wide * scale, 0.45 * wide * scale)[:17]
        return np.concatenate([curve, ellipse(top, wide * scale, 0.45 * wide * scale)[16:]])

    easel.fill(ring(0.0, 2.35, radius), body)
    easel.fill(ring(0.0, 0.25, 1.06 * radius), 0.7 * body)
    angle = -1.3
    while angle < 1.0:
        wide = rng.uniform(0.6, 0.95)
        left, right = (math.sin(min(a, 1.5)) * radius for a in (angle, angle + wide))
        low = rng.uniform(0.5, 0.75)
        paper = muted(rng, 0.45, 0.85) * round_light[:, None]
        easel.rectangle((x + left, x + right), (low, rng.uniform(1.8, 2.1)), z, paper)
        for _ in range(4):
            y = rng.uniform(low + 0.1, 1.7)
            ink = muted(rng, 0.15, 0.7) * round_light[:, None]
            inner = (x + left + 0.15 * (right - left), x + right - 0.15 * (right - left))
            easel.rectangle(inner, (y, y + rng.uniform(0.05, 0.25)), z, ink)
        angle += wide + 0.12
    easel.fill(ring(2.3, 2.45, 1.18 * radius), 0.8 * body)
    easel.fill(ring(2.45, 2.48, 1.1 * radius), 1.25 * body)
    return easel.fixture(z)


def paint_tree(
    rng: np.random.Generator, layout: Layout, tree: tuple[float, float, float]
) -> tuple[Fixture | None, Fixture | None]:
    """Trunk, and crown of leaves with light from above."""
    x, z, radius = tree
    trunk, crown = Easel(layout), Easel(layout)
    foot, scale = trunk.spot(x, 0.0, z)
    top = trunk.spot(x + 0.05, 2.0, z)[0]
    wide = np.array([0.13 * scale, 0.0])
    bark = 0.75 + 0.5 * rng.random(trunk.cover.shape[1])[:, None]
    outline = np.array([foot - wide, foot + wide, top + 0.6 * wide, top - 0.6 * wide])
    trunk.fill(outline, bark * np.array((48.0, 62.0, 74.0)))
    middle = crown.spot(x, 1.35 + radius, z)[0]
    sun = np.array([-0.6 * math.copysign(1.0, layout.sun[0]), -0.8])
    count = int(520 * radius)
    for k in range(count):
        spread = radius * math.sqrt(rng.random()) * (1.0 if k > count // 3 else 0.8)
        angle = rng.uniform(0.0, 2.0 * math.pi)
        offset = spread * np.array([math.cos(angle), 0.9 * math.sin(angle)])
        light = 0.75 + 0.45 * float(offset @ sun) / radius + rng.normal(0.0, 0.13)
        light *= 0.55 + 0.45 * k / count
        green = np.array((38.0, 88.0, 70.0)) * max(light, 0.2) * rng.uniform(0.9, 1.15, 3)
        leaf = rng.uniform(0.035, 0.11) * scale
        crown.disc(middle + offset * scale, leaf, green)
    return trunk.fixture(z), crown.fixture(z - 0.05, sway=0.008 * scale / SUPER)


def paint_furniture(layout: Layout) -> list[Fixture | None]:
    """Lamp post and bench."""
    lamp, bench = Easel(layout), Easel(layout)
    x, z = layout.lamp
    lamp.rectangle((x - 0.05, x + 0.05), (0.0, 4.2), z, (62.0, 64.0, 62.0))
    lamp.rectangle((x - 0.03, x), (0.0, 4.2), z, (88.0, 90.0, 88.0))
    lamp.rectangle((x - 0.11, x + 0.11), (0.0, 0.35), z, (58.0, 60.0, 58.0))
    x, back = layout.bench
    for side in (-0.75, 0.75):
        bench.rectangle((x + side - 0.04, x + side + 0.04), (0.0, 0.85), back, (60.0, 60.0, 62.0))
    wood = (62.0, 92.0, 122.0)
    for low in (0.52, 0.70):
        bench.rectangle((x - 0.9, x + 0.9), (low, low + 0.12), back, wood)
    bench.rectangle((x - 0.9, x + 0.9), (0.34, 0.46), back - 0.1, tuple(1.15 * c for c in wood))
    return [lamp.fixture(z), bench.fixture(back)]


def cast_shadows(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """Shadow (H, W) of the fixed objects on the ground, 0 to 1."""
    easel = Easel(layout)
    sun_x, sun_z = layout.sun
    angle = np.linspace(0.0, 2.0 * math.pi, 33)[:-1]
    circle = np.stack([np.cos(angle), np.zeros(32), np.sin(angle)], 1)

    def drop(points: np.ndarray) -> None:
        ground = points + points[:, 1:2] * np.array([sun_x, -1.0, sun_z])
        outline = easel.camera.project(ground)[0].astype(np.float32) * SUPER
        easel.fill(cv2.convexHull(outline)[:, 0], (255.0, 255.0, 255.0))

    for x, z, radius in layout.trees:
        base = np.array([x, 0.0, z])
        drop(np.concatenate([base + 0.13 * circle, base + [0.0, 2.0, 0.0] + 0.1 * circle]))
        drop(base + [0.0, 1.35 + radius, 0.0] + radius * circle)
    leaves = smooth_noise(rng, easel.cover.shape, 11.0) + smooth_noise(rng, easel.cover.shape, 30.0)
    easel.cover *= np.clip(0.85 + 0.5 * leaves, 0.15, 1.0)
    x, z, radius = layout.kiosk
    base = np.array([x, 0.0, z])
    drop(np.concatenate([base + radius * circle, base + [0.0, 2.4, 0.0] + radius * circle]))
    x, z = layout.lamp
    base = np.array([x, 0.0, z])
    drop(np.concatenate([base + 0.05 * circle, base + [0.0, 4.2, 0.0] + 0.05 * circle]))
    foot = easel.spot(0.0, 0.0, WALL)[0][1]
    easel.cover[: max(int(foot), 0)] = 0.0
    size = (easel.camera.width, easel.camera.height)
    shadow = cv2.resize(easel.cover, size, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(shadow, (0, 0), 0.004 * easel.camera.height)


def make_scene(rng: np.random.Generator, layout: Layout) -> Scene:
    """Paint the scene of a layout."""
    camera = layout.camera
    trees = [part for tree in layout.trees for part in paint_tree(rng, layout, tree)]
    fixtures = [*trees, paint_kiosk(rng, layout), *paint_furniture(layout)]
    x, z = layout.lamp
    pool, scale = camera.project(np.array([[x, 0.0, z - 0.8]]))
    rows, columns = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    across, down = (columns - pool[0, 0]) / scale[0], (rows - pool[0, 1]) / scale[0]
    cloth = smooth_noise(rng, (512, 512), 7.0) + 0.7 * smooth_noise(rng, (512, 512), 3.0)
    return Scene(
        layout=layout,
        backdrop=paint_backdrop(rng, layout),
        shadow=cast_shadows(rng, layout),
        fixtures=tuple(fixture for fixture in fixtures if fixture is not None),
        glow=np.exp(-0.5 * ((across / 2.2) ** 2 + (down / 1.2) ** 2)).astype(np.float32),
        cloth=cloth / 1.2,
    )
