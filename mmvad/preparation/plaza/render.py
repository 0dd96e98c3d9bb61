"""Frames from a scene and its actors: drawing, occlusion, light, lens and sensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .actors import Actor, Shape
from .figure import Colour
from .layout import FPS, MOUNT, Camera
from .scene import Fixture, Scene

SUPER = 2
"""Drawn pixels a frame pixel in each direction."""

BITS = 4
"""Fractional bits of drawn coordinates."""

_ANGLES = np.linspace(0.0, 2.0 * math.pi, 13)[:-1]
HALF = len(_ANGLES) // 2
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)


class Frame(NamedTuple):
    """One rendered frame.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        visible: For each actor, in order: None, or its visible pixels as
            (row, column, mask) with the mask's corner in the frame.
    """

    image: np.ndarray
    visible: list[tuple[int, int, np.ndarray] | None]


@dataclass(frozen=True)
class Light:
    """Light and sensor of one video, drawn once.

    Attributes:
        gain: (F,) brightness of the whole frame.
        lamp: (F,) brightness added where the lamp's light falls.
        tint: (3,) colour of the light.
        shadow: Darkness of shadows, 0 to 1.
        noise: Standard deviation of the sensor's noise, grey levels.
        wind: (F,) swaying of the leaves, -1 to 1.
    """

    gain: np.ndarray
    lamp: np.ndarray
    tint: np.ndarray
    shadow: float
    noise: float
    wind: np.ndarray


def make_light(rng: np.random.Generator, frames: int) -> Light:
    """Draw slow changes of daylight, a flickering lamp, and the sensor's noise."""
    time = np.arange(frames) / FPS
    slow = sum(
        rng.uniform(0.01, 0.03) * np.sin(2 * math.pi * (time / period + rng.random()))
        for period in rng.uniform(5.0, 25.0, 2)
    )
    jitter = 0.004 * rng.standard_normal(frames)
    mains = np.sin(2 * math.pi * (0.37 * time + rng.random())) * rng.uniform(0.3, 1.0)
    dropouts = rng.random(frames) < 0.04
    wind = np.sin(2 * math.pi * (0.31 * time + rng.random()))
    wind = 0.6 * wind + 0.4 * np.sin(2 * math.pi * (0.83 * time + rng.random()))
    return Light(
        gain=rng.uniform(0.86, 1.06) * (1.0 + slow + jitter),
        lamp=0.10 + 0.035 * mains - 0.07 * dropouts,
        tint=1.0 + rng.uniform(-0.03, 0.03, 3),
        shadow=rng.uniform(0.2, 0.45),
        noise=rng.uniform(1.8, 3.0),
        wind=wind,
    )


class Outline(NamedTuple):
    """A shape as the camera sees it.

    Attributes:
        rings: (M, 12, 2) circle around every point of every piece, frame pixels.
        pieces: For each piece, far ones first: its points among the M, its colour, and the
            thickness of a line in frame pixels, 0 for a filled hull.
    """

    rings: np.ndarray
    pieces: list[tuple[slice, Colour, float]]


def outline(camera: Camera, shape: Shape, sun: tuple[float, float] | None = None) -> Outline:
    """Project a shape, or its shadow on the ground when ``sun`` is given (as in ``Layout``)."""
    parts = shape.parts
    counts = [len(part.points) for part in parts]
    local = np.array([point for part in parts for point in part.points])
    radii = np.array([radius for part in parts for radius in part.radii])
    cosine, sine = math.cos(shape.heading), math.sin(shape.heading)
    world = np.empty_like(local)
    world[:, 0] = shape.x + local[:, 0] * cosine - local[:, 1] * sine
    world[:, 1] = local[:, 2]
    world[:, 2] = shape.z + local[:, 0] * sine + local[:, 1] * cosine
    flat = 1.0
    starts = np.concatenate([[0], np.cumsum(counts)])
    if sun is None:
        depth = np.add.reduceat(world[:, 2], starts[:-1]) / counts
        order = np.argsort(-(depth - [part.lift for part in parts]), kind='stable')
    else:
        order = range(len(parts))
        flat = MOUNT / shape.z
        world[:, 0] += world[:, 1] * sun[0]
        world[:, 2] += world[:, 1] * sun[1]
        world[:, 1] = 0.0
    pixels, scale = camera.project(world)
    radii = radii * scale
    rings = pixels[:, None] + radii[:, None, None] * CIRCLE * [1.0, flat]
    pieces = [
        (
            slice(starts[k], starts[k + 1]),
            parts[k].colour,
            2.0 * float(radii[starts[k]]) if parts[k].line else 0.0,
        )
        for k in order
    ]
    return Outline(rings, pieces)


