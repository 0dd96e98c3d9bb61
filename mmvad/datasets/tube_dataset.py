"""Object tubes of a split: one at a time for training, in sweeps for inference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmcv.video.io import Cache
from mmengine.dataset import BaseDataset, Compose
from torch.utils.data import IterableDataset, get_worker_info

from mmvad.registry import DATASETS, TRANSFORMS
from mmvad.structures import ObjectTubes, tubes_path

from .frames import FrameSource, sweep
from .video_dataset import VideoDataset


class CachedFrames:
    """A frame source behind a cache that several videos share."""

    def __init__(self, source: FrameSource, video: str, cache: Cache) -> None:
        self.source, self.video, self.cache = source, video, cache

    def __getitem__(self, index: int) -> np.ndarray:
        key = (self.video, index)
        frame = self.cache.get(key)
        if frame is None:
            frame = self.source[index]
            self.cache.put(key, frame)
        return frame


@DATASETS.register_module()
class TubeDataset(BaseDataset):
    """One object tube an item, for training the branches.

    An item enters the pipeline as ``dict(video, tubes, tube, frame, source, boxes)``: the
    video's name and tubes, the tube's index among them, the frame it scores, the frames (looked up
    by number), and its crop box as (1, 4).

    Args:
        videos: A :class:`VideoDataset`, or its config.
        proposals: Folder of the tubes.
        pipeline: Transforms.
        cache_frames: Decoded frames kept in memory (each worker keeps its own).
    """

    speed_only = ('cache_frames',)

    def __init__(
        self,
        videos: VideoDataset | dict,
        proposals: str | Path,
        pipeline: list,
        cache_frames: int = 256,
    ) -> None:
        self.video_set = DATASETS.build(videos) if isinstance(videos, dict) else videos
        self.proposals = Path(proposals)
        self.cache = Cache(cache_frames)
        super().__init__(ann_file='', pipeline=[TRANSFORMS.build(t) for t in pipeline])

    def load_data_list(self) -> list[dict]:
        self.tubes = {
            video: ObjectTubes.load(tubes_path(self.proposals, video))
            for video in self.video_set.lengths
        }
        self.frames = {
            video: CachedFrames(self.video_set.source(video), video, self.cache)
            for video in self.tubes
        }
        items = [
            dict(video=video, tube=i)
            for video, tubes in self.tubes.items()
            for i in range(len(tubes))
        ]
        if not items:
            raise ValueError(f'{self.proposals}: no object in any training video')
        return items

    def get_data_info(self, idx: int) -> dict:
        info = super().get_data_info(idx)
        tubes = self.tubes[info['video']]
        return dict(
            info,
            frame=int(tubes.frames[info['tube']]),
            boxes=tubes.boxes[info['tube'] : info['tube'] + 1],
            source=self.frames[info['video']],
            tubes=tubes,
        )


class TubeSweep(IterableDataset):
    """The tubes of one video, frame by frame; each frame is decoded once.

    An item is what the pipeline makes of ``dict(imgs, boxes, objects, video, frame)``, with
    ``tubes`` added: the slice of the frame's tubes. A loader with several workers gives each a
    stretch of the video, so items then come in another order.

    Args:
        source: The video's frames.
        tubes: Its objects.
        steps: T, steps of a tube.
        pipeline: Transforms; where they need frames before a tube's first step (``context``),
            ``imgs`` holds those too.
        video: Its name.
    """

    def __init__(
        self,
        source: Sequence[np.ndarray],
        tubes: ObjectTubes,
        steps: int,
        pipeline: list[dict],
        video: str,
    ) -> None:
        self.source, self.tubes, self.video = source, tubes, video
        self.pipeline = Compose([TRANSFORMS.build(t) for t in pipeline])
        self.depth = steps + max(getattr(t, 'context', 0) for t in self.pipeline.transforms)

    def __iter__(self) -> Iterator[dict]:
        wanted = np.unique(self.tubes.frames)
        worker = get_worker_info()
        if worker is not None:
            wanted = np.array_split(wanted, worker.num_workers)[worker.id]
        for frame, imgs in sweep(self.source, wanted, self.depth):
            rows = self.tubes.at(frame)
            item = self.pipeline(
                dict(
                    imgs=imgs,
                    boxes=self.tubes.boxes[rows],
                    objects=self.tubes.objects[rows],
                    video=self.video,
                    frame=int(frame),
                )
            )
            yield dict(item, tubes=rows)
