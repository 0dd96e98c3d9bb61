"""What SMM's recurrent form costs a step over long sequences, and what float32 does to it.

    python tools/analysis_tools/smm_cost.py --lengths 100 1000 10000

A line a length: microseconds a step, and the largest difference between float32 and float64 over
the largest value.
"""

from __future__ import annotations

import argparse
import time

import torch

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.models import SMM


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--lengths', type=int, nargs='+', default=[100, 1000, 10000])
    parser.add_argument('--channels', type=int, default=512, help='features a step')
    parser.add_argument('--components', type=int, default=64, help='O')
    parser.add_argument('--window', type=int, default=5, help='L')
    parser.add_argument('--drive', choices=['sum', 'per_component'], default='per_component')
    parser.add_argument('--seed', type=int, default=0)
    return parser


def build(args: argparse.Namespace, dtype: torch.dtype) -> SMM:
    """SMM whose fixed matrices are computed in float64 and kept in ``dtype``."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return SMM(
            args.channels,
            num_components=args.components,
            window=args.window,
            drive=args.drive,
            init_std=1 / args.components**0.5,
        ).eval()
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def main(args: argparse.Namespace) -> None:
    if min(args.lengths) <= args.window:
        raise ValueError(
            f'--lengths: {min(args.lengths)}, expected more than the window of {args.window}, '
            'which is one convolution'
        )
    torch.manual_seed(args.seed)
    smm, exact = build(args, torch.float32), build(args, torch.float64)
    exact.load_state_dict(smm.state_dict())
    print(f'{"steps":>8}{"us a step":>12}{"float32 - float64":>20}')
    for length in args.lengths:
        v = torch.randn(1, length, args.channels)
        smm.scan(v[:, :100])  # threads and caches
        begin = time.perf_counter()
        found = smm.scan(v)[0]
        seconds = time.perf_counter() - begin
        reference = exact.scan(v.double())[0]
        error = (found - reference).abs().max() / reference.abs().max()
        print(f'{length:8}{1e6 * seconds / length:12.0f}{float(error):20.1e}')


if __name__ == '__main__':
    cli.run(main, make_parser())
