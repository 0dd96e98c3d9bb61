"""Is the promise kept? False alarms an hour that were promised, and those of normal recordings.

    python tools/analysis_tools/count_false_alarms.py yard recordings/other_normal_days

The recordings are of the model's camera, were not trained on, and hold nothing that deserves an
alarm. Each rate has its threshold, as in `mmvad watch`, and events are counted as there: of
recordings, and of streams, which smooth the same objects' scores backwards. What is promised are
seconds above the threshold, of which those that follow each other are one event.

Few hours tell little: the interval holds the true rate in 95 of 100 cases if events come
independently of each other (exact, of a Poisson count). They come in bursts, so it is rather wider.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
from scipy.stats import chi2

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.apis import VADInferencer
from mmvad.apis.alarm_events import HOLD, AlarmState
from mmvad.apis.causal import causal_settings
from mmvad.apis.model_folder import MODELS_ROOT, alarm_of, find_model_file
from mmvad.datasets import FrameSource
from mmvad.evaluation.functional import ScorePolicy, score_video, second_peaks

# Final scores (F,) of a video, and its frames a second.
Scored = list[tuple[np.ndarray, float]]


def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Garwood's exact interval of the mean of a Poisson variable that came out as ``count``."""
    half = (1 - confidence) / 2
    low = chi2.ppf(half, 2 * count) / 2 if count else 0.0
    return float(low), float(chi2.ppf(1 - half, 2 * count + 2) / 2)


def events(scores: np.ndarray, rate: float, threshold: float, hold: float) -> int:
    """How many events a video has."""
    state: AlarmState[None] = AlarmState(threshold, hold)
    opened = (state.step(n, n / rate, score)[0] for n, score in enumerate(scores.tolist()))
    return sum(stretch is not None for stretch in opened)


def scored_by(
    inferencer: VADInferencer, paths: list[str], policies: Mapping[str, ScorePolicy]
) -> dict[str, Scored]:
    """The recordings' final scores by each policy; their objects are scored once."""
    found: dict[str, Scored] = {name: [] for name in policies}
    model, channel = inferencer.model, inferencer.channel
    for result, frames in inferencer.results(paths, on_error='skip'):
        assert isinstance(frames, FrameSource)
        table = result.details.objects
        for name, policy in policies.items():
            final = score_video(
                table['frames'],
                {channel: table[channel]},
                len(frames),
                model.scorer.floors,
                model.tube.first_scored,
                boxes=table['boxes'],
                tubes=table['tubes'],
                policy=policy,
            ).final[channel]
            found[name].append((final, frames.fps))
    return found


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='name or file, as for mmvad watch')
    parser.add_argument('recordings', nargs='+', help='video files and folders, all normal')
    parser.add_argument(
        '--rates', nargs='+', type=float, default=[1, 10, 60, 360], help='false alarms an hour'
    )
    parser.add_argument('--hold', type=float, default=HOLD, help='as of mmvad watch (%(default)g)')
    parser.add_argument('--root', default=MODELS_ROOT, help='folder of models (%(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
    return parser


def main(args: argparse.Namespace) -> None:
    path = find_model_file(args.model, args.root)
    inferencer = VADInferencer(path, device=args.device)
    policies = dict(
        recordings=inferencer.policy,
        streams=ScorePolicy(**causal_settings(inferencer.post_processing)),
    )
    limits, learned = {}, 0.0
    for name, policy in policies.items():
        for rate in args.rates:
            limits[name, rate], learned = alarm_of(
                path, inferencer.model, inferencer.channel, policy, rate
            )
    scored = scored_by(inferencer, args.recordings, policies)
    for why in inferencer.skipped.values():
        print(f'left out: {why}')
    if not (videos := scored['recordings']):
        raise ValueError(f'{args.recordings[0]}: none of the recordings can be scored')
    seconds = sum(len(scores) / rate for scores, rate in videos)
    print(
        f'{path}: thresholds by {learned:.0f} s of normal video; {len(videos)} recordings, '
        f'{seconds:.0f} s, in which an alarm is false'
    )
    print(
        f'{"scores of":12}{"promised/h":>11}{"threshold":>11}{"expected":>10}{"seconds":>9}'
        f'{"events":>8}{"found/h":>10}   95 %'
    )
    for (name, rate), threshold in limits.items():
        count = sum(events(*video, threshold, args.hold) for video in scored[name])
        above = sum(int((second_peaks(*video) > threshold).sum()) for video in scored[name])
        low, high = (3600 / seconds * end for end in poisson_interval(count))
        print(
            f'{name:12}{rate:11g}{threshold:11.2f}{rate * seconds / 3600:10.2f}{above:9}'
            f'{count:8}{3600 * count / seconds:10.1f}   {low:.1f} to {high:.1f}'
        )


if __name__ == '__main__':
    cli.run(main, make_parser())
