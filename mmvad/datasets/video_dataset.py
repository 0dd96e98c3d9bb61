"""Videos of one split of a dataset, as frame folders or video files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset

from mmvad.registry import DATASETS

from .annotations import VideoAnnotation, read_annotations
from .frames import VIDEO_SUFFIXES, FrameSource, by_number, list_images
from .ground_truth.labels import read_labels


@DATASETS.register_module()
class VideoDataset(BaseDataset):
    """The videos of one split; an item is one whole video.

    They are listed by an annotation file, or by looking into a folder.

    Args:
        data_root: Folder of the dataset.
        ann_file: Annotation file below ``data_root`` (see :mod:`mmvad.datasets.annotations`), which
            names the videos and holds their labels.
        data_prefix: Without ``ann_file``: ``dict(img='training/frames')`` for a folder with one
            folder of images a video, or ``dict(video='training_videos')`` for a folder of video
            files.
        labels: Without ``ann_file``: ``dict(format=..., path=...)`` of the frame-level ground
            truth, the path below ``data_root``; formats in
            :mod:`mmvad.datasets.ground_truth.labels`. None: there are no labels.
        pixel_masks: Without ``ann_file``: where the pixel masks of a video are below ``data_root``
            (see :func:`~mmvad.datasets.ground_truth.pixel_masks.read_pixel_masks`), with
            ``{video}`` for its name.
        pipeline: Transforms of a video's ``dict(video, filename or frame_dir, total_frames)``.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If a folder is empty, or two videos have one name; the message names it.
    """

    def __init__(
        self,
        data_root: str,
        data_prefix: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        pixel_masks: str | None = None,
        ann_file: str = '',
        pipeline: list | tuple = (),
        **kwargs,
    ) -> None:
        if ann_file:
            if data_prefix or labels or pixel_masks:
                raise ValueError(
                    f'ann_file: {ann_file} names videos, labels and masks; drop data_prefix, '
                    'labels and pixel_masks'
                )
            data_prefix = {}
        elif len(data_prefix or {}) != 1 or not set(data_prefix) <= {'img', 'video'}:
            raise ValueError(
                f'data_prefix: expected dict(img=...) or dict(video=...), got {data_prefix}'
            )
        self.label_cfg = labels
        self.mask_path = pixel_masks
        super().__init__(
            ann_file=ann_file,
            pipeline=list(pipeline),
            data_root=str(data_root),
            data_prefix=dict(data_prefix),
            test_mode=True,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        infos = self._annotated() if self.ann_file else self._found()
        for name in (info['video'] for info in infos):
            # Output files are named after it.
            if Path(name).is_absolute() or '..' in Path(name).parts:
                raise ValueError(
                    f'{self.ann_file}: video {name!r}: expected a name that leads nowhere else'
                )
        return infos

    def _annotated(self) -> list[dict]:
        self.annotation_metainfo, annotations = read_annotations(self.ann_file)
        infos = []
        for annotation in annotations:
            path = Path(self.data_root) / annotation.path
            if not path.exists():
                raise FileNotFoundError(
                    f'{path}: no such frames, but {self.ann_file} names them '
                    f'(video {annotation.video})'
                )
            where = dict(frame_dir=str(path)) if path.is_dir() else dict(filename=str(path))
            infos.append(
                dict(
                    video=annotation.video,
                    total_frames=annotation.num_frames,
                    annotation=annotation,
                    **where,
                )
            )
        return infos

    def _found(self) -> list[dict]:
        kind, folder = next(iter(self.data_prefix.items()))
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(
                f'{folder}: no such folder (data_root {self.data_root!r}, data_prefix.{kind})'
            )
        if kind == 'img':
            paths = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith('.')]
        else:
            paths = [p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES]
        if not paths:
            what = 'folder of frames' if kind == 'img' else 'video file'
            raise ValueError(f'{folder}: expected at least one {what} in it, found none')
        infos = []
        # By number, since some label files go by the order: 10 comes after 9, not after 1.
        for path in sorted(paths, key=lambda path: by_number(path.name)):
            frames = len(list_images(path)) if kind == 'img' else len(FrameSource(path))
            if frames == 0:
                raise ValueError(f'{path}: an empty folder, expected images')
            where = dict(frame_dir=str(path)) if kind == 'img' else dict(filename=str(path))
            name = path.name if kind == 'img' else path.stem
            infos.append(dict(video=name, total_frames=frames, **where))
        names = [info['video'] for info in infos]
        if len(set(names)) != len(names):
            raise ValueError(f'{folder}: two video files share a name without suffix')
        return infos

    @cached_property
    def lengths(self) -> dict[str, int]:
        """Number of frames of each video, in order."""
        infos = (self.get_data_info(i) for i in range(len(self)))
        return {info['video']: info['total_frames'] for info in infos}

    @cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """``{video: (F,) uint8}``, empty when the config names no labels."""
        if self.ann_file:
            return {annotation.video: annotation.labels for annotation in self._annotations}
        if self.label_cfg is None:
            return {}
        return read_labels(
            self.label_cfg['format'], Path(self.data_root) / self.label_cfg['path'], self.lengths
        )

    @property
    def ground_truth(self) -> str:
        """Where the labels are from."""
        if self.ann_file:
            return self.annotation_metainfo['ground_truth']
        return str(self.label_cfg and Path(self.data_root) / self.label_cfg['path'])

    @property
    def scenes(self) -> dict[str, str]:
        """Video to scene, empty where the annotation file names none."""
        return {a.video: a.scene for a in self._annotations if a.scene}

    @property
    def pixel_masks(self) -> dict[str, Path | None]:
        """Video to its pixel masks, None where there are none."""
        paths = {a.video: a.pixel_masks for a in self._annotations}
        if self.mask_path:
            paths = {video: self.mask_path.format(video=video) for video in self.lengths}
        root = Path(self.data_root)
        return {v: root / paths[v] if paths.get(v) else None for v in self.lengths}

    @property
    def _annotations(self) -> list[VideoAnnotation]:
        if not self.ann_file:
            return []
        return [self.get_data_info(i)['annotation'] for i in range(len(self))]

    def _info(self, video: str) -> dict:
        return self.get_data_info(list(self.lengths).index(video))

    def files(self, video: str) -> list[Path]:
        """The files that a video's frames are in."""
        info = self._info(video)
        if 'frame_dir' in info:
            return list_images(Path(info['frame_dir']))
        return [Path(info['filename'])]

    def source(self, video: str) -> FrameSource:
        """The frames of one video."""
        info = self._info(video)
        source = FrameSource(info.get('frame_dir') or info['filename'])
        if len(source) != info['total_frames']:
            said = f'{self.ann_file} says' if self.ann_file else 'when it was listed it had'
            raise ValueError(
                f'{source.path}: has {len(source)} frames, but {said} {info["total_frames"]}'
            )
        return source
