"""The empty plaza: ground, shop front and the light on them, painted from world coordinates."""

from __future__ import annotations

import cv2
import numpy as np

from .layout import (
    FOCAL,
    HORIZON,
    LANE,
    LAWN,
    MOUNT,
    PROMENADE,
    SIDEWALK,
    WALL,
    Band,
    Layout,
)

SUPER = 3
"""Painted pixels a frame pixel in each direction."""


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Noise (H, W) of mean 0 and about unit deviation with lumps of ``cell`` pixels."""
    rows, columns = (max(2, int(np.ceil(size / cell)) + 1) for size in shape)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def grain(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, ...]) -> np.ndarray:
    """Sum of smooth noises (H, W), coarse lumps strongest, of about unit deviation."""
    total = sum(smooth_noise(rng, shape, cell) for cell in cells)
    return total / np.sqrt(len(cells))


def joints_between(value: np.ndarray, pitch: float, gap: float, scale: np.ndarray) -> np.ndarray:
    """Coverage (0 to 1) of the thin joints of a regular grid along one world axis.

    Args:
        value: World coordinate of each pixel, metres.
        pitch: Distance between joints, metres.
        gap: Width of a joint, metres.
        scale: Pixels a metre along this axis, per pixel.
    """
    away = np.abs(value / pitch - np.round(value / pitch)) * pitch * scale
    cover = np.clip(0.5 * gap * scale + 0.5 - away, 0.0, 1.0)
    return cover * np.clip(gap * scale * 1.5, 0.15, 1.0) * np.clip(pitch * scale / 4 - 0.5, 0, 1)


class Ground:
    """World coordinates of the painted ground pixels."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        camera = layout.camera
        self.shape = (camera.height * SUPER, camera.width * SUPER)
        height = float(self.shape[0])
        row = (np.arange(self.shape[0], dtype=np.float32) + 0.5)[:, None]
        column = (np.arange(self.shape[1], dtype=np.float32) + 0.5)[None]
        drop = np.maximum(row / height - HORIZON, 0.02)
        self.z = np.broadcast_to(FOCAL * MOUNT / drop, self.shape)
        self.scale = FOCAL * height / self.z
        self.x = (column - 0.5 * self.shape[1]) / self.scale
        # Rows are foreshortened: a metre of depth covers fewer rows than a metre across.
        self.deep = self.scale * MOUNT / self.z

    def on(self, band: Band, spill: float = 0.0) -> np.ndarray:
        """Pixels of a band, widened by ``spill`` metres."""
        return (self.z >= band.near - spill) & (self.z <= band.far + spill)

    def slabs(
        self,
        rng: np.random.Generator,
        colour: tuple[float, float, float],
        size: tuple[float, float],
        uneven: float,
    ) -> np.ndarray:
        """Paved surface (H, W, 3) with slabs of ``size`` (x, z) metres."""
        tones = rng.normal(1.0, uneven, (64, 64)).astype(np.float32)
        column = np.floor(self.x / size[0]).astype(int)
        row = np.floor(self.z / size[1]).astype(int)
        tone = tones[row % 64, column % 64]
        seam = np.maximum(
            joints_between(self.x, size[0], 0.03, self.scale),
            joints_between(self.z, size[1], 0.03, self.deep),
        )
        wear = 1.0 + 0.05 * grain(rng, self.shape, (90.0, 30.0, 4.0)) * 0.7
        surface = tone * wear * (1.0 - 0.38 * seam)
        return surface[..., None] * np.array(colour, np.float32)


def paint_ground(rng: np.random.Generator, ground: Ground) -> np.ndarray:
    """All surfaces (H, W, 3), without shadows."""
    layout, shape = ground.layout, ground.shape
    image = ground.slabs(rng, (158.0, 165.0, 170.0), (0.9, 0.9), 0.035)
    walk = ground.slabs(rng, (140.0, 147.0, 154.0), (0.6, 0.6), 0.04)
    lane = ground.slabs(rng, (104.0, 118.0, 146.0), (0.30, 0.42), 0.06)
    grass = 1.0 + 0.10 * grain(rng, shape, (60.0, 18.0, 6.0)) + 0.13 * smooth_noise(rng, shape, 2.2)
    lawn = grass[..., None] * np.array((62.0, 112.0, 92.0), np.float32)
    patch = np.clip(0.5 * smooth_noise(rng, shape, 75.0), 0.0, 0.45)[..., None]
    lawn = lawn * (1 - patch) + patch * np.array((92.0, 132.0, 140.0), np.float32)
    gravel = 1.0 + 0.06 * grain(rng, shape, (40.0, 8.0, 2.5))
    path = gravel[..., None] * np.array((138.0, 156.0, 168.0), np.float32)
    np.copyto(image, walk, where=ground.on(SIDEWALK)[..., None])
    np.copyto(image, lane, where=(ground.z <= LANE.far)[..., None])
    np.copyto(image, lawn, where=ground.on(LAWN)[..., None])
    ragged = 0.07 * smooth_noise(rng, shape, 9.0)
    trail = ground.on(LAWN) & (ground.x > layout.path[0] + ragged)
    np.copyto(image, path, where=(trail & (ground.x < layout.path[1] + ragged))[..., None])
    for z, tone in ((LAWN.near, 1.1), (LAWN.far, 1.05), (0.5 * (LANE.far + PROMENADE.near), 1.22)):
        kerb = np.clip(0.09 * ground.deep - np.abs(ground.z - z) * ground.deep + 0.5, 0.0, 1.0)
        edge = np.clip(1.5 - np.abs(ground.z - z + 0.1) * ground.deep, 0.0, 1.0) * 0.35
        stone = np.array((160.0, 165.0, 168.0), np.float32) * tone
        gap = ground.x / 1.0
        seams = 1.0 - 0.25 * joints_between(gap, 1.0, 0.03, ground.scale)
        image = image * (1 - kerb[..., None]) + (kerb * seams)[..., None] * stone
        image *= (1.0 - edge)[..., None]
    return paint_arrows(rng, ground, image)


