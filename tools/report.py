"""Write a page of what a run found, to look at in a browser or to hand on: one folder that opens
from disk, with the videos, their scores, events and reasons.

    mmvad report work_dirs/plaza
"""

from __future__ import annotations

import argparse

from mmvad import cli
from mmvad.apis.report import ReportOptions, build_report


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'work_dir',
        help='of a run that was tested, of what was watched, or the name of a model',
    )
    parser.add_argument('--out', help='folder of the page (default: report/ in the work dir)')
    parser.add_argument('--title', help='above the page (default: name of the work dir)')
    parser.add_argument('--videos', help='folder to look for the videos in, where they moved')
    parser.add_argument('--height', type=int, default=480, help='of the videos, pixels (480)')
    parser.add_argument(
        '--most-frames',
        type=int,
        default=15_000,
        help='of a video; of a longer one, frames are left out evenly (15000)',
    )
    parser.add_argument(
        '--most-videos',
        type=int,
        default=30,
        help='that can be played; of the others the page has the curves (30)',
    )
    parser.add_argument(
        '--no-settings',
        dest='settings',
        action='store_false',
        help='leave out the settings, which name folders of this machine',
    )
    return parser


def main(args: argparse.Namespace) -> None:
    options = ReportOptions(
        title=args.title,
        videos=args.videos,
        height=args.height,
        most_frames=args.most_frames,
        most_videos=args.most_videos,
        settings=args.settings,
    )
    print(build_report(args.work_dir, args.out, options))


if __name__ == '__main__':
    cli.run(main, make_parser())
