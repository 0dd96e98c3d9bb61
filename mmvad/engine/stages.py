"""The stages that are plain sweeps over videos: boxes, captions, features, report.

Each works through the videos one by one, writes one whole file a video, and leaves alone the files
that are there, so that a killed run goes on with the next video.

Shape letters: n tubes, T steps of a tube, N_q queries, E_d output dimension; 2 are the branches.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, product
from pathlib import Path

import numpy as np
import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmvad.captions import BaseCaptioner
from mmvad.datasets import TubeSweep, VideoDataset, sweep
from mmvad.models import LocalVAD
from mmvad.proposals import BaseProposer
from mmvad.structures import (
    FrameObjects,
    ObjectTubes,
    StageFolder,
    atomic_path,
    caption_path,
    write_captions,
    write_json,
)
from mmvad.visualization import (
    VideoOverview,
    draw_objects,
    pick_frames,
    plot_overview,
    plot_scores,
    write_annotated_video,
)


def _progress(what: str, unit: str, total: int) -> tqdm:
    # A log file gets a line now and then, a terminal a moving bar.
    pause = 0.2 if sys.stderr.isatty() else 20.0
    return tqdm(desc=what, unit=f' {unit}', total=total, mininterval=pause)


def extract_tubes(
    videos: VideoDataset,
    proposer: BaseProposer,
    folder: StageFolder,
    first: int,
    stride: int,
    logger: MMLogger,
) -> None:
    """Find the objects of every video.

    Args:
        videos: The split.
        proposer: Finds the objects.
        folder: Where ``<video>.npz`` go.
        first: Number of the first frame that can be scored, L + horizon - 1.
        stride: Keep the tubes of every so many frames.
        logger: For the warning about videos without any object.
    """
    wanted = {video: range(first, length, stride) for video, length in videos.lengths.items()}
    bar = _progress('boxes', 'frames', sum(map(len, wanted.values())))
    empty = []
    proposer.fit([videos.source(video) for video in videos.lengths])
    for video, length in videos.lengths.items():
        path = folder.path / f'{video}.npz'
        if path.exists():
            bar.update(len(wanted[video]))
            continue
        source = videos.source(video)
        proposer.start(source)
        found = {}
        for frame in wanted[video]:
            found[frame] = proposer.propose(source[frame])
            bar.update()
        tubes = ObjectTubes.from_frames(found, length, source.frame_shape)
        tubes.save(path)
        folder.checkpoint()
        if not len(tubes):
            empty.append(video)
    bar.close()
    if empty:
        logger.warning(f'{len(empty)} videos without any object: {", ".join(empty[:10])}')


def load_tubes(videos: VideoDataset, folder: Path) -> dict[str, ObjectTubes]:
    """The stored tubes of every video, checked against the frame counts."""
    tubes = {video: ObjectTubes.load(folder / f'{video}.npz') for video in videos.lengths}
    for video, length in videos.lengths.items():
        if tubes[video].num_frames != length:
            raise ValueError(
                f'{folder / video}.npz: made for {tubes[video].num_frames} frames, '
                f'but video {video} has {length}'
            )
    return tubes


def _frame_objects(
    videos: VideoDataset,
    video: str,
    tubes: ObjectTubes,
    depth: int,
    stride: int = 1,
    every: int = 1,
) -> Iterator[FrameObjects]:
    wanted = np.unique(tubes.frames)[::every]
    for frame, frames in sweep(videos.source(video), wanted, depth, stride):
        rows = tubes.at(frame)
        yield FrameObjects(frames, tubes.boxes[rows], tubes.objects[rows], video, frame)


def generate_captions(
    videos: VideoDataset,
    captioner: BaseCaptioner,
    tubes: dict[str, ObjectTubes],
    folder: StageFolder,
    depth: int,
    fit_frames: int,
    strides: Sequence[int],
) -> None:
    """Describe every training tube, as it is and fast-forwarded.

    Args:
        videos: The training split.
        captioner: Describes objects.
        tubes: Of every video.
        folder: Where ``<video>.jsonl``, ``stride_<s>/<video>.jsonl`` and ``captioner.json`` (what
            it fitted) go.
        depth: Frames a captioner may look at.
        fit_frames: Frames, spread evenly over the split, on which the captioner is fitted, at each
            stride.
        strides: Every so many frames are shown to the captioner; one pass over the videos each.
    """
    state = folder.path / 'captioner.json'
    if state.exists():
        captioner.load_state(json.loads(state.read_text()))
    else:
        total = sum(len(np.unique(t.frames)) for t in tubes.values())
        every = max(1, total // fit_frames)
        captioner.fit(
            sample
            for stride in strides
            for video in tubes
            for sample in _frame_objects(videos, video, tubes[video], depth, stride, every)
        )
        write_json(state, captioner.state())
    bar = _progress('captions', 'tubes', len(strides) * sum(map(len, tubes.values())))
    for stride, (video, video_tubes) in product(strides, tubes.items()):
        path = caption_path(folder.path, video, stride)
        if path.exists():
            bar.update(len(video_tubes))
            continue
        captions = []
        for sample in _frame_objects(videos, video, video_tubes, depth, stride):
            captions += captioner.caption(sample)
            bar.update(len(sample))
        write_captions(path, video_tubes, captions)
        folder.checkpoint()
    bar.close()


def inference_copy(model: LocalVAD) -> LocalVAD:
    """A copy that gives the same features, half as fast again on a CPU."""
    return fuse_conv_bn(copy.deepcopy(model).eval()).to(memory_format=torch.channels_last)


def extract_features(
    videos: VideoDataset,
    model: LocalVAD,
    tubes: dict[str, ObjectTubes],
    folder: StageFolder,
    pipeline: list[dict],
    batch_size: int,
    num_workers: int,
) -> None:
    """Run the frozen branches over every step of every tube.

    Args:
        videos: The split.
        model: With trained branches, on its device.
        tubes: Of every video.
        folder: Where ``<video>.npy``, (n, T, 2, N_q, E_d) float16, go, and, if the pipeline
            measures any, ``<video>.attributes.npy``, (n, P) float32.
        pipeline: Transforms from frames and boxes to crops.
        batch_size: Tubes in one forward pass, at least.
        num_workers: Processes that read and crop.
    """
    model = inference_copy(model)
    shape = (model.temporal.steps, *model.spatial.feature_shape)
    bar = _progress('features', 'tubes', sum(map(len, tubes.values())))
    for video, video_tubes in tubes.items():
        path = folder.path / f'{video}.npy'
        if path.exists():
            bar.update(len(video_tubes))
            continue
        data = TubeSweep(videos.source(video), video_tubes, shape[0], pipeline, video)
        loader = DataLoader(data, batch_size=None, num_workers=min(num_workers, 1))
        with atomic_path(path) as tmp:
            if not len(video_tubes):
                np.save(tmp, np.zeros((0, *shape), np.float16))
                continue
            # Opened as a map, since a long crowded video's features exceed the memory.
            out = np.lib.format.open_memmap(
                tmp, mode='w+', dtype=np.float16, shape=(len(video_tubes), *shape)
            )
            row, measured = 0, []
            for crops in _batches(_crops(loader, measured), batch_size):
                features = model.extract(crops)
                assert tuple(features.shape) == (len(crops), *shape), features.shape
                out[row : row + len(crops)] = features.half().cpu().numpy()
                row += len(crops)
                bar.update(len(crops))
            assert row == len(video_tubes), f'{path}: {row} of {len(video_tubes)} tubes'
            out.flush()
            # Before the features' file gets its name, by which the video counts as done.
            if measured:
                with atomic_path(folder.path / f'{video}.attributes.npy') as attributes:
                    np.save(attributes, torch.cat(measured).numpy())
        folder.checkpoint()
    bar.close()


def _crops(items: Iterable[dict], measured: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The frames' crops; their attributes are appended to ``measured``."""
    for item in items:
        if 'attributes' in item:
            measured.append(item['attributes'])
        yield item['inputs']


