"""Stage ``anomalies``: moments of the training videos in which something is made to go wrong."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.device import get_device

from mmvad.anomalies import KINDS, BaseAnomaly, Moment, median_frame
from mmvad.datasets import FrameSource, TubeSweep, inference_pipeline
from mmvad.engine import BaseStage, Job
from mmvad.engine.progress import progress
from mmvad.engine.stage import plain
from mmvad.models import ObjectVAD
from mmvad.motion import AttributeMeter
from mmvad.proposals import BaseProposer
from mmvad.proposals.geometry import tube_boxes
from mmvad.registry import ANOMALIES, PROPOSERS, STAGES
from mmvad.structures import FrameObjects, ObjectTubes, atomic_path, tubes_path

from .altered import UNALTERED, AlteredMoments
from .features import MEASURED, prepare_transforms
from .sweeps import measure_tubes
from .tubes import load_tubes, tube_fields

# Kept of each kind, to look at.
_EXAMPLES = 4
_EXAMPLE_HEIGHT = 240


@STAGES.register_module()
class AnomaliesStage(BaseStage):
    """Make anomalies of known kinds, find the objects in them, and measure these:
    ``<video>.npz``, see :class:`AlteredMoments`, and ``examples/<kind>.jpg``.

    A moment is a training frame and one of its objects, to which every kind is done in turn. The
    proposer looks at the altered frame: what it does not find is not found. No label is read.

    A method whose model measures with trained weights subclasses this for :meth:`build_model`.

    Args:
        name: Of the stage.
        kinds: Name to the config of a :class:`~mmvad.anomalies.BaseAnomaly`; None: those of
            :data:`~mmvad.anomalies.KINDS`.
        moments: How many, spread over the videos.
    """

    needs = ('tubes/training',)
    leaves = ('**/*.npz', 'examples/*.jpg')
    config = ('proposer', *MEASURED)
    optional = MEASURED
    reads_frames = 'training'
    seeded = True
    hashed = False
    shared = True

    def __init__(
        self, name: str, kinds: Mapping[str, dict] | None = None, moments: int = 120
    ) -> None:
        super().__init__(name)
        kinds = KINDS if kinds is None else kinds
        if not (isinstance(moments, int) and moments >= 1):
            raise ValueError(
                f'stages.{name}.moments: expected a whole number >= 1, got {moments!r}'
            )
        if not kinds or UNALTERED in kinds:
            raise ValueError(
                f'stages.{name}.kinds: expected names of kinds, none of them {UNALTERED!r}, got '
                f'{list(kinds)}'
            )
        self.moments = moments
        self.kinds: dict[str, BaseAnomaly] = {
            kind: ANOMALIES.build(plain(cfg)) for kind, cfg in kinds.items()
        }

    def prepare(self, config: Mapping[str, Any]) -> None:
        if config['proposer'] is not None:
            PROPOSERS.build(config['proposer'])
        prepare_transforms(config)

    def build_model(self, job: Job) -> ObjectVAD:
        """The model that measures."""
        return ObjectVAD(tube_fields(job.config))

    def run(self, job: Job) -> None:
        model = self.build_model(job).to(get_device()).eval()
        videos, tubes = job.videos('training'), load_tubes(job, 'tubes/training', 'training')
        proposer = None
        if job.config['proposer'] is not None:
            proposer = PROPOSERS.build(job.config['proposer'])
            proposer.fit([videos.source(video) for video in videos.lengths])
        depth = _depth(model)
        before = max(kind.reach(depth) for kind in self.kinds.values())
        wanted = self._moments(tubes, before, depth, job.seed)
        if not any(map(len, wanted.values())):
            raise ValueError(
                f'{job.inputs["tubes/training"].path}: no training video has an object with '
                f'{before} frames before and {depth} after it, which anomalies are made of'
            )
        places = np.concatenate([_places(held) for held in tubes.values()])

        @lru_cache(1)
        def background(video: str) -> np.ndarray:
            return median_frame(videos.source(video))

        def clips_of(video: str, frame: int) -> _Clips:
            seed = (job.seed, zlib.crc32(video.encode()), frame)
            source, held = videos.source(video), tubes[video]
            return _Clips(self.kinds, source, held, frame, background(video), places, depth, seed)

        with progress('anomalies', 'moments', sum(map(len, wanted.values()))) as bar:
            for video in job.processes.share_out(list(wanted)):
                frames = wanted[video]
                path = tubes_path(job.path, video)
                if path.exists():
                    bar.update(len(frames))
                    continue
                parts = []
                if proposer is not None:
                    proposer.start(videos.source(video))
                for frame in map(int, frames):
                    clips = clips_of(video, frame)
                    parts.append(_measured(clips, proposer, model, video, frame))
                    bar.update(1)
                AlteredMoments.joined(parts, model.measurements).save(path)
                job.folder.checkpoint()
        job.processes.wait()
        if job.processes.main:
            _write_examples(job.path, list(wanted), clips_of)

    def _moments(
        self, tubes: Mapping[str, ObjectTubes], before: int, after: int, seed: int
    ) -> dict[str, np.ndarray]:
        """Video to the frames that are altered, ascending."""
        rng = np.random.default_rng(seed)
        possible = {}
        for video, held in tubes.items():
            frames = np.unique(held.frames)
            possible[video] = frames[(frames >= before) & (frames < held.num_frames - after)]
        total = sum(map(len, possible.values()))
        wanted = {}
        for video, frames in possible.items():
            count = min(len(frames), round(self.moments * len(frames) / max(1, total)))
            wanted[video] = np.sort(rng.choice(frames, count, replace=False))
        return wanted


class _Clips(Sequence[np.ndarray]):
    """One moment altered in every way it suits, one clip of frames after the other; made when they
    are asked for, one at a time."""

    def __init__(
        self,
        kinds: Mapping[str, BaseAnomaly],
        source: FrameSource,
        tubes: ObjectTubes,
        frame: int,
        background: np.ndarray,
        places: np.ndarray,
        depth: int,
        seed: Sequence[int],
    ) -> None:
        self.depth = depth
        self._seed = tuple(seed)
        self._seen: dict[int, np.ndarray] = {}
        self._last: tuple[int, list[np.ndarray], np.ndarray] | None = None
        reach = max(kind.reach(depth) for kind in kinds.values())
        # In order, as files are read best.
        for number in range(frame - reach, frame + depth):
            self._seen[number - frame] = source[number]
        rows = tubes.at(frame)
        now = [self._seen[offset] for offset in range(1 - depth, 1)]
        sample = FrameObjects(now, tubes.boxes[rows], tubes.objects[rows], 'video', frame)
        velocities = AttributeMeter()(sample)['velocity']
        rng = np.random.default_rng(self._seed)
        self._moments: list[Moment] = []
        self.kinds: list[str] = []
        self._makers: list[BaseAnomaly | None] = []
        moments = [
            Moment(
                look=self._seen.__getitem__,
                object=sample.objects[number].astype(float),
                velocity=velocities[number].astype(float),
                background=background,
                places=places,
                steps=depth,
                rng=rng,
            )
            for number in rng.permutation(len(sample))
        ]
        self._add(UNALTERED, None, moments[0])
        for name, kind in kinds.items():
            # Another object where the first does not suit.
            suited = next((moment for moment in moments if kind.suits(moment)), None)
            if suited is not None:
                self._add(name, kind, suited)

    def _add(self, name: str, maker: BaseAnomaly | None, moment: Moment) -> None:
        self.kinds.append(name)
        self._makers.append(maker)
        self._moments.append(moment)

    def clip(self, number: int) -> tuple[list[np.ndarray], np.ndarray]:
        """The frames of one clip, and the box of what is wrong in its last one."""
        if self._last is None or self._last[0] != number:
            maker, moment = self._makers[number], self._moments[number]
            # The same every time it is made.
            moment = moment.with_chance(np.random.default_rng((*self._seed, number)))
            frames, region = (moment.frames(), moment.object) if maker is None else maker(moment)
            self._last = number, frames, region
        return self._last[1], self._last[2]

    def __len__(self) -> int:
        return self.depth * len(self.kinds)

    def __getitem__(self, index: int) -> np.ndarray:
        number, step = divmod(index, self.depth)
        return self.clip(number)[0][step]


def _measured(
    clips: _Clips, proposer: BaseProposer | None, model: ObjectVAD, video: str, frame: int
) -> AlteredMoments:
    """One moment: its objects are found and measured in every way it was altered."""
    found, regions = {}, []
    for number in range(len(clips.kinds)):
        frames, region = clips.clip(number)
        regions.append(region)
        shape = frames[-1].shape[:2]
        if proposer is None:
            # Boxes were given, and there is nothing to look for others with.
            objects = _clipped(region[None], shape)
            boxes = tube_boxes(objects, shape)
        else:
            boxes, objects = proposer.propose(frames[-1])
        found[(number + 1) * clips.depth - 1] = boxes, objects
    shape = clips[0].shape[:2]
    tubes = ObjectTubes.from_frames(found, len(clips), shape)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in model.measurements}
    order = []
    for rows, measured in measure_tubes(clips, tubes, model, video):
        order.append(rows)
        for name, values in measured.items():
            parts[name].append(values.numpy())
    back = np.argsort(np.concatenate(order)) if order else np.zeros(0, int)
    return AlteredMoments(
        kinds=np.array(clips.kinds, np.str_),
        frames=np.full(len(clips.kinds), frame, np.int32),
        regions=np.stack(regions).astype(np.float32),
        items=(tubes.frames // clips.depth).astype(np.int32),
        objects=tubes.objects,
        measurements={
            name: np.concatenate(values)[back] for name, values in parts.items() if values
        },
    )


def _write_examples(
    folder: Path, videos: Sequence[str], clips_of: Callable[[str, int], _Clips]
) -> None:
    """A picture a kind of its first moments, side by side, what is wrong framed in red.

    Args:
        folder: Of the stage, where every video's moments are.
        videos: In their order.
        clips_of: Makes the clips of a video's frame.
    """
    picked: dict[tuple[str, int], list[str]] = {}
    left: dict[str, int] = {}
    for video in videos:
        made = AlteredMoments.load(tubes_path(folder, video), ())
        for kind, frame in zip(made.kinds.tolist(), made.frames.tolist(), strict=True):
            if kind != UNALTERED and left.setdefault(kind, _EXAMPLES):
                left[kind] -= 1
                picked.setdefault((video, frame), []).append(kind)
    pictures: dict[str, list[np.ndarray]] = {}
    for (video, frame), kinds in picked.items():
        clips = clips_of(video, frame)
        for kind in kinds:
            pictures.setdefault(kind, []).append(_picture(*clips.clip(clips.kinds.index(kind))))
    for kind, row in pictures.items():
        with atomic_path(folder / 'examples' / f'{kind}.jpg') as tmp:
            tmp.write_bytes(cv2.imencode('.jpg', np.concatenate(row, axis=1))[1].tobytes())


def _picture(frames: Sequence[np.ndarray], region: np.ndarray) -> np.ndarray:
    """The last frame of a clip, with what is wrong framed."""
    image = frames[-1].copy()
    scale = _EXAMPLE_HEIGHT / len(image)
    # Of one height whatever the rounding, so that they stand side by side.
    size = (max(1, round(image.shape[1] * scale)), _EXAMPLE_HEIGHT)
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    corners = (region * scale).round().astype(int)
    cv2.rectangle(image, corners[:2].tolist(), corners[2:].tolist(), (0, 0, 255), 1)
    return image


def _depth(model: ObjectVAD) -> int:
    """Frames that are looked at to measure an object."""
    none = ObjectTubes.from_frames({}, 1, (1, 1))
    return TubeSweep([], none, model.tube.steps, inference_pipeline(model.tube), '').depth


def _places(tubes: ObjectTubes) -> np.ndarray:
    """(n, 3) middle and lower edge of objects, pixels, and their height."""
    x1, y1, x2, y2 = tubes.objects.T
    return np.stack([(x1 + x2) / 2, y2, y2 - y1], axis=1)


def _clipped(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(n, 4) float32 boxes, cut at the frame's edge; those outside are left out."""
    height, width = shape
    cut = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    return cut[((cut[:, 2:] - cut[:, :2]) >= 1).all(axis=1)]
