"""Ground-truth regions of a test split, for region-level figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmvad.datasets.video_dataset import VideoDataset
from mmvad.evaluation.functional import (
    MIN_REGION_AREA,
    Regions,
    mask_components,
    regions_from_components,
)

from .pixel_masks import check_pixel_masks, read_pixel_masks, volume_shapes


@dataclass(frozen=True)
class MaskRegions:
    """Regions of a split's pixel masks, and how much of the masks is none.

    Args:
        regions: ``videos`` number the videos in the dataset's order; None: there is no region.
        min_region_area: Fewest pixels of a region.
        specks: Number of connected components with fewer pixels, which are no regions.
        speck_frames: Number of frames whose masks hold nothing else, and so no region.
    """

    regions: Regions | None
    min_region_area: int
    specks: int
    speck_frames: int

    @property
    def protocol(self) -> dict[str, int]:
        """The same in numbers, with those of the regions and of their tracks."""
        found = self.regions
        pairs = set() if found is None else set(zip(found.videos, found.tracks, strict=True))
        return dict(
            min_region_area=self.min_region_area,
            regions=0 if found is None else len(found.frames),
            tracks=len(pairs),
            specks=self.specks,
            speck_frames=self.speck_frames,
        )


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


def read_regions(
    videos: VideoDataset, min_region_area: int = MIN_REGION_AREA
) -> MaskRegions | None:
    """Regions of the videos' pixel masks; None where the dataset names no masks.

    Videos without masks of their own hold no region: give masks for all that have anomalies.

    Args:
        videos: The split.
        min_region_area: See :func:`~mmvad.evaluation.functional.regions_from_masks`.

    Raises:
        ValueError: If masks differ from the frames in number or size (the message names both), or
            ``min_region_area`` is no number of pixels.
    """
    parts, specks, speck_frames = [], 0, 0
    for number, (video, path) in enumerate(videos.pixel_masks.items()):
        if path is None:
            continue
        masks = read_pixel_masks(path)
        # The size of frames that are not on disk is what the masks say.
        gone = not videos.need_frames and not any(p.exists() for p in videos.files(video))
        size = masks.shape[1:] if gone else videos.source(video).frame_shape
        expected = (videos.lengths[video], *size)
        if masks.shape != expected:
            raise ValueError(
                f'{path}: masks (F, H, W) {masks.shape}, but the frames of video {video!r} are '
                f'{expected}'
            )
        found = mask_components(masks)
        part = regions_from_components(found, number, min_region_area)
        parts.append(part)
        specks += len(found.frames) - len(part.frames)
        speck_frames += len(np.setdiff1d(found.frames, part.frames))
    if not parts:
        return None
    return MaskRegions(_joined(parts), min_region_area, specks, speck_frames)


def _joined(parts: Sequence[Regions]) -> Regions | None:
    if not any(len(part.frames) for part in parts):
        return None
    names = ('videos', 'frames', 'boxes', 'tracks')
    return Regions(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
