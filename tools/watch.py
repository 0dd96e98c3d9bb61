"""Watch recordings or a live source with a model of the camera: what happens is written down.

    mmvad watch yard recordings/today
    mmvad watch yard rtsp://user:password@camera/stream
    ffmpeg -i ... -f mjpeg - | mmvad watch yard -

Written are events.jsonl (a line the moment an event opens and one when it closes), events.csv,
thumbnails and, of recordings, their scores. Ctrl-C and SIGTERM end it in order.
"""

from __future__ import annotations

import argparse
import os
import sys

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.apis import WatchSettings, watch
from mmvad.apis.model_folder import MODELS_ROOT
from mmvad.apis.sources import PIPES


def make_parser() -> argparse.ArgumentParser:
    defaults = WatchSettings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='name that was given in training, or a model file')
    parser.add_argument(
        'sources',
        nargs='+',
        help='video files and folders; or one live source: a camera number, an address such as '
        'rtsp://..., or - for frames on a pipe',
    )
    parser.add_argument('--out', help='folder to write to (default: a new one below the model)')
    parser.add_argument('--root', default=MODELS_ROOT, help='folder of models (%(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
    alarm = parser.add_mutually_exclusive_group()
    alarm.add_argument(
        '--false-alarms',
        type=float,
        default=defaults.false_alarms,
        help='an hour, put up with (%(default)g)',
    )
    alarm.add_argument('--threshold', type=float, help='alarm above this score')
    parser.add_argument(
        '--hold',
        type=float,
        default=defaults.hold,
        help='seconds below the threshold after which an event is over (%(default)g)',
    )
    parser.add_argument(
        '--clips',
        nargs='?',
        type=float,
        const=3.0,
        metavar='SECONDS',
        help='write a video of each event, with so many seconds before and after (%(const)g)',
    )
    parser.add_argument('--webhook', help='post every line of events.jsonl to this address')
    parser.add_argument('--quiet', action='store_true', help='no progress bar, no status lines')
    live = parser.add_argument_group('live sources')
    live.add_argument(
        '--status',
        type=float,
        default=defaults.status,
        help='seconds between two lines on how it goes (%(default)g)',
    )
    live.add_argument(
        '--every-frame', action='store_true', help='leave none out, and lag behind if need be'
    )
    live.add_argument(
        '--timeout',
        type=float,
        default=defaults.timeout,
        help='seconds without a frame after which a source is gone (%(default)g)',
    )
    live.add_argument(
        '--give-up', type=float, help='seconds of trying in vain after which to end (never)'
    )
    live.add_argument(
        '--pipe',
        choices=PIPES,
        default=defaults.pipe,
        help='what is on the pipe: JPEG after JPEG, raw BGR frames, or a format that says itself '
        'what it is (%(default)s)',
    )
    live.add_argument('--size', type=size, help='of raw frames, such as 640x360')
    live.add_argument(
        '--rate',
        type=float,
        default=defaults.rate,
        help='frames a second on a pipe (%(default)g)',
    )
    return parser


def size(text: str) -> tuple[int, int]:
    """Width and height."""
    width, cross, height = text.partition('x')
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f'expected a size such as 640x360, got {text!r}')
    return int(width), int(height)


def tell(text: str) -> None:
    """Say something that is no result."""
    print(text, file=sys.stderr, flush=True)


def main(args: argparse.Namespace) -> int:
    if args.device == 'cpu':
        # Before CUDA is looked for.
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    args.stopped = '; events and files are closed'
    settings = WatchSettings(
        false_alarms=args.false_alarms,
        threshold=args.threshold,
        hold=args.hold,
        status=0.0 if args.quiet else args.status,
        every_frame=args.every_frame,
        clips=args.clips,
        webhook=args.webhook,
        pipe=args.pipe,
        size=args.size,
        rate=args.rate,
        timeout=args.timeout,
        give_up=args.give_up,
    )
    watched = watch(
        args.model,
        args.sources,
        args.out,
        settings,
        args.root,
        args.device,
        tell,
        show_progress=not args.quiet,
    )
    print(watched.line)
    return 1 if watched.left_out else 0


if __name__ == '__main__':
    cli.run(main, make_parser())
