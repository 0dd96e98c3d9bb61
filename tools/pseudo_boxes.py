"""Pseudo boxes of a config's training frames, to train an mmdet detector on.

    python tools/pseudo_boxes.py configs/localvad/ped2_cpu.py

writes work_dirs/ped2_cpu/pseudo_boxes.json, in COCO's format: what the config's foreground proposer
finds in its training videos (no label is read), each object with its box and the convex hull of
its foreground as mask, all of one category. A blob that is hardly one whole object, by what is
usual in its row of the image, is marked as crowd: detectors neither learn it nor take it for
background.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import DictAction
from mmengine.registry import DefaultScope
from pycocotools import mask as coco_mask

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import VideoDataset
from mmvad.datasets.frames import list_images
from mmvad.engine import read_config
from mmvad.proposals import ForegroundProposer
from mmvad.registry import DATASETS, PROPOSERS
from mmvad.structures import write_json

CATEGORY = 'object'


def usual_sizes(boxes: np.ndarray, foot: np.ndarray, tolerance: float) -> np.ndarray:
    """The width and height that a single object usually has where its foot is.

    On flat ground, heights are linear in the row of the foot. Of all lines, that of the single
    objects has the most blobs near it: blobs of several objects are higher and fragments lower,
    but by any factor. Width over height is taken as the same everywhere.

    Args:
        boxes: (N, 4) xyxy, pixels; N > 0.
        foot: (M,) rows to tell usual sizes of, pixels.
        tolerance: Heights are near a line up to this factor.

    Returns:
        (M, 2) width and height, pixels.
    """
    size = np.log(boxes[:, 2:] - boxes[:, :2])
    low, high = np.quantile(boxes[:, 3], [0.05, 0.95])
    span = max(high - low, 1)
    at = np.clip((boxes[:, 3] - low) / span, 0, 1)
    # Every row counts the same, however many blobs are in it.
    rows = np.minimum(at * 10, 9).astype(int)
    weight = 1 / np.bincount(rows)[rows]
    candidates = np.exp(np.linspace(*np.quantile(size[:, 1], [0.01, 0.99]), 60))
    best = (-1.0, 0.0, 0.0)
    for first in candidates:
        for last in candidates:
            off = np.abs(size[:, 1] - np.log(first + at * (last - first)))
            support = weight @ np.clip(1 - off / np.log(tolerance), 0, None)
            best = max(best, (support, first, last))
    _, first, last = best
    off = np.abs(size[:, 1] - np.log(first + at * (last - first)))
    aspect = np.median((size[:, 0] - size[:, 1])[off <= np.log(tolerance)])
    height = first + np.clip((foot - low) / span, 0, 1) * (last - first)
    return np.stack([height * np.exp(aspect), height], axis=1)


def classify(
    boxes: np.ndarray, frame_sizes: np.ndarray, tolerance: float, speck: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which blobs are objects, and which of them are hardly one whole object.

    Args:
        boxes: (N, 4) xyxy, pixels; N > 0.
        frame_sizes: (N, 2) width and height of the frame of each, pixels.
        tolerance: A single object is higher or lower than usual by at most this factor, and wider
            or narrower by at most its square.
        speck: Blobs whose area is less than this share of the usual one are no objects.

    Returns:
        (N,) bool each: is an object; is crowd.
    """
    inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < frame_sizes).all(axis=1)
    # What the frame's edge cuts off would make usual sizes small.
    whole = boxes[inside] if inside.any() else boxes
    usual = usual_sizes(whole, boxes[:, 3], tolerance)
    ratio = (boxes[:, 2:] - boxes[:, :2]) / usual
    # A stride changes the width, not the height.
    single = inside & (np.abs(np.log(ratio)) <= np.log(tolerance) * np.array([2, 1])).all(axis=1)
    return ratio.prod(axis=1) >= speck, ~single


def hull(mask: np.ndarray, box: np.ndarray) -> dict:
    """COCO's run lengths of the convex hull of a mask (H, W) uint8 inside a box (4,) xyxy.

    A hull has no holes where clothes look like the ground.
    """
    x1, y1, x2, y2 = box.astype(int)
    points = cv2.findNonZero(mask[y1:y2, x1:x2]) + np.array([x1, y1])
    filled = cv2.fillConvexPoly(np.zeros_like(mask), cv2.convexHull(points.astype(np.int32)), 1)
    runs = coco_mask.encode(np.asfortranarray(filled))
    return dict(size=[int(side) for side in runs['size']], counts=runs['counts'].decode())