def paint_arrows(rng: np.random.Generator, ground: Ground, image: np.ndarray) -> np.ndarray:
    """Worn white arrows that show the flow of the one-way lane."""
    layout, middle = ground.layout, LANE.inner(0.45)
    outline = np.array(
        [(-0.6, -0.07), (0.15, -0.07), (0.15, -0.24), (0.6, 0.0), (0.15, 0.24), (0.15, 0.07),
         (-0.6, 0.07)]
    )  # fmt: skip
    mask = np.zeros(ground.shape, np.uint8)
    reach = layout.camera.reach(middle)
    for centre in np.arange(-reach + 0.6, reach + 1.0, 2.6):
        spots = np.zeros((len(outline), 3))
        spots[:, 0] = centre + layout.flow * outline[:, 0]
        spots[:, 2] = middle + outline[:, 1]
        pixels = layout.camera.project(spots)[0] * SUPER
        cv2.fillPoly(mask, [np.round(pixels * 8).astype(np.int32)], 255, cv2.LINE_AA, 3)
    wear = np.clip(0.55 + 0.22 * grain(rng, ground.shape, (12.0, 5.0)), 0.1, 0.85)
    cover = (mask / np.float32(255) * wear)[..., None]
    return image * (1 - cover) + cover * np.array((205.0, 210.0, 212.0), np.float32)


def paint_wall(rng: np.random.Generator, ground: Ground, image: np.ndarray) -> np.ndarray:
    """Shop front behind the sidewalk: bricks, windows, doors and awnings, painted in place."""
    foot = int(round(ground.layout.camera.project(np.array([[0.0, 0.0, WALL]]))[0][0, 1] * SUPER))
    if foot <= 0:
        return image
    shape = (foot, ground.shape[1])
    scale = FOCAL * ground.shape[0] / WALL
    y = ((foot - np.arange(foot, dtype=np.float32) - 0.5) / scale)[:, None]
    x = ((np.arange(shape[1], dtype=np.float32) + 0.5 - 0.5 * shape[1]) / scale)[None]
    bricks = 1.0 - 0.16 * np.maximum(
        joints_between(np.broadcast_to(y, shape), 0.16, 0.03, np.float32(scale)),
        joints_between(
            x + 0.16 * (np.floor(y / 0.16) % 2), 0.32, 0.03, np.full(shape, scale, np.float32)
        ),
    )
    bricks *= 1.0 + 0.05 * grain(rng, shape, (40.0, 10.0, 3.0))
    wall = bricks[..., None] * np.array((88.0, 100.0, 128.0), np.float32)
    pitch, shift = rng.uniform(3.0, 3.8), rng.uniform(0.0, 3.0)
    bay, inside = np.floor((x + shift) / pitch), (x + shift) % pitch
    door = bay % 3 == 1
    sill = np.where(door, 0.04, 0.55)
    opening = (inside > np.where(door, 1.0, 0.4)) & (inside < np.where(door, 2.1, pitch - 0.4))
    pane = opening & (y > sill) & (y < 2.15)
    rim = opening & (y > sill - 0.08) & (y < 2.25) & ~pane
    glow = 60.0 + 14.0 * y + 16.0 * grain(rng, shape, (50.0, 14.0, 5.0))
    glass = glow[..., None] * np.array((1.05, 1.0, 0.92), np.float32)
    glass *= np.where(np.abs(inside % 1.1 - 0.55) < 0.035, 1.7, 1.0)[..., None]
    tints = rng.uniform(0.85, 1.15, (8, 3)).astype(np.float32)
    glass *= tints[bay.astype(int) % 8]
    np.copyto(wall, glass, where=np.broadcast_to(pane, shape)[..., None])
    np.copyto(wall, np.float32(150.0), where=np.broadcast_to(rim, shape)[..., None])
    cloths = rng.uniform(75.0, 150.0, (8, 3)).astype(np.float32)
    awning = (y > 2.2) & (y < 2.55) & (inside > 0.25) & (inside < pitch - 0.25) & ~door
    stripes = np.where((inside // 0.22) % 2 == 0, 1.0, 0.72)
    cover = cloths[bay.astype(int) % 8] * (stripes * (1.15 - 0.2 * (2.55 - y)))[..., None]
    np.copyto(wall, cover.astype(np.float32), where=np.broadcast_to(awning, shape)[..., None])
    wall *= np.where(y < 0.16, 0.72, 1.0)[..., None]
    image[:foot] = wall
    image[foot : foot + 2 * SUPER] *= 0.78
    return image


def paint_backdrop(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """The empty plaza in plain light.

    Returns:
        (H, W, 3) float32 BGR at the camera's size, fixtures and their shadows not included.
    """
    ground = Ground(layout)
    image = paint_wall(rng, ground, paint_ground(rng, ground)).astype(np.float32)
    # Dirt and old stains, and a lens that darkens the corners.
    stain = 1.0 - 0.10 * np.clip(grain(rng, ground.shape, (140.0, 50.0)) - 0.6, 0.0, 2.0)
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in ground.shape)
    lens = 1.0 - 0.13 * (rows[:, None] ** 2 + columns[None] ** 2) ** 1.2 / 2.3
    image *= (stain * lens)[..., None]
    size = (layout.camera.width, layout.camera.height)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