def draw(canvas: np.ndarray, flat: Outline, corner: np.ndarray, zoom: int) -> None:
    """Draw an outline on a canvas whose first pixel is at ``corner`` (column, row) of the frame.

    Args:
        canvas: uint8, one channel (shadow) or four (BGR multiplied by opacity, opacity).
        flat: What to draw.
        corner: (2,) frame pixels.
        zoom: Canvas pixels a frame pixel.
    """
    rings = np.rint((flat.rings - corner) * (zoom << BITS)).astype(np.int32)
    for piece, colour, width in flat.pieces:
        value = (*colour, 255.0) if canvas.ndim == 3 else 255.0
        if width:
            thick = max(1, round(width * zoom))
            points = (rings[piece, 0] + rings[piece, HALF]) // 2
            cv2.polylines(canvas, [points], False, value, thick, cv2.LINE_AA, BITS)
        else:
            hull = cv2.convexHull(rings[piece].reshape(-1, 2))
            cv2.fillConvexPoly(canvas, hull, value, cv2.LINE_AA, BITS)


class Renderer:
    """Renders the frames of one video.

    Args:
        scene: The scene.
        actors: Everybody on stage.
        light: Light and sensor.
        rng: Random numbers for the sensor's noise; frames must be rendered in order.
    """

    def __init__(
        self, scene: Scene, actors: Sequence[Actor], light: Light, rng: np.random.Generator
    ) -> None:
        self.scene = scene
        self.actors = actors
        self.light = light
        self._rng = rng
        # Everybody's clothes hang in folds of their own.
        self._folds = rng.integers(0, 256, (len(actors), 2))
        daylight = 1.0 - light.shadow * scene.shadow[..., None]
        self._empty = scene.backdrop * daylight * light.tint.astype(np.float32)
        self._open_ground = 1.0 - 0.8 * scene.shadow

    def render(self, index: int) -> Frame:
        """Render frame ``index``."""
        time = index / FPS
        camera = self.scene.layout.camera
        shapes = {
            k: actor.shape(time) for k, actor in enumerate(self.actors) if actor.present(time)
        }
        image = self._empty * threefold(self._cast(shapes))
        owner = np.full(image.shape[:2], -1, np.int16)
        queue: list[tuple[float, int, Fixture | None]] = [
            (shape.z, k, None) for k, shape in shapes.items()
        ]
        queue += [(fixture.z, -1, fixture) for fixture in self.scene.fixtures]
        boxes = {}
        for _, k, fixture in sorted(queue, key=lambda item: -item[0]):
            if fixture is not None:
                self._place(image, owner, fixture, self.light.wind[index])
                continue
            sprite = self._sprite(k, outline(camera, shapes[k]))
            if sprite is not None:
                row, column, patch = sprite
                boxes[k] = blend(image, owner, row, column, patch, k)
        return Frame(self._expose(image, index), self._visible(owner, boxes))

    def _cast(self, shapes: dict[int, Shape]) -> np.ndarray:
        """Brightness (H, W) of the ground under everybody's shadow."""
        layout = self.scene.layout
        mask = np.zeros(self.scene.shadow.shape, np.uint8)
        for shape in shapes.values():
            flat = outline(layout.camera, shape, layout.sun)
            draw(mask, flat, np.zeros(2, np.float32), 1)
        soft = cv2.GaussianBlur(mask, (0, 0), 0.0035 * layout.camera.height).astype(np.float32)
        return 1.0 - (self.light.shadow / 255.0) * soft * self._open_ground

    def _sprite(self, k: int, flat: Outline) -> tuple[int, int, np.ndarray] | None:
        """Draw one actor: (row, column, (h, w, 4) float32 in frame pixels), or None if outside."""
        camera = self.scene.layout.camera
        points = flat.rings.reshape(-1, 2)
        low = np.floor(points.min(0)).astype(int) - 2
        high = np.ceil(points.max(0)).astype(int) + 3
        anchor = low
        low = np.maximum(low, 0)
        high = np.minimum(high, (camera.width, camera.height))
        if (high <= low).any():
            return None
        canvas = np.zeros(((high[1] - low[1]) * SUPER, (high[0] - low[0]) * SUPER, 4), np.uint8)
        draw(canvas, flat, low.astype(np.float32), SUPER)
        if not canvas[..., 3].any():
            return None
        patch = cv2.resize(
            canvas, (high[0] - low[0], high[1] - low[1]), interpolation=cv2.INTER_AREA
        ).astype(np.float32)
        patch *= np.float32(1.0 / 255.0)
        # Rounded forms: brighter towards the sun, darker at the far rim and further down.
        cover = patch[..., 3]
        tall = float(points[:, 1].max() - points[:, 1].min())
        blur = cv2.GaussianBlur(cover, (0, 0), max(0.6, 0.035 * tall))
        side = -math.copysign(1.0, self.scene.layout.sun[0])
        reach = max(1, round(0.03 * tall))
        rim = np.roll(blur, -int(side) * reach, 1) - np.roll(blur, int(side) * reach, 1)
        rows = (np.arange(low[1], high[1]) - points[:, 1].min()) / max(tall, 1.0)
        light = 1.04 - 0.12 * rows.astype(np.float32)[:, None] - 0.32 * rim
        top, left = self._folds[k] + (low - anchor)[::-1]
        cloth = self.scene.cloth[top % 512 :, left % 512 :][: cover.shape[0], : cover.shape[1]]
        light[: cloth.shape[0], : cloth.shape[1]] *= 1.0 + 0.04 * cloth
        patch *= cv2.cvtColor(255.0 * light, cv2.COLOR_GRAY2BGRA)  # opacity times 1
        return int(low[1]), int(low[0]), patch

    def _place(self, image: np.ndarray, owner: np.ndarray, fixture: Fixture, wind: float) -> None:
        """Put a fixture in front of what is drawn so far."""
        patch = fixture.image
        if fixture.sway:
            # The crown bends: its top moves, its bottom stays.
            shear = wind * fixture.sway / patch.shape[0]
            bend = np.array([[1.0, -shear, shear * patch.shape[0]], [0.0, 1.0, 0.0]])
            patch = cv2.warpAffine(patch, bend, patch.shape[1::-1])
        light = patch * np.append(self.light.tint, 1.0).astype(np.float32)
        blend(image, owner, *fixture.corner, light, -1)

    def _expose(self, image: np.ndarray, index: int) -> np.ndarray:
        """Light, lens and sensor: (H, W, 3) uint8; ``image`` is overwritten."""
        light = self.light.gain[index] * (1.0 + self.light.lamp[index] * self.scene.glow)
        image *= threefold(light.astype(np.float32))
        image = cv2.GaussianBlur(image, (0, 0), 0.55)
        shape = image.shape
        luma = self._rng.standard_normal(shape[:2], dtype=np.float32)
        chroma = self._rng.standard_normal(
            ((shape[0] + 1) // 2, (shape[1] + 1) // 2, 3), dtype=np.float32
        )
        chroma = cv2.resize(chroma, shape[1::-1], interpolation=cv2.INTER_LINEAR)
        # In place: fresh memory of this size costs more than the sums.
        chroma *= 0.7
        chroma += threefold(luma)
        chroma *= self.light.noise
        image += chroma
        np.rint(image, out=image)
        return np.clip(image, 0, 255, out=image).astype(np.uint8)

    def _visible(
        self, owner: np.ndarray, boxes: dict[int, tuple[slice, slice]]
    ) -> list[tuple[int, int, np.ndarray] | None]:
        """Visible pixels of every actor."""
        found: list[tuple[int, int, np.ndarray] | None] = [None] * len(self.actors)
        for k, (rows, columns) in boxes.items():
            mask = owner[rows, columns] == k
            if mask.any():
                found[k] = (rows.start, columns.start, mask)
        return found


def blend(
    image: np.ndarray, owner: np.ndarray, row: int, column: int, patch: np.ndarray, name: int
) -> tuple[slice, slice]:
    """Lay a patch (BGR multiplied by opacity, opacity) over the image in place.

    Args:
        image: (H, W, 3) float32.
        owner: (H, W): whose each pixel is; pixels more than half covered become ``name``'s.
        row: First row of the patch in the image.
        column: First column of the patch in the image.
        patch: (h, w, 4) float32, inside of the image.
        name: New owner.

    Returns:
        Rows and columns of the patch.
    """
    rows, columns = slice(row, row + patch.shape[0]), slice(column, column + patch.shape[1])
    cover = patch[..., 3]
    under = image[rows, columns]
    under *= threefold(1.0 - cover)
    under += cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR)
    owner[rows, columns][cover > 0.5] = name
    return rows, columns


def threefold(plane: np.ndarray) -> np.ndarray:
    """(H, W, 3) from (H, W) float32: numpy is slow to broadcast over only three channels."""
    return cv2.cvtColor(plane, cv2.COLOR_GRAY2BGR)
