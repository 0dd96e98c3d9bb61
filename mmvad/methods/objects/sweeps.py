"""Sweeps over one video: from frames to tubes, from tubes to what is measured on them, and both at
once.

Stages go through videos with the first two, whose results they keep apart; the inferencer with the
third, which gives the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mmvad.datasets import (
    FrameCheck,
    FrameLimits,
    FrameSource,
    TubePipeline,
    TubeSweep,
    inference_pipeline,
    sweep,
)
from mmvad.models import ObjectVAD
from mmvad.proposals import REMEMBERED, BaseProposer
from mmvad.structures import ObjectTubes

# Frames whose objects are looked for before they are asked for. What a detector saw in them must
# not be forgotten until it is.
_AHEAD = REMEMBERED - 1

Item = TypeVar('Item')


def find_tubes(
    frames: Sequence[np.ndarray],
    proposer: BaseProposer,
    first: int,
    stride: int = 1,
    step: Callable[[], Any] = lambda: None,
    note: Callable[[str], Any] = lambda text: None,
    name: str = 'frames',
) -> ObjectTubes:
    """The tubes of one video.

    Args:
        frames: (H, W, 3) uint8 BGR, looked up by number.
        proposer: Finds the objects; it was fitted to the split.
        first: Number of the first frame that can be scored.
        stride: Keep the tubes of every so many frames.
        step: Called after each frame that was looked at.
        note: Called with what a person should know of the frames.
        name: What to call frames that are from no file.

    Raises:
        ValueError: If frames cannot be read, or too many of them show nothing.
    """
    found = {}
    # Before the sweep: at its end, a video file would be opened once more for it.
    shape = frames[0].shape[:2]
    for number, _, boxes, objects in _found(frames, proposer, first, stride, 1, note, name):
        found[number] = boxes, objects
        step()
    return ObjectTubes.from_frames(found, len(frames), shape)


def _found(
    frames: Sequence[np.ndarray],
    proposer: BaseProposer,
    first: int,
    stride: int,
    depth: int,
    note: Callable[[str], Any],
    name: str,
) -> Generator[tuple[int, list[np.ndarray], np.ndarray, np.ndarray], None, None]:
    """Every ``stride``-th frame's number, it with those before it, ``depth`` in all, its boxes and
    its objects; at the end the frames are judged. See :func:`find_tubes`."""
    source = frames if isinstance(frames, FrameSource) else None
    limits = source.limits if source else FrameLimits()
    proposer.start(frames)
    check = FrameCheck()
    seen = sweep(frames, range(first, len(frames), stride), depth)
    for part in batched(seen, proposer.batch_size):
        if len(part) > 1:
            proposer.look_ahead([imgs[-1] for _, imgs in part])
        for number, imgs in part:
            check.look(imgs[-1])
            yield number, imgs, *proposer.propose(imgs[-1])
    check.refuse(source.path if source else name, limits, source.scaled_from if source else None)
    remarks = check.remarks(limits)
    if source and source.damaged:
        remarks.append(f'{source.damaged} frames do not decode whole')
    for remark in remarks:
        note(remark)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of so many items, the last with what is left; one at a time, none is waited for."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def measure_tubes(
    frames: Sequence[np.ndarray],
    tubes: ObjectTubes,
    model: ObjectVAD,
    video: str,
    batch_size: int = 64,
    num_workers: int = 0,
) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
    """What a model measures on the tubes of one video.

    Args:
        frames: (H, W, 3) uint8 BGR, looked up by number.
        tubes: The video's.
        model: Measures, on its device.
        video: Its name.
        batch_size: Tubes in one forward pass, at least.
        num_workers: Processes that read and crop.

    Yields:
        (n,) numbers of the tubes, and name to (n, ...) on the CPU. Together all tubes, each once.
    """
    items = TubeSweep(frames, tubes, model.tube.steps, inference_pipeline(model.tube), video)
    for batch in _batches(DataLoader(items, batch_size=None, num_workers=num_workers), batch_size):
        rows = np.concatenate([np.arange(i['tubes'].start, i['tubes'].stop) for i in batch])
        yield rows, _extracted(model, batch)


def find_and_measure(
    frames: Sequence[np.ndarray],
    proposer: BaseProposer,
    model: ObjectVAD,
    video: str,
    batch_size: int = 64,
    note: Callable[[str], Any] = lambda text: None,
) -> Iterator[tuple[ObjectTubes, dict[str, Tensor]]]:
    """What :func:`find_tubes` and then :func:`measure_tubes` give, in one sweep: each frame is
    decoded once, and a detector that gives both boxes and tokens looks at it once.

    The objects of the next frames are looked for in a thread, while those of this one are measured.

    Args:
        frames: (H, W, 3) uint8 BGR, looked up by number.
        proposer: Finds the objects; it was fitted to the split.
        model: Measures, on its device.
        video: Its name.
        batch_size: Tubes in one forward pass, at least.
        note: Called with what a person should know of the frames, at the end.

    Yields:
        The tubes of some frames, in order, and name to (n, ...) of these on the CPU.

    Raises:
        ValueError: If frames cannot be read or, at the end, too many of them show nothing.
    """
    tube, shape = model.tube, frames[0].shape[:2]
    pipeline = TubePipeline(tube.steps, inference_pipeline(tube), video)
    found = _found(frames, proposer, tube.first_scored, 1, pipeline.depth, note, video)
    with closing(_ahead(found, _AHEAD)) as found_ahead:
        for batch in _batches(_measured(found_ahead, pipeline, len(frames), shape), batch_size):
            held = {int(t.frames[0]): (t.boxes, t.objects) for t in (i['found'] for i in batch)}
            tubes = ObjectTubes.from_frames(held, len(frames), shape)
            yield tubes, _extracted(model, batch)


def measure_frame(
    model: ObjectVAD,
    pipeline: TubePipeline,
    frame: int,
    imgs: list[np.ndarray],
    boxes: np.ndarray,
    objects: np.ndarray,
) -> dict[str, Tensor]:
    """What a model measures on the tubes of one frame.

    Args:
        model: Measures, on its device.
        pipeline: Of the model's tubes.
        frame: Its number.
        imgs: ``pipeline.depth`` frames (H, W, 3), it last.
        boxes, objects: (n, 4), n at least 1, as a proposer gives them.

    Returns:
        Name to (n, ...) on the CPU.
    """
    return _extracted(model, [pipeline(frame, imgs, boxes, objects)])


def _measured(
    found: Iterable[tuple[int, list[np.ndarray], np.ndarray, np.ndarray]],
    pipeline: TubePipeline,
    num_frames: int,
    frame_shape: tuple[int, int],
) -> Iterator[dict[str, Any]]:
    """What the pipeline makes of each frame with tubes, and these: as ``found``, and which of them
    as ``tubes``."""
    for number, imgs, boxes, objects in found:
        if len(boxes):
            tubes = ObjectTubes.from_frames({number: (boxes, objects)}, num_frames, frame_shape)
            item = pipeline(number, imgs, tubes.boxes, tubes.objects)
            yield dict(item, found=tubes, tubes=slice(0, len(tubes)))


def _ahead(items: Generator[Item, None, None], count: int) -> Iterator[Item]:
    """Run a generator in a thread, ``count`` items ahead of whoever takes them.

    What it raises is raised here, at its place. When this is closed the thread is gone, and the
    generator closed.
    """
    end = object()
    futures: deque[Future] = deque()
    with closing(items), ThreadPoolExecutor(1, 'ahead') as pool:
        try:
            for _ in range(count):
                futures.append(pool.submit(next, items, end))
            while (item := futures.popleft().result()) is not end:
                futures.append(pool.submit(next, items, end))
                yield item
        finally:
            for future in futures:
                future.cancel()


def _extracted(model: ObjectVAD, items: list[dict]) -> dict[str, Tensor]:
    """What is measured on the tubes of several frames, on the CPU."""
    measured = model.extract(_join(items))
    return {name: measured[name].cpu() for name in model.measurements}


def _batches(items: Iterable[dict], batch_size: int) -> Iterator[list[dict]]:
    """Frames' items until there are ``batch_size`` tubes."""
    held: list[dict] = []
    count = 0
    for item in items:
        held.append(item)
        count += item['tubes'].stop - item['tubes'].start
        if count >= batch_size:
            yield held
            held, count = [], 0
    if held:
        yield held


def _join(items: list[dict]) -> dict[str, Any]:
    """Several frames' items as one."""
    joined: dict[str, Any] = {}
    if 'inputs' in items[0]:
        joined['inputs'] = torch.cat([item['inputs'] for item in items])
    if 'measurements' in items[0]:
        joined['measurements'] = {
            name: torch.cat([item['measurements'][name] for item in items])
            for name in items[0]['measurements']
        }
    return joined
