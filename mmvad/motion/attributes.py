"""Attributes of objects that can be measured without learned weights.

Shape letters: H x W the frame, N objects in it, G points sampled in a box.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmvad.structures import FrameObjects

from .flow import FrameFlow, grey

DIRECTIONS = 8
#: One record per object. Lengths are pixels of the frame, tones are grey levels in [0, 255].
#: ``directions`` is a histogram of oriented flow: the mean over all points of the box of the speed
#: of those that go each way, in pixels per frame.
ATTRIBUTES = np.dtype(
    [
        ('speed', np.float32),  # of the object's fastest part, pixels per frame
        ('peak_speed', np.float32),  # 90th percentile over the box, pixels per frame
        ('velocity', np.float32, (2,)),  # mean (x, y) motion of that part, pixels per frame
        ('spread', np.float32),  # mean deviation from that velocity, pixels per frame
        ('directions', np.float32, (DIRECTIONS,)),
        ('width', np.float32),
        ('height', np.float32),
        ('centre', np.float32, (2,)),  # (x, y) of the object's middle
        ('view', np.float32, (2,)),  # (middle, lower edge) over the frame's (width, height)
        ('tone', np.float32),  # median tone of the object
        ('contrast', np.float32),  # standard deviation of its tone
        ('ring_tone', np.float32),  # median tone of the crop around the object
        ('ring_texture', np.float32),  # mean Sobel gradient of the crop around the object
        ('neighbours', np.int32, (2,)),  # objects near by: to the left, to the right
    ]
)

GRID = 24  # points along each side of a box: as many for every box, so that all go in one array
FIGURE = GRID**2 // 3  # points of a box taken for the object itself, when its tone is asked for
NEAR = 1.5  # a neighbour's middle is at most so many heights of the object away


class AttributeMeter:
    """Measure the objects of a frame.

    Args:
        flow: What gives the motion, and the size to which frames are reduced; default:
            :class:`~mmvad.motion.flow.FrameFlow` as it is.
    """

    def __init__(self, flow: FrameFlow | None = None) -> None:
        self.flow = flow or FrameFlow()

    def __call__(
        self, sample: FrameObjects, flow: np.ndarray | None = None, looks: bool = True
    ) -> np.ndarray:
        """Measure the objects of one frame.

        Args:
            sample: Objects and frames, as many as the flow needs.
            flow: (h, w, 2) motion as :class:`~mmvad.motion.flow.FrameFlow` gives it, at any
                reduced size, if it is known already.
            looks: Whether to measure tones, textures and neighbours too, which only words need;
                else they are 0.

        Returns:
            (N,) array of :data:`ATTRIBUTES`.

        Raises:
            ValueError: If there are too few frames.
        """
        if flow is None:
            try:
                flow = self.flow(sample.frames)
            except ValueError as error:
                raise ValueError(f'{sample.video}, frame {sample.frame}: {error}') from error
        out = np.zeros(len(sample), ATTRIBUTES)
        if not len(sample):
            return out
        frame_height, frame_width = sample.frames[-1].shape[:2]
        scale = len(flow) / frame_height
        objects = np.asarray(sample.objects, np.float32)
        points = _grid(objects * scale)
        motion = _at(flow, points)
        speed = np.linalg.norm(motion, axis=2)
        # The object fills its box in part only, and what is behind it stands still.
        peak = np.percentile(speed, 90, axis=1, keepdims=True)
        moving = speed >= 0.7 * peak
        velocity = np.einsum('ngc,ng->nc', motion, moving) / moving.sum(axis=1, keepdims=True)
        deviation = np.linalg.norm(motion - velocity[:, None], axis=2)
        out['speed'] = np.nanmedian(np.where(moving, speed, np.nan), axis=1)
        out['peak_speed'] = peak[:, 0]
        out['velocity'] = velocity
        out['spread'] = np.average(deviation, axis=1, weights=moving)

        angle = np.arctan2(motion[..., 1], motion[..., 0]) / (2 * np.pi) % 1
        which = (angle * DIRECTIONS).astype(np.intp) % DIRECTIONS
        for direction in range(DIRECTIONS):
            out['directions'][:, direction] = (speed * (which == direction)).mean(axis=1)

        size = objects[:, 2:] - objects[:, :2]
        out['width'], out['height'] = size.T
        out['centre'] = centre = (objects[:, :2] + objects[:, 2:]) / 2
        out['view'] = np.stack([centre[:, 0] / frame_width, objects[:, 3] / frame_height], axis=1)

        if looks:
            self._look(out, sample, points, scale)
        return out

    @staticmethod
    def _look(out: np.ndarray, sample: FrameObjects, points: np.ndarray, scale: float) -> None:
        """Fill in tones, textures and neighbours of (N,) objects, of (N, G, 2) points in them."""
        objects = np.asarray(sample.objects, np.float32)
        now = grey(sample.frames[-1], scale)
        tone = _at(now, points).astype(np.float32)
        ring_tone, out['ring_texture'] = _ring(
            now, np.asarray(sample.boxes) * scale, objects * scale
        )
        # Likewise, what is unlike the surroundings is the object.
        unlike = np.abs(tone - ring_tone[:, None])
        figure = np.take_along_axis(tone, unlike.argsort(axis=1)[:, -FIGURE:], axis=1)
        out['ring_tone'] = ring_tone
        out['tone'] = np.median(figure, axis=1)
        out['contrast'] = figure.std(axis=1)

        centre = out['centre']
        apart = centre - centre[:, None]  # (N, N, 2), from the row's object to the column's
        near = np.linalg.norm(apart, axis=2) <= NEAR * out['height'][:, None]
        np.fill_diagonal(near, False)
        left = apart[..., 0] < 0
        out['neighbours'] = np.stack(
            [(near & left).sum(axis=1), (near & ~left).sum(axis=1)], axis=1
        )


#: Quantities that :func:`attribute_vectors` gives: columns of the table, lengths as logarithms.
QUANTITIES = {
    'speed': lambda table: table['speed'][:, None],
    'peak_speed': lambda table: table['peak_speed'][:, None],
    'velocity': lambda table: table['velocity'],
    # In heights of the object per 100 frames: the same far off as in front.
    'pace': lambda table: (100 * table['speed'] / table['height'])[:, None],
    'directions': lambda table: table['directions'],
    'width': lambda table: np.log(table['width'])[:, None],
    'height': lambda table: np.log(table['height'])[:, None],
    'foot': lambda table: table['view'][:, 1:],
    'place': lambda table: table['view'],
}


def attribute_vectors(table: np.ndarray, quantities: Sequence[str]) -> np.ndarray:
    """Numbers to compare objects by.

    Args:
        table: (N,) array of :data:`ATTRIBUTES`.
        quantities: Names in :data:`QUANTITIES`.

    Returns:
        (N, P) float32; a quantity gives one column, velocity and place two, directions eight.

    Raises:
        ValueError: If a quantity is unknown.
    """
    unknown = [name for name in quantities if name not in QUANTITIES]
    if unknown or not quantities:
        raise ValueError(f'quantities: expected some of {tuple(QUANTITIES)}, got {quantities}')
    columns = [QUANTITIES[name](table) for name in quantities]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _grid(boxes: np.ndarray) -> np.ndarray:
    """(N, G, 2) points (x, y) spread evenly over (N, 4) boxes."""
    steps = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    unit = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(1, -1, 2)
    return boxes[:, None, :2] + unit * (boxes[:, None, 2:] - boxes[:, None, :2])


def _at(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of an (H, W, ...) field at the pixels that hold (N, G, 2) points."""
    x, y = np.moveaxis(points.astype(np.intp), -1, 0)
    return field[y.clip(0, field.shape[0] - 1), x.clip(0, field.shape[1] - 1)]


def _ring(
    image: np.ndarray, boxes: np.ndarray, objects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) median tone and (N,) mean gradient inside the crop boxes and outside the objects."""
    points = _grid(boxes)
    inside = (points >= objects[:, None, :2]) & (points <= objects[:, None, 2:])
    ring = ~inside.all(axis=2)
    ring[~ring.any(axis=1)] = True  # the object fills its crop: take all of it
    tone = _at(image, points).astype(np.float32)
    gradients = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    texture = np.abs(gradients[0]) + np.abs(gradients[1])
    return (
        np.nanmedian(np.where(ring, tone, np.nan), axis=1),
        np.average(_at(texture, points), axis=1, weights=ring),
    )
