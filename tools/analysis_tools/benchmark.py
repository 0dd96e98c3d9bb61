"""Measure the speed of a staged config on this machine.

With a video, from its frames to the scores of its objects: frames/s from end to end, decoding
included (tracks and smoothing come after that, once a video), then which part takes how long, as
CPU time of one thread a part, which tells little of what else the machine does, and memory.

Without one each stage on training frames: frames/s and objects/s, and for the branches the share of
the measured matrix-product rate.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import FrameCheck, FrameSource, TubeSweep, inference_pipeline, sweep
from mmvad.datasets.transforms import TokenizeCaptions
from mmvad.engine import read_config
from mmvad.methods.objects import find_and_measure, find_tubes, read_model_file, trained_model
from mmvad.models import LocalVAD, ObjectVAD
from mmvad.motion import FrameFlow
from mmvad.proposals import BaseProposer, MMDetDetector
from mmvad.registry import CAPTIONERS, DATASETS, MODELS, PROPOSERS, TRANSFORMS
from mmvad.structures import FrameObjects
from mmvad.utils.part_clock import PartClock, peak_memory


def seconds(work: Callable[[], object], at_least: float = 2.0) -> float:
    """Mean time of a call, after one to warm up, over ``at_least`` seconds."""
    work()
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    start, calls = time.perf_counter(), 0
    while True:
        work()
        wait()
        calls += 1
        passed = time.perf_counter() - start
        if passed >= at_least:
            return passed / calls


def matmul_rate(device: torch.device, size: int = 2048) -> float:
    """FLOP/s of a square fp32 matrix product."""
    a = torch.randn(size, size, device=device)
    return 2 * size**3 / seconds(lambda: a @ a)


# Name, objects/s, note.
Row = tuple[str, float, str]


def learned_rows(
    cfg: Config, model: LocalVAD, crops: Tensor, captions: list[dict], size: int, peak: float
) -> tuple[list[Row], Tensor]:
    """Rows of what LocalVAD computes, and the patterns of ``size`` tubes.

    Args:
        cfg: The staged config.
        model: On its device.
        crops: (n, T, C, H, W) of n tubes.
        captions: Their sentences.
        size: Tubes in a batch.
        peak: FLOP/s of a matrix product.
    """
    device = model.temporal.mean.device
    batch = crops[torch.arange(size) % len(crops)].to(device)
    with FlopCounterMode(display=False) as counter:
        patterns = model.extract(dict(inputs=batch))['patterns']
    took = seconds(lambda: model.extract(dict(inputs=batch)))
    share = f'{counter.get_total_flops() / took / peak:.0%} of the matmul rate'
    rows: list[Row] = [('branches', size / took, share)]

    spatial = MODELS.build(cfg.model.spatial).to(device).train()
    step = cfg.stages.spatial.train_dataloader.batch_size
    tokenize = TokenizeCaptions(spatial.text_length)
    picks = [captions[i % len(captions)] for i in range(step)]
    tokens = [tokenize(dict(captions=caption))['tokens'] for caption in picks]
    data = dict(
        inputs=crops[torch.arange(step) % len(crops)][:, -1:],
        data_samples={key: torch.stack([t[key] for t in tokens]) for key in tokens[0]},
    )

    def train_spatial() -> None:
        ready = spatial.data_preprocessor(data, training=True)
        sum(v for k, v in spatial(**ready, mode='loss').items() if 'loss' in k).backward()

    with FlopCounterMode(display=False) as counter:
        train_spatial()
    took = seconds(train_spatial)
    share = f'{counter.get_total_flops() / took / peak:.0%} of the matmul rate'
    rows.append(('spatial training', step / took, share))

    step = cfg.stages.temporal.train_dataloader.batch_size
    inputs = patterns[torch.arange(step, device=device) % len(patterns)]
    took = seconds(lambda: model.temporal(inputs, mode='loss')['loss'].backward())
    rows.append(('temporal training', step / took, ''))
    return rows, patterns


class Stretch(Sequence[np.ndarray]):
    """The first ``count`` frames of a video."""

    def __init__(self, source: FrameSource, count: int) -> None:
        self.source, self.count = source, min(count, len(source))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < self.count:
            raise IndexError(f'{self.source.path}: frame {index} of {self.count}')
        return self.source[index]


def timed_parts(clock: PartClock, model: ObjectVAD, proposer: BaseProposer) -> ExitStack:
    """A context in which the parts of a sweep are timed."""
    parts = [
        (FrameSource, '__getitem__', 'decoding'),
        (FrameCheck, 'look', 'check of frames'),
        (type(proposer), 'start', 'background'),
        (MMDetDetector, '_look', 'detector'),
        (type(proposer), 'propose', 'boxes'),
        (FrameFlow, '__call__', 'optical flow'),
        (type(model), 'extract', 'branches'),
        (type(model), 'score', 'scoring'),
    ]
    transforms = {type(TRANSFORMS.build(t)) for t in inference_pipeline(model.tube)}
    parts += [(kind, 'transform', kind.__name__) for kind in transforms]
    stack = ExitStack()
    for part in parts:
        stack.enter_context(clock.timed(*part))
    return stack


def memory() -> str:
    """The most memory that the process has held, and that of the GPU if there is one."""
    text = f'{peak_memory():.0f} MiB'
    if torch.cuda.is_available():
        text += f', {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB of the GPU'
    return text


@torch.no_grad()
def time_video(args: argparse.Namespace, cfg: Config) -> None:
    """Print how fast a video is scored, and by what."""
    if args.checkpoint is None:
        model: ObjectVAD = MODELS.build(cfg.model)
    else:
        model = trained_model(*read_model_file(args.checkpoint), args.checkpoint)
    model = model.to(get_device()).eval().optimize_for_inference()
    source = FrameSource(args.video)
    frames = Stretch(source, args.frames)
    least = model.tube.first_scored + 1
    if len(frames) < least:
        raise ValueError(
            f'{args.video}: {len(frames)} frames, expected at least {least}, those of one tube'
        )
    proposer = PROPOSERS.build(cfg.proposer)
    proposer.fit([frames])

    def go(score: Callable[[dict[str, Tensor]], Any]) -> tuple[float, float, int]:
        """Seconds, CPU seconds and objects of one sweep."""
        start, busy, count = time.perf_counter(), time.process_time(), 0
        for tubes, measured in find_and_measure(frames, proposer, model, source.path.stem):
            score(measured)
            count += len(tubes)
        return time.perf_counter() - start, time.process_time() - busy, count

    kept: list[dict[str, Tensor]] = []
    *_, objects = go(kept.append)  # warms up
    if not objects:
        raise ValueError(f'{args.video}: no object in {len(frames)} frames; give more --frames')
    if args.checkpoint is None:
        values = {name: torch.cat([part[name] for part in kept]) for name in kept[0]}
        owners = torch.arange(objects) % 2
        model.calibrate(values, owners, held_out=owners == 1)
    kept.clear()
    passed, *_ = go(model.score)
    threads, load = torch.get_num_threads(), os.getloadavg()[0]

    clock, of_opencv = PartClock(), cv2.getNumThreads()
    # So that all that a part does is in its thread.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with timed_parts(clock, model, proposer):
        _, busy, _ = go(model.score)
    torch.set_num_threads(threads)
    cv2.setNumThreads(of_opencv)
    # Such as what FFmpeg decodes in threads of its own.
    clock.seconds['rest'] = max(0.0, busy - clock.seconds.total())

    count = len(frames)
    height, width = source.frame_shape
    print(
        f'{args.config}: {count} frames of {width} x {height}, {objects / count:.1f} objects a '
        f'frame, {get_device()}, {threads} threads on {os.cpu_count()} cores (load {load:.1f})'
    )
    print(f'end to end: {count / passed:.1f} frames/s')
    print(f'{"part":22}{"CPU ms/frame":>14}{"share":>8}')
    for part, took in clock.seconds.most_common():
        print(f'{part:22}{1000 * took / count:14.2f}{took / busy:8.0%}')
    print(f'{"all":22}{1000 * busy / count:14.2f}')
    print(f'peak memory: {memory()}')
    if args.checkpoint is None:
        print(f'scored by these {objects} objects; a model file has more, and takes longer to')


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='staged config file of a method that scores objects')
    parser.add_argument(
        'checkpoint', nargs='?', help='its model file, for --video; without one nothing is trained'
    )
    parser.add_argument('--video', type=Path, help='video file or folder of images to score')
    parser.add_argument('--frames', type=int, default=60, help='frames to measure on, at most')
    parser.add_argument('--batch-size', type=int, help='tubes; default: that of stage features')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    return parser


def main(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options)
    DefaultScope.get_instance('benchmark', scope_name='mmvad')
    if args.video is not None:
        time_video(args, cfg)
        return
    if args.checkpoint is not None:
        raise ValueError('--video: expected one to score with the model file')
    device = torch.device(get_device())
    rows: list[Row] = []

    videos = DATASETS.build(cfg.train_dataset)
    video = next(iter(videos.lengths))
    source = videos.source(video)
    count = min(args.frames, len(source))
    model: ObjectVAD = MODELS.build(cfg.model).to(device).eval().optimize_for_inference()
    first, steps = model.tube.first_scored, model.tube.steps
    scored = count - first
    if scored < 1:
        raise ValueError(f'--frames: {count}, expected at least {first + 1}, those of one tube')

    frames = [source[i] for i in range(count)]
    proposer = PROPOSERS.build(cfg.proposer)
    proposer.fit([frames])
    start = time.perf_counter()
    tubes = find_tubes(frames, proposer, first)
    passed = time.perf_counter() - start
    rows.append(('boxes', len(tubes) / passed, ''))
    if not len(tubes):
        raise ValueError(f'{video}: no object in its first {count} frames; give more --frames')

    captions = []
    if 'captions' in cfg.stages:
        captioner = CAPTIONERS.build(cfg.captioner)
        samples = [
            FrameObjects(imgs, tubes.boxes[tubes.at(f)], tubes.objects[tubes.at(f)], video, f)
            for f, imgs in sweep(source, np.unique(tubes.frames), steps)
        ]
        captioner.fit(iter(samples))
        start = time.perf_counter()
        captions = [caption for sample in samples for caption in captioner.caption(sample)]
        rows.append(('captions', len(tubes) / (time.perf_counter() - start), ''))

    start = time.perf_counter()
    items = list(TubeSweep(source, tubes, steps, inference_pipeline(model.tube), video))
    rows.append(('reading, measuring', len(tubes) / (time.perf_counter() - start), ''))

    peak = matmul_rate(device)
    size = args.batch_size or cfg.stages.features.batch_size
    measured = {}
    if isinstance(model, LocalVAD):
        crops = torch.cat([item['inputs'] for item in items])
        learned, measured['patterns'] = learned_rows(cfg, model, crops, captions, size, peak)
        rows += learned
    for name in model.tube.measure:
        values = torch.cat([item['measurements'][name] for item in items])
        measured[name] = values[torch.arange(size) % len(values)]
    owners = torch.arange(size) % 2
    model.calibrate(measured, owners, held_out=owners == 1)
    with torch.no_grad():
        took = seconds(lambda: model.score(measured))
    rows.append(('scores', size / took, ''))

    per_frame = len(tubes) / scored
    height, width = source.frame_shape
    print(
        f'{args.config}: {width} x {height} frames, {per_frame:.1f} objects a frame, {device}, '
        f'{torch.get_num_threads()} threads, matrix products at {peak / 1e9:.0f} GFLOP/s (fp32)'
    )
    print(f'{"stage":22}{"frames/s":>10}{"objects/s":>11}')
    for name, rate, note in rows:
        # Training takes tubes in any order.
        frames_column = '-' if name.endswith('training') else f'{rate / per_frame:.1f}'
        print(f'{name:22}{frames_column:>10}{rate:11.1f}  {note}')


if __name__ == '__main__':
    cli.run(main, make_parser())
