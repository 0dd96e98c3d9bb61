"""Examine the dataset that an annotation file describes, or a plain folder of videos or of folders
of images; nothing is changed.

Looks for frames that are missing, doubled or broken, labels, pixel masks and tracks that do not
fit the frames, videos listed twice or in two splits, and counts unlike the published ones.

Exit code: 0 fine (there may be warnings), 1 errors: figures would be wrong, 2 it cannot be
examined.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

# What is broken stands in the report; the decoders' own lines would bury it. Both read these
# variables when they are loaded.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
os.environ.setdefault('OPENCV_LOG_LEVEL', 'OFF')

from mmvad import cli  # noqa: E402
from mmvad.preparation.doctor import CannotExamine, examine  # noqa: E402


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('ann', help='annotation file (JSON), or a plain folder of videos')
    parser.add_argument('--root', help="the dataset's folder (default: that of the file)")
    parser.add_argument(
        '--other', help='annotation file or folder of another split, with no video of this one'
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='decode the first, middle and last image of folders, believe video files',
    )
    parser.add_argument('--json', action='store_true', help='print all findings as JSON')
    return parser


def main(args: argparse.Namespace) -> int:
    # Names in annotation files may hold characters that the terminal does not know.
    sys.stdout.reconfigure(errors='backslashreplace')
    sys.stderr.reconfigure(errors='backslashreplace')
    progress = _progress if sys.stderr.isatty() else None
    try:
        report = examine(args.ann, args.root, args.fast, args.other, progress)
    except CannotExamine as error:
        if args.json:
            print(json.dumps(dict(file=args.ann, exit_code=2, error=str(error))))
        print(f'cannot be examined: {error}', file=sys.stderr)
        return 2
    print(report.json() if args.json else report.text())
    return report.exit_code


def _progress(done: int, of: int, video: str) -> None:
    print(f'\r{done}/{of} {video[:60]:60}', end='\n' if done + 1 == of else '', file=sys.stderr)


if __name__ == '__main__':
    cli.run(main, make_parser())
