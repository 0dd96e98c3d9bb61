"""Sweeps over one video: from frames to tubes, and from tubes to what is measured on them.

Stages and the inferencer go through videos with these, so both get the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mmvad.datasets import FrameCheck, FrameLimits, FrameSource, TubeSweep, inference_pipeline
from mmvad.models import ObjectVAD
from mmvad.proposals import BaseProposer
from mmvad.structures import ObjectTubes


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
    source = frames if isinstance(frames, FrameSource) else None
    limits = source.limits if source else FrameLimits()
    proposer.start(frames)
    found, check = {}, FrameCheck()
    # Before the sweep: at its end, a video file would be opened once more for it.
    shape = frames[0].shape[:2]
    for number in range(first, len(frames), stride):
        frame = frames[number]
        check.look(frame)
        found[number] = proposer.propose(frame)
        step()
    check.refuse(source.path if source else name, limits, source.scaled_from if source else None)
    remarks = check.remarks(limits)
    if source and source.damaged:
        remarks.append(f'{source.damaged} frames do not decode whole')
    for remark in remarks:
        note(remark)
    return ObjectTubes.from_frames(found, len(frames), shape)


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
    sweep = TubeSweep(frames, tubes, model.tube.steps, inference_pipeline(model.tube), video)
    for items in _batches(DataLoader(sweep, batch_size=None, num_workers=num_workers), batch_size):
        rows = np.concatenate([np.arange(i['tubes'].start, i['tubes'].stop) for i in items])
        measured = model.extract(_join(items))
        yield rows, {name: measured[name].cpu() for name in model.measurements}


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
