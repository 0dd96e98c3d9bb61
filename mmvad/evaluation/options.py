"""The options of ``tools/evaluate.py``: what stands on a command line, as arguments.

Whatever is off is a ``ValueError`` of one line that names the option.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mmvad.evaluation.functional import BORDERS, MNAD_WEIGHTS, PADS, PROTOCOLS, build_smoother
from mmvad.evaluation.report import fuse, postprocess


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Puts the file or option that values are from before what is wrong with them."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error


def one_of(option: str, text: str, names: Collection[str]) -> str:
    """The text, if it is one of the names."""
    if text not in names:
        raise ValueError(f'{option}: expected one of {", ".join(names)}, got {text!r:.50}')
    return text


def parse_options(args: argparse.Namespace, longest: int) -> dict[str, Any]:
    """What is to be done to scores, as arguments of ``evaluate``."""
    own = ('smooth', 'border', 'min_max', 'cut_leading', 'pad')
    if args.protocol is not None:
        name = one_of('--protocol', args.protocol, PROTOCOLS)
        given = [option for option in own if getattr(args, option) not in (None, False)]
        if given:
            options = ', '.join(f'--{option.replace("_", "-")}' for option in given)
            raise ValueError(f'--protocol: {name} says all of that itself, expected no {options}')
        return dict(PROTOCOLS[name])
    border = args.border and one_of('--border', args.border, BORDERS)
    return dict(
        smoothing=parse_smoothing(args.smooth, longest, border),
        per_video_min_max=args.min_max,
        cut_leading=parse_whole('--cut-leading', 'frames', args.cut_leading or '0'),
        pad=one_of('--pad', args.pad or 'one-class', PADS),
    )


def parse_smoothing(
    text: str | None, longest: int, border: str | None = None
) -> dict[str, Any] | list[dict[str, Any]] | None:
    """``'gaussian:3'`` to ``dict(type='gaussian', sigma=3.0)``, several to a list; ``longest`` is
    the longest video's number of frames."""
    if text is None:
        if border:
            raise ValueError('--border: of --smooth, expected that too')
        return None
    passes = [_parse_pass(one, longest, border) for one in text.split(',')]
    return passes if len(passes) > 1 else passes[0]


def _parse_pass(text: str, longest: int, border: str | None) -> dict[str, Any]:
    kind, _, value = text.partition(':')
    name, number = ('size', int) if kind == 'median' else ('sigma', float)
    try:
        smoothing = {'type': kind, name: number(value)}
    except ValueError as error:
        raise ValueError(
            '--smooth: expected gaussian:SIGMA, causal:SIGMA or median:SIZE (a whole number), got '
            f'{text!r}'
        ) from error
    if border:
        smoothing['border'] = border
    with naming('--smooth'):
        build_smoother(smoothing)
    if smoothing[name] > longest:
        raise ValueError(
            f'--smooth: {text}, expected at most {longest}, the frames of the longest video'
        )
    return smoothing


def parse_whole(option: str, unit: str, text: str) -> int:
    """``'10'`` to 10."""
    # Python refuses to read thousands of digits.
    if not (text.isascii() and text.isdecimal()) or len(text) > 100:
        raise ValueError(f'{option}: expected a whole number of {unit} from 0 up, got {text!r:.50}')
    return int(text)


def parse_weights(pairs: list[str], names: Collection[str]) -> dict[str, float]:
    """``['a=1', 'b=0.5']`` to a dict; ``names`` are those of the score sets."""
    weights = {}
    for pair in pairs:
        name, _, value = pair.rpartition('=')
        try:
            weight = float(value)
        except ValueError as error:
            raise ValueError(f'--fuse: expected NAME=WEIGHT, got {pair!r}') from error
        if name not in names:
            raise ValueError(f'--fuse: no score set named {name!r}, expected one of {list(names)}')
        if name in weights:
            raise ValueError(f'--fuse: {name!r} comes twice, expected each once')
        if not (math.isfinite(weight) and weight):
            raise ValueError(f'--fuse: {pair}, expected a finite weight that is not 0')
        weights[name] = weight
    if 'fused' in names:
        raise ValueError("--fuse: the sum is named 'fused', expected another name for that set")
    return weights


def options_of(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """What is done to the scores of one set."""
    if not options.get('errors'):
        return options
    if name == 'fused':
        return dict(cut_leading=options['cut_leading'])
    return options | dict(errors=name != 'distance')


def check_mnad(names: Collection[str]) -> None:
    """MNAD's error of the predicted frame may come with the distance to the memory's items."""
    if len(names) > 1 and set(names) != set(MNAD_WEIGHTS):
        raise ValueError(
            '--protocol: mnad takes one set, of mean squared errors, or mse=PATH and '
            f'distance=PATH, got {list(names)}'
        )


def mnad_fused(
    sets: dict[str, dict[str, np.ndarray]], weights: dict[str, float], options: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The weighted sum of both scores, each brought to 0 ... 1 first."""
    done = {
        name: postprocess(
            scores,
            per_video_min_max=True,
            cut_leading=options['cut_leading'],
            errors=name != 'distance',
        )
        for name, scores in sets.items()
    }
    return fuse(done, weights)
