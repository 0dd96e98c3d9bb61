"""Take new normal video into a model of one's own camera, without training anew.

    mmvad adapt yard recordings/december

Only the new recordings are looked through; reference objects, tails, the alarm threshold and the
self-check are of all. This gives another model, yard-2 (or --name): what yard was trained on must
still be there, and yard stays as it is. Watch the new one by its name.
"""

from __future__ import annotations

import argparse
import os

from mmengine.config import DictAction

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.apis import adapt
from mmvad.apis.model_folder import MODELS_ROOT


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='name of a model that mmvad train or mmvad adapt left')
    parser.add_argument('recordings', nargs='+', help='folders of normal video, or videos')
    parser.add_argument('--name', help='of the new model (default: the next number)')
    parser.add_argument('--root', default=MODELS_ROOT, help='folder of models (%(default)s)')
    parser.add_argument('--cpu', action='store_true', help='take no GPU, where there is one')
    parser.add_argument(
        '--false-alarms',
        type=float,
        default=1.0,
        help='an hour, that are put up with (%(default)g)',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    return parser


def main(args: argparse.Namespace) -> None:
    if args.cpu:
        # Before CUDA is looked for: stages take a GPU where there is one.
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    args.stopped = '; the same command goes on from here'
    learned = adapt(
        args.model, args.recordings, args.name, args.root, args.false_alarms, args.cfg_options
    )
    print(f'{learned.model.parent.name}: {learned.line}')


if __name__ == '__main__':
    cli.run(main, make_parser())
