"""Score videos with a trained model, without labels.

    python tools/infer.py work_dirs/ped2_cpu/localvad.pth video.avi --out-dir scores

Videos are files, folders of images, or folders of such. With --out-dir, the score files that a
test writes are written; what is printed is a line a video: frames, highest score, and where it is.
"""

from __future__ import annotations

import argparse

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.apis import VADInferencer
from mmvad.structures.onnx_graph import RUNTIMES


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='complete model file, which training leaves in its work dir')
    parser.add_argument('videos', nargs='+', help='video files and folders')
    parser.add_argument('--out-dir', help='where to write the scores (default: nowhere)')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
    parser.add_argument(
        '--runtime',
        choices=RUNTIMES,
        help='what computes the networks: torch, or ONNX Runtime, which gives the same scores '
        '(default: as the model file says of its detectors, torch for the rest)',
    )
    parser.add_argument('--batch-size', type=int, default=64, help='tubes in one forward pass')
    parser.add_argument(
        '--on-error',
        choices=['raise', 'skip'],
        default='raise',
        help='what to do about videos that cannot be read or are too short',
    )
    return parser


def main(args: argparse.Namespace) -> int:
    inferencer = VADInferencer(
        args.model, device=args.device, batch_size=args.batch_size, runtime=args.runtime
    )
    results = inferencer(args.videos, out_dir=args.out_dir, on_error=args.on_error)
    for result in results:
        frame = int(result.scores.argmax())
        print(
            f'{result.video}: {len(result.scores)} frames, highest score '
            f'{result.scores[frame]:.3f} at frame {frame}'
        )
    for video, why in inferencer.skipped.items():
        print(f'{video}: left out: {why}')
    return 0 if results else 1


if __name__ == '__main__':
    cli.run(main, make_parser())
