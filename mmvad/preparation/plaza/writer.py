"""Writing the plaza to disk in the layout of the public data sets."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from .crowd import Stage, add_crowd
from .events import EVENTS, add_events
from .layout import FPS, Camera, make_layout
from .render import Frame, Renderer, make_light
from .scene import Scene, make_scene

VERSION = 1
"""Raised whenever the same settings give other files."""

RECORD = 'plaza.json'
FIELDS = ('frame', 'track', 'kind', 'anomaly', 'x1', 'y1', 'x2', 'y2')
QUALITY = 95
SPLITS = ('training', 'testing')
SHORTEST = 40
SMALLEST = 96


def write_plaza(
    root: str | Path,
    *,
    seed: int = 0,
    train_videos: int = 6,
    train_frames: int = 150,
    test_videos: int = 6,
    test_frames: int = 150,
    size: tuple[int, int] = (240, 320),
) -> None:
    """Make the plaza data set, or leave it alone when it is there.

    The same settings give the same bytes. Everything is made in a temporary folder beside ``root``
    and renamed at the end, so ``root`` is complete or absent. Files:

    - ``training/frames/<NN>/<FFF>.jpg`` and ``testing/frames/<NN>/<FFF>.jpg``, numbered from 0;
    - ``testing/test_pixel_mask/<NN>.npy``: (F, H, W) uint8, 1 on visible pixels of what is
      anomalous;
    - ``testing/test_frame_mask/<NN>.npy``: (F,) uint8, 1 where the pixel mask isn't empty;
    - ``{training,testing}/tracks/<NN>.csv``: a line for each visible object and frame, with its
      box (xyxy, pixels, x2 and y2 exclusive) around its visible pixels;
    - ``plaza.json``: the settings and what happens in each test video.

    An object counts as visible, in masks and tracks, where at least ``max(8, 0.0005 * H * W)`` of
    its pixels show. Test video ``i`` shows the event ``i mod 6`` of ``EVENTS``, once in about 7.5
    seconds (75 frames), with normal people all the time and normal frames before and after. At
    4:3 this holds for videos of 40 frames and more; wider frames take longer to cross.

    Args:
        root: Folder of the data set.
        seed: Not negative; decides the plaza as well as who is on it.
        train_videos: Number of training videos.
        train_frames: Frames in each training video.
        test_videos: Number of test videos.
        test_frames: Frames in each test video, 40 or more.
        size: Height and width of a frame, 96 pixels or more each.

    Raises:
        ValueError: A setting is out of range, or ``root`` holds something else: a plaza with other
            settings, or files that are no part of this data set.
    """
    settings = {
        'generator': 'plaza',
        'version': VERSION,
        'seed': int(seed),
        'train_videos': int(train_videos),
        'train_frames': int(train_frames),
        'test_videos': int(test_videos),
        'test_frames': int(test_frames),
        'size': [int(size[0]), int(size[1])],
    }
    _check(settings)
    root = Path(root).resolve()
    if complete(root, settings):
        return
    _check_leftovers(root, settings)
    publish(root, settings, _write)


def publish(root: Path, settings: dict, write: Callable[[Path, dict], dict]) -> None:
    """Make a data set whole or not at all.

    Args:
        root: Its folder, which is replaced.
        settings: What it is made by.
        write: Writes all files but the record under a folder, and gives what the record says
            besides the settings.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f'.{root.name}-', dir=root.parent, ignore_cleanup_errors=True
    ) as workshop:
        made = Path(workshop) / root.name
        record = {**settings, **write(made, settings)}
        (made / RECORD).write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
        # Another process may have finished the same set in the meantime.
        if complete(root, settings):
            return
        if root.exists():
            shutil.rmtree(root)
        os.replace(made, root)


def _check(settings: dict) -> None:
    """Raise ValueError for settings out of range."""
    least = {
        'seed': 0,
        'train_videos': 1,
        'train_frames': 1,
        'test_videos': 1,
        'test_frames': SHORTEST,
    }
    for name, low in least.items():
        if settings[name] < low:
            raise ValueError(f'{name} must be {low} or more, got {settings[name]}')
    if min(settings['size']) < SMALLEST:
        raise ValueError(f'size must be {SMALLEST} pixels or more each, got {settings["size"]}')


def complete(root: Path, settings: dict) -> bool:
    """Whether ``root`` holds this very set; ValueError when it holds another one."""
    record = root / RECORD
    if not record.is_file():
        return False
    try:
        found = json.loads(record.read_text(encoding='utf-8'))
        different = [name for name in settings if found.get(name) != settings[name]]
    except (ValueError, AttributeError) as error:
        raise ValueError(f'{record} is not a record of a plaza data set') from error
    if different:
        listed = ', '.join(f'{n} is {found.get(n)}, not {settings[n]}' for n in different)
        raise ValueError(f'{record} was made with other settings: {listed}; use another folder')
    return True