def pseudo_boxes(
    videos: VideoDataset,
    proposer: ForegroundProposer,
    every: int = 4,
    tolerance: float = 1.3,
    speck: float = 0.2,
) -> dict:
    """The content of the annotation file.

    Args:
        videos: Training videos, as folders of images.
        proposer: What finds the blobs.
        every: Look at every so many frames of a video.
        tolerance: See :func:`classify`.
        speck: See :func:`classify`.

    Raises:
        ValueError: If there are video files among the videos, or no objects in them.
    """
    infos = [videos.get_data_info(i) for i in range(len(videos))]
    for info in infos:
        if 'frame_dir' not in info:
            raise ValueError(
                f'{info["filename"]}: a video file; mmdet reads images, so train_dataset '
                f'({videos.data_root}) must consist of folders of images'
            )
    images, annotations, frame_sizes = [], [], []
    proposer.fit([videos.source(info['video']) for info in infos])
    for info in infos:
        source = videos.source(info['video'])
        files = list_images(Path(info['frame_dir']))
        height, width = source.frame_shape
        proposer.start(source)
        for number in range(0, len(source), every):
            frame = source[number]
            file = files[number].relative_to(videos.data_root).as_posix()
            images.append(dict(id=len(images), file_name=file, width=width, height=height))
            boxes = proposer.detect(frame)
            mask = proposer.mask(frame) if len(boxes) else None
            for box in boxes:
                annotations.append(
                    dict(image_id=images[-1]['id'], bbox=box, segmentation=hull(mask, box))
                )
                frame_sizes.append((width, height))
    if not annotations:
        raise ValueError(
            f'{videos.data_root}: the proposer found no objects in {len(images)} training frames; '
            'lower its threshold, min_area or min_side'
        )
    boxes = np.stack([annotation['bbox'] for annotation in annotations])
    is_object, is_crowd = classify(boxes, np.array(frame_sizes), tolerance, speck)
    for annotation, box, crowd in zip(annotations, boxes, is_crowd, strict=True):
        annotation.update(
            bbox=np.r_[box[:2], box[2:] - box[:2]].tolist(),
            area=float(coco_mask.area(annotation['segmentation'])),
            category_id=1,
            iscrowd=int(crowd),
        )
    kept = [annotation for annotation, keep in zip(annotations, is_object, strict=True) if keep]
    for number, annotation in enumerate(kept, 1):  # pycocotools takes an id of 0 for none
        annotation['id'] = number
    return dict(images=images, annotations=kept, categories=[dict(id=1, name=CATEGORY)])


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='staged config file with a ForegroundProposer')
    parser.add_argument('--out', help='default: pseudo_boxes.json in the work dir of the config')
    parser.add_argument('--every', type=int, default=4, help='every so many frames (default: 4)')
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1.3,
        help='blobs higher or lower than usual by a larger factor, or wider or narrower by more '
        'than its square, are marked as crowd (default: 1.3)',
    )
    parser.add_argument(
        '--speck',
        type=float,
        default=0.2,
        help='blobs below this share of the usual area are left out (default: 0.2)',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    return parser


def main(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options)
    DefaultScope.get_instance('pseudo_boxes', scope_name='mmvad')
    proposer = PROPOSERS.build(cfg.proposer) if cfg.get('proposer') else None
    if not isinstance(proposer, ForegroundProposer):
        raise ValueError(
            f'{args.config}: proposer: expected a ForegroundProposer, got {type(proposer).__name__}'
        )
    content = pseudo_boxes(
        DATASETS.build(cfg.train_dataset), proposer, args.every, args.tolerance, args.speck
    )
    out = Path(args.out or Path(cfg.work_dir) / 'pseudo_boxes.json')
    write_json(out, content)
    crowd = sum(annotation['iscrowd'] for annotation in content['annotations'])
    print(
        f'{out}: {len(content["images"])} images, {len(content["annotations"]) - crowd} objects '
        f'and {crowd} blobs marked as crowd'
    )


if __name__ == '__main__':
    cli.run(main, make_parser())
