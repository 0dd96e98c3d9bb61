"""Train a model of one's own camera on video in which nothing happens: no labels, no config.

    mmvad train recordings --name yard

Recordings are video files and folders of frames, however deep, or a single video. The model, the
config that was run and all that is between lie in work_dirs/NAME; the same command goes on where a
run was stopped. The last line says where the model is and from which score on there is an alarm.
"""

from __future__ import annotations

import argparse
import os

from mmengine.config import DictAction

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.apis import learn
from mmvad.apis.model_folder import MODELS_ROOT


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', help='folder of normal video, or one video')
    parser.add_argument('--name', required=True, help='of the model, such as yard')
    parser.add_argument('--root', default=MODELS_ROOT, help='folder of models (%(default)s)')
    parser.add_argument(
        '--detector',
        help='config of an mmdet detector of objects, such as '
        'mmdet::yolox/yolox_nano_8xb8-300e_coco.py (default: what differs from the background)',
    )
    parser.add_argument('--checkpoint', help="the detector's weights")
    parser.add_argument(
        '--runtime', choices=['torch', 'onnx'], default='torch', help='what runs the detector'
    )
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
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
    if args.device == 'cpu':
        # Before CUDA is looked for: stages take a GPU where there is one.
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    args.stopped = '; the same command goes on from here'
    learned = learn(
        args.folder,
        args.name,
        args.root,
        args.detector,
        args.checkpoint,
        args.runtime,
        args.device,
        args.false_alarms,
        args.cfg_options,
    )
    print(f'{args.name}: {learned.line}')


if __name__ == '__main__':
    cli.run(main, make_parser())
