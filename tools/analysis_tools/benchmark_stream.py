"""Measure what it costs to watch a stream: from its packets to events and clips.

    python tools/analysis_tools/benchmark_stream.py yard recording.mp4 --clips 2

A recording is watched as `mmvad watch` watches a stream, frame after frame and as fast as it goes.
First comes the rate of all of it, then which part takes how long, as CPU time of one thread a part,
which tells little of what else the machine does, and memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import cv2
import torch

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.apis import StreamScorer, VADInferencer
from mmvad.apis.background import StreamBackground
from mmvad.apis.causal import CausalScores
from mmvad.apis.clips import ClipWriter
from mmvad.apis.drift import Drift
from mmvad.apis.event_writer import CLIPS, EventWriter
from mmvad.apis.model_folder import MODELS_ROOT, alarm_of, find_model_file
from mmvad.apis.pacing import PacedFrames
from mmvad.apis.reasons import Reasons
from mmvad.apis.sources import LiveFrame, LiveSource
from mmvad.apis.watch_stream import StreamCounts, StreamWatch
from mmvad.datasets import FrameSource, inference_pipeline
from mmvad.motion import FrameFlow
from mmvad.proposals import MMDetDetector
from mmvad.registry import TRANSFORMS
from mmvad.utils.part_clock import PartClock, peak_memory


class Recording(LiveSource):
    """A recording as a source whose frames come when they are taken, at the recording's times.

    Args:
        path: A video file.
        count: Frames, at most.
    """

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(str(path), rate=FrameSource(path).fps)
        self.count = count

    @property
    def waits(self) -> bool:
        return True

    def frames(self) -> Iterator[LiveFrame]:
        return islice(super().frames(), self.count)


class Watcher:
    """Watches a recording, once a call.

    Args:
        inferencer: The model.
        path: Its file.
        args: Of the command.
    """

    def __init__(self, inferencer: VADInferencer, path: Path, args: argparse.Namespace) -> None:
        self.inferencer, self.path, self.args = inferencer, path, args
        self.reasons = Reasons(inferencer.model, inferencer.channel, path)

    def __call__(self) -> tuple[float, float, StreamCounts]:
        """Seconds, CPU seconds of all threads, and what became of the frames."""
        scorer = StreamScorer(self.inferencer)
        threshold = self.args.threshold
        if threshold is None:
            model, channel = scorer.model, scorer.channel
            threshold, _ = alarm_of(self.path, model, channel, scorer.policy, 1.0)
        source = Recording(self.args.video, self.args.frames)
        with tempfile.TemporaryDirectory() as folder:
            start, busy = time.perf_counter(), time.process_time()
            clips = None
            if (around := self.args.clips) is not None:
                clips = ClipWriter(Path(folder) / CLIPS, around, around)
            writer = EventWriter(Path(folder), threshold, self.reasons, lambda text: None)
            drift = Drift(threshold, lambda text: None)
            paced = PacedFrames(source, every_frame=True)
            counts = StreamWatch(
                scorer, paced, writer, hold=2.0, status=0.0, clips=clips, drift=drift
            ).run()
            writer.close()
            return time.perf_counter() - start, time.process_time() - busy, counts


def timed_parts(clock: PartClock, inferencer: VADInferencer) -> ExitStack:
    """A context in which the parts of a stream are timed."""
    proposer, model = type(inferencer.proposer), type(inferencer.model)
    parts = [
        (StreamWatch, '_shows_nothing', 'check of frames'),
        (StreamBackground, '_shown', 'background'),
        (MMDetDetector, '_look', 'detector'),
        (proposer, 'propose', 'boxes'),
        (FrameFlow, '__call__', 'optical flow'),
        (model, 'extract', 'branches'),
        (model, 'score', 'scoring'),
        (CausalScores, 'step', 'tracks, smoothing'),
        (EventWriter, 'write', 'events'),
        (ClipWriter, 'look', 'clips: frames kept'),
        (ClipWriter, '_work', 'clips: written'),
    ]
    transforms = {type(TRANSFORMS.build(t)) for t in inference_pipeline(inferencer.model.tube)}
    parts += [(kind, 'transform', kind.__name__) for kind in transforms]
    stack = ExitStack()
    stack.enter_context(clock.timed_steps(LiveSource, '_decoded', 'decoding'))
    for part in parts:
        stack.enter_context(clock.timed(*part))
    return stack


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='name or file, as for mmvad watch')
    parser.add_argument('video', type=Path, help='video file to watch as a stream')
    parser.add_argument('--root', default=MODELS_ROOT, help='folder of models (%(default)s)')
    parser.add_argument('--frames', type=int, default=300, help='at most (%(default)s)')
    parser.add_argument('--runtime', help='torch or onnx (default: as the model was trained)')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
    parser.add_argument('--threshold', type=float, help='of an event (default: 1 false an hour)')
    parser.add_argument('--clips', type=float, help='seconds about an event (default: no clips)')
    return parser


def main(args: argparse.Namespace) -> None:
    path = find_model_file(args.model, args.root)
    inferencer = VADInferencer(path, device=args.device, runtime=args.runtime)
    watch = Watcher(inferencer, path, args)
    watch()  # warms up
    passed, busy, counts = watch()
    if not counts.scored:
        raise ValueError(
            f'{args.video}: none of {counts.read} frames is scored; give more --frames'
        )
    threads, load = torch.get_num_threads(), os.getloadavg()[0]

    clock, of_opencv = PartClock(), cv2.getNumThreads()
    # So that all that a part does is in its thread.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with timed_parts(clock, inferencer):
        _, alone, _ = watch()
    torch.set_num_threads(threads)
    cv2.setNumThreads(of_opencv)
    # Such as what FFmpeg decodes, and ONNX Runtime computes, in threads of their own.
    clock.seconds['rest'] = max(0.0, alone - clock.seconds.total())

    height, width = FrameSource(args.video).frame_shape
    device = next(iter(inferencer.model.scorer.buffers())).device
    print(
        f'{path}: {counts.read} frames of {width} x {height}, {counts.scored} scored, '
        f'{counts.events} events, {device}, {threads} threads on {os.cpu_count()} cores '
        f'(load {load:.1f})'
    )
    print(
        f'end to end: {counts.read / passed:.1f} frames/s, '
        f'{1000 * busy / counts.read:.1f} CPU ms/frame of all threads'
    )
    print(f'{"part":22}{"CPU ms/frame":>14}{"share":>8}')
    for part, took in clock.seconds.most_common():
        print(f'{part:22}{1000 * took / counts.read:14.2f}{took / alone:8.0%}')
    print(f'{"all":22}{1000 * alone / counts.read:14.2f}')
    print(f'peak memory: {peak_memory():.0f} MiB')


if __name__ == '__main__':
    cli.run(main, make_parser())
