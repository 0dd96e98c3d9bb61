"""Single actions cut from plazas: short clips of one person each, for action recognition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmvad.datasets import VideoDataset
from mmvad.registry import DATASETS

from .actors import Actor, Faller, Walker
from .crowd import Stage, add_group, straight, walking_speed
from .figure import SIDES, Part, figure, random_colour, random_person
from .gait import bend_arm
from .layout import FPS, PROMENADE, Camera, make_layout
from .render import Renderer, make_light
from .route import Place, Route
from .scene import make_scene
from .vehicles import Cyclist
from .writer import QUALITY, SPLITS, complete, generator, publish

ACTIONS = ('walk', 'run', 'cycle', 'fall', 'wave', 'still')
VERSION = 1
"""Raised whenever the same settings give other files."""

VIEW = (240, 320)
"""Height and width of the plaza that clips are cut from, pixels."""

FIELD = 2.7
"""Side of a clip's square at its person's depth, metres."""


@dataclass(frozen=True, kw_only=True)
class Waver(Walker):
    """Somebody who stands and waves with a raised arm.

    Attributes:
        wave: Waves a second.
    """

    wave: float

    def pieces(self, time: float, place: Place) -> list[Part]:
        person, joints = self.person, self.joints(time, place)
        beat = math.sin(2.0 * math.pi * (self.wave * time + person.phase))
        bend_arm(
            joints, person.hand, dict(SIDES)[person.hand], person.height, 2.5, 0.35 + 0.75 * beat
        )
        return figure(person, joints)


def write_actions(
    root: str | Path,
    *,
    seed: int = 0,
    train_clips: int = 24,
    test_clips: int = 24,
    frames: int = 16,
    size: int = 64,
) -> None:
    """Make the clips, or leave them alone when they are there.

    The same settings give the same bytes, and the folder is complete or absent. Clips are folders
    ``{training,testing}/frames/<action>_<NN>`` of images ``000.jpg`` ... at ten a second. Every
    eight clips have a plaza of their own, and none is in both splits.

    Args:
        root: Folder of the clips.
        seed: Not negative.
        train_clips, test_clips: Clips of each of :data:`ACTIONS`.
        frames: Of a clip.
        size: Side of a clip's frames, pixels.

    Raises:
        ValueError: If a setting is out of range, or ``root`` holds something else.
    """
    settings = dict(
        generator='plaza actions', version=VERSION, seed=int(seed), train_clips=int(train_clips),
        test_clips=int(test_clips), frames=int(frames), size=int(size),
    )  # fmt: skip
    least = dict(seed=0, train_clips=1, test_clips=1, frames=8, size=16)
    for name, low in least.items():
        if settings[name] < low:
            raise ValueError(f'{name} must be {low} or more, got {settings[name]}')
    root = Path(root).resolve()
    if complete(root, settings):
        return
    if root.exists() and any(root.iterdir()):
        raise ValueError(f'{root} holds files that are no part of this data set; use another one')
    publish(root, settings, _write)


def _write(root: Path, settings: Mapping) -> dict:
    for number, split in enumerate(SPLITS):
        clips = settings['train_clips' if split == 'training' else 'test_clips']
        scene = None
        for index in range(clips * len(ACTIONS)):
            rng = generator(np.random.SeedSequence([settings['seed'], number, index]))
            if scene is None or index % 8 == 0:
                scene = make_scene(rng, make_layout(rng, Camera(*VIEW)))
            action = ACTIONS[index % len(ACTIONS)]
            folder = root / split / 'frames' / f'{action}_{index // len(ACTIONS):03d}'
            folder.mkdir(parents=True)
            for k, image in enumerate(_clip(rng, scene, action, settings)):
                ok, code = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
                if not ok:
                    raise RuntimeError(f'OpenCV could not encode frame {k} of {folder}')
                (folder / f'{k:03d}.jpg').write_bytes(code.tobytes())
    return dict(actions=ACTIONS, fps=FPS)


def _clip(rng: np.random.Generator, scene, action: str, settings: Mapping) -> list[np.ndarray]:
    """Frames (size, size, 3) uint8 BGR around one person, who keeps the middle."""
    seconds = settings['frames'] / FPS
    stage = Stage(scene.layout, seconds)
    actor = _actor(stage, rng, action, seconds)
    stage.add(actor)
    for _ in range(int(rng.integers(0, 3))):
        add_group(stage, rng, str(rng.choice(['promenade', 'sidewalk'])))
    renderer = Renderer(scene, stage.actors, make_light(rng, settings['frames']), rng)
    shift = rng.uniform(-0.15, 0.15, 2)
    images = []
    for index in range(settings['frames']):
        place = actor.route.at(index / FPS)
        centre, scale = scene.layout.camera.project(np.array([[place.x, 0.85, place.z]]))
        side = FIELD * float(scale[0])
        low = centre[0] + shift * scale[0] - side / 2
        zoom = settings['size'] / side
        # Beyond the frame's edge, its last pixels go on.
        move = np.array([[zoom, 0.0, -zoom * low[0]], [0.0, zoom, -zoom * low[1]]])
        images.append(
            cv2.warpAffine(
                renderer.render(index).image,
                move,
                (settings['size'],) * 2,
                flags=cv2.INTER_AREA,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )
    return images


def _actor(stage: Stage, rng: np.random.Generator, action: str, seconds: float) -> Actor:
    """Somebody who does it, all the time."""
    grips = ('none', 'bag', 'backpack') if action in ('walk', 'still') else ('none', 'backpack')
    person = random_person(rng, grips=('none',) if action == 'wave' else grips)
    begin = rng.uniform(0.05, 0.25) * seconds
    speed = {
        'run': rng.uniform(3.0, 4.0),
        'cycle': rng.uniform(3.0, 5.0),
    }.get(action, walking_speed(rng))

    def draw() -> list[Route]:
        z = PROMENADE.inner(rng.uniform(0.1, 0.9))
        way = int(rng.choice([-1, 1]))
        reach = stage.layout.camera.reach(z)
        if action in ('wave', 'still'):
            x, facing = rng.uniform(-0.7, 0.7) * reach, rng.uniform(0.0, 2.0 * math.pi)
            # Comes to rest before the clip begins, and a metre before the end.
            ends = [(x - math.cos(facing), z - math.sin(facing)), (x, z)]
            return [Route(ends, 1.3, -5.0, [(0.0, seconds + 10.0, facing)])]
        points = straight(stage, z, way, half=2.0)
        # Within the view all the time.
        pace = min(speed, 1.3 * reach / seconds)
        middle = abs(rng.uniform(-0.15, 0.15) * reach - points[0][0])
        if action == 'fall':
            heading = (0.0 if way > 0 else math.pi) + rng.uniform(-0.6, 0.6)
            pause = (middle, seconds + 10.0, heading)
            return [Route(points, pace, begin - middle / pace, [pause])]
        return [Route(points, pace, seconds / 2 - middle / pace)]

    route = stage.best(draw, seen=True)[0]
    if action == 'cycle':
        return Cyclist(
            kind=action, route=route, person=person, frame=random_colour(rng),
            lean=rng.uniform(0.25, 0.6),
        )  # fmt: skip
    if action == 'fall':
        span = (begin, begin + seconds + 8.0)
        return Faller(kind=action, route=route, person=person, anomaly=span)
    if action == 'wave':
        return Waver(kind=action, route=route, person=person, wave=rng.uniform(1.0, 2.0))
    return Walker(kind=action, route=route, person=person, running=action == 'run')


@DATASETS.register_module()
class PlazaActions(VideoDataset):
    """Clips of single actions; written to ``data_root`` when they are not there.

    An item has the ``label`` of its clip, a number of :data:`ACTIONS`, and what mmaction2's
    transforms of frame folders ask for.

    Args:
        data_root: Where the clips are, or are written.
        split: ``'training'`` or ``'testing'``.
        actions: Arguments of :func:`write_actions`.
        pipeline: Transforms.

    Raises:
        ValueError: As :func:`write_actions`, or for another split.
    """

    METAINFO = dict(classes=ACTIONS)

    def __init__(
        self,
        data_root: str,
        split: str,
        actions: Mapping | None = None,
        pipeline: Sequence = (),
        **kwargs,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'split: expected one of {SPLITS}, got {split!r}')
        write_actions(data_root, **(actions or {}))
        super().__init__(
            data_root=data_root,
            data_prefix=dict(img=f'{split}/frames'),
            pipeline=list(pipeline),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        return [
            dict(info, label=ACTIONS.index(info['video'].partition('_')[0]))
            for info in super().load_data_list()
        ]
