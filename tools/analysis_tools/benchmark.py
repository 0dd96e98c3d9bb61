"""Measure each stage of a staged config on this machine: frames/s and objects/s, and for the
branches the share of the measured matrix-product rate."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import TubeSweep, inference_pipeline, sweep
from mmvad.datasets.transforms import TokenizeCaptions
from mmvad.engine import read_config
from mmvad.methods.objects import find_tubes
from mmvad.models import LocalVAD, ObjectVAD
from mmvad.registry import CAPTIONERS, DATASETS, MODELS, PROPOSERS
from mmvad.structures import FrameObjects


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


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='staged config file of a method that scores objects')
    parser.add_argument('--frames', type=int, default=60, help='frames to measure on')
    parser.add_argument('--batch-size', type=int, help='tubes; default: that of stage features')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    return parser


def main(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options)
    DefaultScope.get_instance('benchmark', scope_name='mmvad')
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