def _batches(items: Iterator[torch.Tensor], batch_size: int) -> Iterator[torch.Tensor]:
    """Join frames' crops until there are ``batch_size`` tubes."""
    held: list[torch.Tensor] = []
    for item in items:
        held.append(item)
        if sum(map(len, held)) >= batch_size:
            yield torch.cat(held)
            held = []
    if held:
        yield torch.cat(held)


def write_report(videos: VideoDataset, out_dir: Path, annotate: int, channel: str) -> None:
    """Draw what the metric stored.

    Args:
        videos: The test split.
        out_dir: Holds ``scores`` and ``objects``; gets ``plots/<video>.png``, ``overview.png``
            and ``annotated/<video>.mp4``.
        annotate: How many videos to annotate: those with the clearest change of score first.
        channel: The objects' scores to draw.
    """
    scores, raw = {}, {}
    for video in videos.lengths:
        scores[video] = np.load(out_dir / 'scores' / f'{video}.npy', allow_pickle=False)
        raw[video] = np.load(out_dir / 'scores' / 'raw' / f'{video}.npy', allow_pickle=False)
        plot_scores(
            scores[video],
            videos.labels.get(video),
            out_dir / 'plots' / f'{video}.png',
            f'Video {video}',
            raw=raw[video],
        )
    everything = np.concatenate(list(scores.values()))
    limits = tuple(np.percentile(everything, (5, 99)).tolist())
    ranked = sorted(scores, key=lambda v: float(np.ptp(scores[v])), reverse=True)
    for number, video in enumerate(islice(ranked, annotate)):
        source = videos.source(video)
        with np.load(out_dir / 'objects' / f'{video}.npz', allow_pickle=False) as stored:
            objects = {key: stored[key] for key in ('frames', 'boxes', channel)}
        write_annotated_video(
            source,
            out_dir / 'annotated' / f'{video}.mp4',
            min(source.fps, 15.0),
            scores[video],
            objects['frames'],
            objects['boxes'],
            objects[channel],
            labels=videos.labels.get(video),
            limits=limits,
        )
        if number == 0:
            picks = pick_frames(scores[video])
            images = []
            for frame in picks:
                rows = objects['frames'] == frame
                boxes, values = objects['boxes'][rows], objects[channel][rows]
                images.append(draw_objects(source[frame], boxes, values, limits, scale=1))
            overview = VideoOverview(
                f'Video {video}', images, picks, scores[video], videos.labels.get(video), raw[video]
            )
            plot_overview([overview], out_dir / 'overview.png')