def _files(settings: dict) -> Iterator[tuple[str, int, int]]:
    """(split, video, frames) of every video."""
    for split, part in zip(SPLITS, ('train', 'test'), strict=True):
        for video in range(settings[part + '_videos']):
            yield split, video, settings[part + '_frames']


def _name(number: int, count: int, least: int) -> str:
    """Number with leading zeros, so that names in order are numbers in order."""
    return f'{number:0{max(least, len(str(count - 1)))}d}'


def _video_name(settings: dict, split: str, video: int) -> str:
    count = settings['train_videos' if split == 'training' else 'test_videos']
    return _name(video, count, 2)


def _check_leftovers(root: Path, settings: dict) -> None:
    """Raise ValueError when ``root`` has no record but files that this set doesn't have."""
    if not root.exists():
        return
    if not root.is_dir():
        raise ValueError(f'{root} is a file; expected a folder')
    known = set()
    for split, video, frames in _files(settings):
        name = _video_name(settings, split, video)
        known.add(f'{split}/tracks/{name}.csv')
        known.update(f'testing/test_{what}_mask/{name}.npy' for what in ('frame', 'pixel'))
        known.update(f'{split}/frames/{name}/{_name(k, frames, 3)}.jpg' for k in range(frames))
    for path in sorted(root.rglob('*')):
        if not path.is_dir() and path.relative_to(root).as_posix() not in known:
            raise ValueError(
                f'{root} has no {RECORD} but holds {path}, which is no part of this data set;'
                ' use another folder'
            )


def generator(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _write(root: Path, settings: dict) -> dict:
    """Write all files under ``root``; what the record says besides the settings."""
    seed = settings['seed']
    rng = generator(np.random.SeedSequence([seed, len(SPLITS), 0]))
    scene = make_scene(rng, make_layout(rng, Camera(*settings['size'])))
    kinds = list(EVENTS)
    events = {}
    for split, video, frames in _files(settings):
        name = _video_name(settings, split, video)
        source = np.random.SeedSequence([seed, SPLITS.index(split), video])
        event = None
        if split == 'testing':
            event = events[name] = kinds[video % len(kinds)]
        _write_video(root / split, name, scene, source, frames, event, video // len(kinds))
    return {'fps': FPS, 'test_events': events}


def _write_video(
    folder: Path,
    name: str,
    scene: Scene,
    source: np.random.SeedSequence,
    frames: int,
    event: str | None,
    variant: int,
) -> None:
    """Write one video's frames and tracks, and its masks when it has an event."""
    # One stream each, so that nothing shifts when one part draws more numbers.
    crowd, happening, light, sensor = (generator(child) for child in source.spawn(4))
    stage = Stage(scene.layout, frames / FPS)
    add_crowd(stage, crowd)
    if event is not None:
        add_events(stage, happening, event, variant)
    renderer = Renderer(scene, stage.actors, make_light(light, frames), sensor)
    camera = scene.layout.camera
    masks = np.zeros((frames, camera.height, camera.width), np.uint8)
    images = folder / 'frames' / name
    images.mkdir(parents=True)
    rows: list[tuple] = []
    for index in range(frames):
        frame = renderer.render(index)
        found = _objects(frame, stage, index / FPS, masks[index])
        rows += [(index, *line) for line in found]
        ok, code = cv2.imencode('.jpg', frame.image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not ok:
            raise RuntimeError(f'OpenCV could not encode frame {index} of {images}')
        (images / f'{_name(index, frames, 3)}.jpg').write_bytes(code.tobytes())
    (folder / 'tracks').mkdir(exist_ok=True)
    with open(folder / 'tracks' / f'{name}.csv', 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(FIELDS)
        writer.writerows(rows)
    if event is not None:
        labels = masks.any((1, 2)).astype(np.uint8)
        for what, array in (('frame', labels), ('pixel', masks)):
            (folder / f'test_{what}_mask').mkdir(exist_ok=True)
            np.save(folder / f'test_{what}_mask' / f'{name}.npy', array, allow_pickle=False)


def _objects(frame: Frame, stage: Stage, time: float, mask: np.ndarray) -> list[tuple]:
    """Track lines of one frame without the frame number; marks anomalous pixels in ``mask``."""
    least = max(8, round(0.0005 * mask.size))
    lines = []
    for track, (actor, seen) in enumerate(zip(stage.actors, frame.visible, strict=True)):
        if seen is None or np.count_nonzero(seen[2]) < least:
            continue
        row, column, pixels = seen
        ys, xs = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
        odd = actor.anomalous(time)
        if odd:
            mask[row : row + pixels.shape[0], column : column + pixels.shape[1]][pixels] = 1
        box = (column + xs[0], row + ys[0], column + xs[-1] + 1, row + ys[-1] + 1)
        lines.append((track, actor.kind, int(odd), *(int(edge) for edge in box)))
    return lines
