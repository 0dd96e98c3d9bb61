"""Pictures of what a staged config trains on or tests: tubes with their boxes, crops, optical flow
and, where they are, captions.

    mmvad browse configs/localvad/plaza.py --work-dir work_dirs/demo

The stage of boxes must be complete in the work dir. Pictures of tubes spread evenly over the videos
are written to WORK_DIR/browse/<split>/<video>_<tube>.jpg: the frame with the object (thin) and its
crop (thick), the crop at every step of the tube, the flow between these (direction as hue, pixels a
frame as brightness), and the sentences.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import DictAction
from mmengine.registry import DefaultScope

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import FrameSource
from mmvad.engine import read_config
from mmvad.engine.stage import part_of
from mmvad.motion.flow import FrameFlow
from mmvad.registry import DATASETS
from mmvad.structures import (
    ObjectTubes,
    TubeSpec,
    WorkDir,
    atomic_path,
    captions_path,
    read_captions,
    tubes_path,
)

SIDE = 128  # of a crop in the picture, pixels
# Pixels a frame that are shown brightest.
FAST = 8.0
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='staged config file')
    parser.add_argument('--work-dir', help='of a run whose boxes are there')
    parser.add_argument('--split', choices=['training', 'testing'], default='training')
    parser.add_argument('--number', type=int, default=12, help='of tubes (default: 12)')
    parser.add_argument('--out-dir', type=Path, help='where to write (default: in the work dir)')
    parser.add_argument(
        '--show', action='store_true', help='also show them in a window, until a key'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    return parser


def flow_picture(flow: np.ndarray) -> np.ndarray:
    """BGR (h, w, 3) uint8 of a flow (h, w, 2) in pixels a frame."""
    speed, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1], angleInDegrees=True)
    parts = [angle / 2, np.full_like(speed, 255), np.clip(speed / FAST, 0, 1) * 255]
    return cv2.cvtColor(np.dstack(parts).astype(np.uint8), cv2.COLOR_HSV2BGR)


def cut(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of an image in a box (xyxy, pixels of it), SIDE x SIDE."""
    x1, y1, x2, y2 = np.rint(box).astype(int)
    part = image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    return cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def picture(
    frames: list[np.ndarray], box: np.ndarray, found: np.ndarray, sentences: dict[str, str]
) -> np.ndarray:
    """One tube: frame, crops, flow and sentences, one below the other.

    Args:
        frames: (H, W, 3) BGR, those of the tube, oldest first.
        box, found: (4,) xyxy, pixels: crop and object.
        sentences: What each is about to the sentence.
    """
    flow = FrameFlow(pairs=1)
    crops = np.hstack([cut(frame, box) for frame in frames])
    motion = [np.zeros((SIDE, SIDE, 3), np.uint8)]
    for pair in zip(frames, frames[1:], strict=False):
        moved, scale = flow(pair), flow.scale(pair[1])
        motion.append(cut(flow_picture(moved / scale), box * scale))
    whole = frames[-1].copy()
    for (x1, y1, x2, y2), width in ((np.rint(box).astype(int), 2), (np.rint(found).astype(int), 1)):
        cv2.rectangle(whole, (int(x1), int(y1)), (int(x2), int(y2)), (60, 220, 255), width)
    width = crops.shape[1]
    whole = cv2.resize(whole, (width, round(whole.shape[0] * width / whole.shape[1])))
    text = np.full((18 * len(sentences) + 6, width, 3), 32, np.uint8)
    for line, (about, sentence) in enumerate(sentences.items()):
        at = (6, 18 * line + 16)
        cv2.putText(text, f'{about}: {sentence}', at, _FONT, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    return np.vstack([whole, crops, np.hstack(motion), text])


def chosen(tubes: dict[str, ObjectTubes], number: int) -> list[tuple[str, int]]:
    """Video and number of tubes spread evenly over all."""
    every = [(video, tube) for video, held in tubes.items() for tube in range(len(held))]
    picks = np.linspace(0, len(every) - 1, min(number, len(every))).round().astype(int)
    return [every[pick] for pick in picks]


def main(args: argparse.Namespace) -> None:
    if args.number < 1:
        raise ValueError(f'--number: expected at least one tube, got {args.number}')
    cfg = read_config(args.config, args.cfg_options, args.work_dir)
    work_dir, spec = WorkDir(Path(cfg.work_dir)), TubeSpec.of(part_of(cfg, 'model.tube'))
    with DefaultScope.overwrite_default_scope('mmvad'):
        key = 'train_dataset' if args.split == 'training' else 'test_dataset'
        videos = DATASETS.build(part_of(cfg, key))
    tubes = {}
    for video in videos.lengths:
        path = tubes_path(work_dir.stage('proposals', args.split), video)
        if not path.is_file():
            raise FileNotFoundError(f'{path}: no such boxes; run the stage first (--stage tubes)')
        tubes[video] = ObjectTubes.load(path)
    out = args.out_dir or work_dir.root / 'browse' / args.split
    for video, tube in chosen(tubes, args.number):
        held, source = tubes[video], videos.source(video)
        path = captions_path(work_dir.stage('captions'), video)
        said = read_captions(path)[tube] if args.split == 'training' and path.is_file() else {}
        image = picture(
            steps(source, spec, int(held.frames[tube])), held.boxes[tube], held.objects[tube], said
        )
        file = out / f'{video.replace("/", "_")}_{tube}.jpg'
        with atomic_path(file) as tmp:
            tmp.write_bytes(cv2.imencode('.jpg', image)[1].tobytes())
        if args.show:
            cv2.imshow(str(file), image)
            cv2.waitKey()
            cv2.destroyAllWindows()
    print(f'{len(chosen(tubes, args.number))} tubes of {sum(map(len, tubes.values()))}: {out}')


def steps(source: FrameSource, spec: TubeSpec, frame: int) -> list[np.ndarray]:
    """Frames of the tube that scores a frame, oldest first."""
    return [source[number] for number in range(frame - spec.first_scored, frame + 1)]


if __name__ == '__main__':
    cli.run(main, make_parser())
