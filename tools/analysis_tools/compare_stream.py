"""What does it cost not to look ahead? AUC of a test set, watched as streams and as a whole.

    python tools/analysis_tools/compare_stream.py work_dirs/ped2_objects

Each test video is a stream of its own, which is given to StreamScorer frame by frame. Beside it
stand the scores of the same objects that a finished test left: smoothed as the test does, to both
sides, and as a stream does, backwards. Frames that a stream cannot score yet, for want of a past or
a background, have the score of a frame without objects; the second column leaves them out.

Where objects are found against a background, a stream has it of its own past; one more line is of
streams that are given the one of the test.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mmengine.config import DictAction
from mmengine.registry import DefaultScope

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.apis import StreamScorer, VADInferencer
from mmvad.apis.background import looks_ahead
from mmvad.apis.causal import causal_settings
from mmvad.apis.model_folder import MODELS_ROOT, find_model_file
from mmvad.datasets import VideoDataset
from mmvad.evaluation.functional import ScorePolicy, frame_auc, score_video
from mmvad.evaluation.score_files import read_boxes
from mmvad.registry import DATASETS
from mmvad.structures import WorkDir

Scores = dict[str, np.ndarray]


def of_test(path: Path, inferencer: VADInferencer, videos: VideoDataset) -> dict[str, Scores]:
    """Final scores by the objects that a test left beside the model: smoothing to video to (F,).

    Raises:
        FileNotFoundError: If no test left any.
        ValueError: If they are not of these videos.
    """
    model, names = inferencer.model, list(videos.lengths)
    folder = WorkDir(path.parent).objects('_').parent
    objects = read_boxes(folder, names, inferencer.channel, videos.lengths)
    policies = dict(
        both=inferencer.policy,
        causal=ScorePolicy(**causal_settings(inferencer.post_processing)),
    )
    found: dict[str, Scores] = {name: {} for name in policies}
    for number, video in enumerate(names):
        rows = objects.videos == number
        for name, policy in policies.items():
            scored = score_video(
                objects.frames[rows],
                {inferencer.channel: objects.scores[rows]},
                videos.lengths[video],
                model.scorer.floors,
                model.tube.first_scored,
                boxes=objects.boxes[rows].astype(np.float32),
                tubes=np.arange(rows.sum()),
                policy=policy,
            )
            found[name][video] = scored.final[inferencer.channel]
    return found


def of_streams(inferencer: VADInferencer, videos: VideoDataset, shown: bool) -> Scores:
    """Video to the scores (F,) of a stream of it, NaN where there is none yet.

    Args:
        inferencer: The model.
        videos: Each is a stream.
        shown: Whether the proposer is shown the videos before, as in a test.
    """
    found = {}
    for video in videos.lengths:
        source = videos.source(video)
        frames = [source[number] for number in range(len(source))]
        stream = StreamScorer(inferencer, background=frames if shown else None)
        if shown:
            # As a test does: a background may be one for all videos.
            inferencer.proposer.fit([videos.source(each) for each in videos.lengths])
            inferencer.proposer.start(frames)
        pushed = [stream.push(frame, n / source.fps) for n, frame in enumerate(frames)]
        stream.close()
        scores = [np.nan if one.score is None else one.score for one in pushed]
        found[video] = np.array(scores, np.float64)
        print(f'{video}: {len(frames)} frames, {np.isnan(found[video]).sum()} before the first')
    return found


def line(name: str, scores: Scores, labels: Scores, scored: Scores, floor: float) -> str:
    """A line of the table.

    Args:
        name: Of the line.
        scores: Video to (F,), NaN where there is none.
        labels: Video to (F,).
        scored: Video to (F,) bool, frames that count in the second column.
        floor: Score of a frame that has none.
    """
    all_of = {video: np.nan_to_num(array, nan=floor) for video, array in scores.items()}
    kept = [video for video, mask in scored.items() if mask.any()]
    parts = [{video: by[video][scored[video]] for video in kept} for by in (all_of, labels)]
    cells = figures(all_of, labels) + figures(*parts)
    return f'{name:44}' + ''.join(cells)


def figures(scores: Scores, labels: Scores) -> list[str]:
    """Micro and macro AUC, two cells; without frames of both classes there are none."""
    if len(np.unique(np.concatenate([[], *labels.values()]))) < 2:
        return [f'{"-":>9}'] * 2
    found = frame_auc(scores, labels)
    return [f'{100 * value:9.2f}' for value in (found.micro, found.macro)]


def table(rows: Mapping[str, Scores], labels: Scores, floor: float) -> list[str]:
    """All of it; frames that some row has no score of do not count in the second column."""
    scored = {v: ~np.isnan([scores[v] for scores in rows.values()]).any(0) for v in labels}
    frames, left = sum(map(len, labels.values())), sum(int(mask.sum()) for mask in scored.values())
    head = f'{"AUC, per cent":44}{f"all {frames} frames":>18}{f"the {left} all score":>18}'
    lines = [head, f'{"":44}' + f'{"micro":>9}{"macro":>9}' * 2]
    return lines + [line(name, scores, labels, scored, floor) for name, scores in rows.items()]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='work dir of a finished test, or the model file in it')
    parser.add_argument('--root', default=MODELS_ROOT, help='folder of models (%(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='such as test_dataset.data_root=...'
    )
    return parser


def main(args: argparse.Namespace) -> None:
    path = find_model_file(args.model, args.root)
    inferencer = VADInferencer(path, device=args.device)
    cfg = inferencer.model.cfg
    cfg.merge_from_dict(args.cfg_options or {})
    if not cfg.get('test_dataset'):
        raise ValueError(f'{path}: its config names no test_dataset, expected one with labels')
    with DefaultScope.overwrite_default_scope('mmvad'):
        videos = DATASETS.build(cfg.test_dataset)
    if not videos.labels:
        raise ValueError(f'{path}: test_dataset has no labels, expected some to compare by')
    tested = of_test(path, inferencer, videos)
    rows = {
        'whole videos, smoothed to both sides': tested['both'],
        'whole videos, smoothed backwards': tested['causal'],
        'streams': of_streams(inferencer, videos, shown=False),
    }
    if looks_ahead(inferencer.proposer):
        shown = of_streams(inferencer, videos, shown=True)
        rows['streams, with the background of the test'] = shown
    print(*table(rows, videos.labels, inferencer.model.scorer.floors[inferencer.channel]), sep='\n')


if __name__ == '__main__':
    cli.run(main, make_parser())
