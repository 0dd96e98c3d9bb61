"""Object tubes of a split: one at a time for training, in sweeps for inference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from cachetools import LRUCache
from mmengine.dataset import BaseDataset, Compose
from torch.utils.data import IterableDataset, get_worker_info

from mmvad.registry import DATASETS, TRANSFORMS
from mmvad.structures import ObjectTubes, tubes_path

from .frames import FrameSource, sweep
from .video_dataset import VideoDataset

# Video files that are open at a time, at most. Each has a decoder, which holds so many frames of
# 1.5 bytes a pixel (46 MB at 1080 lines, in two threads); they get an eighth of the cache.
_OPEN = 16
_HELD = 16
_OF_DECODERS = 8
# Of a video file, so many frames in a row are decoded for training, since each jump decodes all
# from the key frame before, often a hundred (or from the start, where a file cannot be jumped in);
# so many such runs are mixed, if they fit in memory.
_RUN = 96
_MIX = 8


class CachedFrames:
    """The frames of several videos, the last ones of which are kept.

    Args:
        videos: The videos.
        cache_mb: Decoded frames that are kept, 2**20 bytes; open decoders may hold an eighth more.
    """

    def __init__(self, videos: VideoDataset, cache_mb: int) -> None:
        self.videos = videos
        self.size = cache_mb * 2**20
        self._cache = LRUCache(self.size, getsizeof=lambda frame: frame.nbytes)
        room = max(1, self.size // _OF_DECODERS)
        self._files = LRUCache(room, getsizeof=lambda source: _decoder_bytes(source, room))
        self._folders: dict[str, FrameSource] = {}
        self._read: LRUCache = LRUCache(_MIX)

    def source(self, video: str) -> FrameSource:
        """A video, open."""
        source = self._folders.get(video) or self._files.get(video)
        if source is None:
            source = self.videos.source(video)
            kept = self._files if source.in_order else self._folders
            kept[video] = source
        return source

    def get(self, video: str, index: int) -> np.ndarray:
        """A frame (H, W, 3)."""
        frame = self._cache.get((video, index))
        if frame is None:
            frame = self.source(video)[index]
            if frame.nbytes <= self.size:
                self._cache[video, index] = frame
        return frame

    def read(self, video: str, start: int, stop: int) -> None:
        """Read frames in order, which will be asked for in any order."""
        if (video, start) not in self._read:
            self._read[video, start] = True
            for index in range(max(0, start), min(stop, len(self.source(video)))):
                self.get(video, index)


def _decoder_bytes(source: FrameSource, room: int) -> int:
    """What an open video counts for: one always fits, and never more than a few."""
    height, width = source.frame_shape
    return min(room, max(_HELD * height * width * 3 // 2, -(-room // _OPEN)))


class _Frames:
    """The frames of one video, by number."""

    def __init__(self, cached: CachedFrames, video: str) -> None:
        self.cached, self.video = cached, video

    def __getitem__(self, index: int) -> np.ndarray:
        return self.cached.get(self.video, index)


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
        cache_mb: Decoded frames kept in memory, 2**20 bytes (each worker keeps its own).
        batch_size, num_workers: Of the loader, for :meth:`reading_order`.
    """

    def __init__(
        self,
        videos: VideoDataset | dict,
        proposals: str | Path,
        pipeline: list,
        cache_mb: int = 1024,
        batch_size: int = 1,
        num_workers: int = 0,
    ) -> None:
        self.video_set = DATASETS.build(videos) if isinstance(videos, dict) else videos
        self.proposals = Path(proposals)
        self.cached = CachedFrames(self.video_set, cache_mb)
        self.batch_size, self.num_workers = batch_size, num_workers
        super().__init__(ann_file='', pipeline=[TRANSFORMS.build(t) for t in pipeline])
        steps = (getattr(t, 'reach', 0) for t in self.pipeline.transforms)
        # Frames before a tube's own that the pipeline looks up.
        self._reach = max(steps, default=0)

    def load_data_list(self) -> list[dict]:
        self.tubes = {
            video: ObjectTubes.load(tubes_path(self.proposals, video))
            for video in self.video_set.lengths
        }
        items = [
            dict(video=video, tube=i)
            for video, tubes in self.tubes.items()
            for i in range(len(tubes))
        ]
        if not items:
            raise ValueError(f'{self.proposals}: no object in any training video')
        largest = max(3 * h * w for h, w in (tubes.frame_shape for tubes in self.tubes.values()))
        self._run = max(1, min(_RUN, self.cached.size // largest))
        self._mix = max(1, min(_MIX, self.cached.size // (largest * self._run)))
        return items

    def get_data_info(self, idx: int) -> dict:
        info = super().get_data_info(idx)
        video, tubes = info['video'], self.tubes[info['video']]
        frame = int(tubes.frames[info['tube']])
        if self._in_order(video):
            start = frame - frame % self._run
            self.cached.read(video, start - self._reach, start + self._run)
        return dict(
            info,
            frame=frame,
            boxes=tubes.boxes[info['tube'] : info['tube'] + 1],
            source=_Frames(self.cached, video),
            tubes=tubes,
        )

    def _in_order(self, video: str) -> bool:
        return self.cached.source(video).in_order

    def reading_order(self, order: list[int], generator: torch.Generator) -> list[int]:
        """Another order of the same items, in which video files are read nearly from start to end:
        runs of frames in random order, some at a time, whose tubes are mixed.

        Args:
            order: Numbers of items.
            generator: Of random numbers.

        Returns:
            ``order`` itself where all videos are folders of images.
        """
        if not any(map(self._in_order, self.tubes)):
            return order
        videos = list(self.tubes)
        owner = np.repeat(range(len(videos)), [len(tubes) for tubes in self.tubes.values()])
        run = np.concatenate([tubes.frames for tubes in self.tubes.values()]) // self._run
        runs: dict[tuple[int, int], list[int]] = {}
        for index in order:
            runs.setdefault((int(owner[index]), int(run[index])), []).append(index)
        held = list(runs.values())
        held = [held[i] for i in torch.randperm(len(held), generator=generator).tolist()]
        # A worker gets every so many batches: each has runs of its own, and reads no other's until
        # the shortest queue is at its end.
        workers = max(1, self.num_workers)
        queues = []
        for worker in range(workers):
            queue: list[int] = []
            own = held[worker::workers]
            for start in range(0, len(own), self._mix):
                pool = list(chain.from_iterable(own[start : start + self._mix]))
                queue += [pool[i] for i in torch.randperm(len(pool), generator=generator).tolist()]
            queues.append(queue)
        size = self.batch_size
        rounds = range(0, max(map(len, queues)), size)
        return [index for at in rounds for queue in queues for index in queue[at : at + size]]


class TubePipeline:
    """From the tubes of one frame to what a model takes.

    Args:
        steps: T, steps of a tube.
        pipeline: Transforms; they start from ``dict(imgs, boxes, objects, video, frame)``. Where
            they need frames before a tube's first step (``context``), ``imgs`` holds those too.
        video: Name of the video.

    Attributes:
        depth: Frames that ``imgs`` holds.
    """

    def __init__(self, steps: int, pipeline: list[dict], video: str) -> None:
        self.video = video
        self.transform = Compose([TRANSFORMS.build(t) for t in pipeline])
        self.depth = steps + max(getattr(t, 'context', 0) for t in self.transform.transforms)

    def __call__(
        self, frame: int, imgs: list[np.ndarray], boxes: np.ndarray, objects: np.ndarray
    ) -> dict:
        """What the pipeline makes of the n tubes of a frame.

        Args:
            frame: Its number.
            imgs: ``depth`` frames (H, W, 3), it last.
            boxes, objects: (n, 4), as :class:`~mmvad.structures.ObjectTubes` holds them.
        """
        return self.transform(
            dict(imgs=imgs, boxes=boxes, objects=objects, video=self.video, frame=int(frame))
        )


class TubeSweep(IterableDataset):
    """The tubes of one video, frame by frame; each frame is decoded once.

    An item is what :class:`TubePipeline` makes of a frame's, with ``tubes`` added: the slice of
    these. A loader with several workers gives each a stretch of the video, so items then come in
    another order.

    Args:
        source: The video's frames.
        tubes: Its objects.
        steps, pipeline: See :class:`TubePipeline`.
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
        self.source, self.tubes = source, tubes
        self.pipeline = TubePipeline(steps, pipeline, video)
        self.depth = self.pipeline.depth

    def __iter__(self) -> Iterator[dict]:
        wanted = np.unique(self.tubes.frames)
        worker = get_worker_info()
        if worker is not None:
            wanted = np.array_split(wanted, worker.num_workers)[worker.id]
        for frame, imgs in sweep(self.source, wanted, self.depth):
            rows = self.tubes.at(frame)
            item = self.pipeline(frame, imgs, self.tubes.boxes[rows], self.tubes.objects[rows])
            yield dict(item, tubes=rows)
