"""Ground-truth regions of a test split, for region-level figures."""

from __future__ import annotations

import numpy as np

from mmvad.datasets.video_dataset import VideoDataset
from mmvad.evaluation.functional import Regions, regions_from_masks

from .pixel_masks import check_pixel_masks, read_pixel_masks, volume_shapes


def check_regions(videos: VideoDataset) -> None:
    """Look whether the videos' pixel masks are there and fit, without reading them all.

    Raises:
        FileNotFoundError, ValueError: Naming the masks, and the key of the config.
    """
    masks = {video: path for video, path in videos.pixel_masks.items() if path is not None}
    volumes = volume_shapes(masks.values())
    for video, path in masks.items():
        shape = (videos.lengths[video], *videos.source(video).frame_shape)
        try:
            check_pixel_masks(path, shape, volumes)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(
                f'{error} (video {video!r}; pixel_masks=None scores without RBDC and TBDC)'
            ) from error


def read_regions(videos: VideoDataset) -> Regions | None:
    """Regions of the videos' pixel masks; None where the dataset names no masks.

    Videos without masks of their own hold no region: give masks for all that have anomalies.

    Raises:
        ValueError: If masks differ from the frames in number or size; the message names both.
    """
    parts = []
    for number, (video, path) in enumerate(videos.pixel_masks.items()):
        if path is None:
            continue
        masks = read_pixel_masks(path)
        expected = (videos.lengths[video], *videos.source(video).frame_shape)
        if masks.shape != expected:
            raise ValueError(
                f'{path}: masks (F, H, W) {masks.shape}, but the frames of video {video!r} are '
                f'{expected}'
            )
        parts.append(regions_from_masks(masks, number))
    if not sum(len(part.frames) for part in parts):
        return None
    names = ('videos', 'frames', 'boxes', 'tracks')
    return Regions(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
