"""Videos of one split of a dataset, as frame folders or video files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from mmvad.registry import DATASETS

from .annotations import VideoAnnotation, read_annotations
from .find_videos import find_videos
from .frame_check import FrameLimits
from .frames import (
    ASSUMED_RATE,
    VIDEO_SUFFIXES,
    FrameSource,
    by_number,
    is_hidden,
    list_images,
    numbered_names,
)
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
            folder of images a video, ``dict(video='training_videos')`` for a folder of video
            files, or ``dict(any='')`` for both, however deep; see
            :func:`~mmvad.datasets.find_videos`.
        labels: Without ``ann_file``: ``dict(format=..., path=...)`` of the frame-level ground
            truth, the path below ``data_root``; formats in
            :mod:`mmvad.datasets.ground_truth.labels`. None: there are no labels.
        pixel_masks: Without ``ann_file``: where the pixel masks of a video are below ``data_root``
            (see :func:`~mmvad.datasets.ground_truth.pixel_masks.read_pixel_masks`), with
            ``{video}`` for its name.
        value_range: Values of images of more than 8 bits that become 0 and 255; see
            :class:`~mmvad.datasets.FrameSource`.
        limits: Shares of bad frames above which a video is refused; arguments of
            :class:`~mmvad.datasets.FrameLimits`.
        frame_rate: Frames a second of folders of images, which do not tell.
        least_frames: Without ``ann_file``: a video of fewer counts as one that cannot be read.
        need_frames: False: with ``ann_file``, frames need not be on disk, for work on the labels
            alone.
        more_roots: Without ``ann_file``: name to another folder like ``data_root``, or a single
            video. Its videos come after those of ``data_root``, and have names that begin with its
            name.
        on_error: ``'raise'``: a video that cannot be read is refused. ``'skip'``: it is left out,
            and listed in :attr:`skipped`.
        pipeline: Transforms of a video's ``dict(video, filename or frame_dir, total_frames,
            start_index, modality)``, with ``filename_tmpl`` and ``offset`` of folders, as
            mmaction2's transforms ask for.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If a folder is empty, a video cannot be read, or two have one name; the message
            names it.
    """

    def __init__(
        self,
        data_root: str,
        data_prefix: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        pixel_masks: str | None = None,
        ann_file: str = '',
        value_range: Sequence[float] | None = None,
        limits: Mapping[str, float] | None = None,
        frame_rate: float = ASSUMED_RATE,
        least_frames: int = 1,
        need_frames: bool = True,
        more_roots: Mapping[str, str] | None = None,
        on_error: str = 'raise',
        pipeline: list | tuple = (),
        **kwargs,
    ) -> None:
        if ann_file:
            if data_prefix or labels or pixel_masks or more_roots:
                raise ValueError(
                    f'ann_file: {ann_file} names videos, labels and masks; drop data_prefix, '
                    'labels, pixel_masks and more_roots'
                )
            data_prefix = {}
        elif len(data_prefix or {}) != 1 or not set(data_prefix) <= {'img', 'video', 'any'}:
            raise ValueError(
                'data_prefix: expected dict(img=...), dict(video=...) or dict(any=...), got '
                f'{data_prefix}'
            )
        if not (isinstance(least_frames, int) and least_frames >= 1):
            raise ValueError(f'least_frames: expected a whole number >= 1, got {least_frames!r}')
        if on_error not in ('raise', 'skip'):
            raise ValueError(f"on_error: expected 'raise' or 'skip', got {on_error!r}")
        if value_range is not None and not _is_range(value_range):
            raise ValueError(
                'value_range: expected (low, high), finite numbers, low below high, got '
                f'{value_range!r:.100}'
            )
        if not (isinstance(frame_rate, (int, float)) and 0 < frame_rate <= 1000):
            raise ValueError(
                f'frame_rate: expected frames a second above 0, at most 1000, got {frame_rate!r}'
            )
        self.frame_rate = float(frame_rate)
        self.value_range = None if value_range is None else tuple(map(float, value_range))
        self.limits = FrameLimits.of(limits)
        self.least_frames = least_frames
        self.need_frames = need_frames
        self.on_error = on_error
        #: Videos that are left out, and why.
        self.skipped: dict[str, str] = {}
        self._remarks: dict[str, list[str]] = {}
        #: Values of the images that become 0 and 255, once :meth:`remarks` has looked at them; None
        #: for those of 8 bits.
        self.value_range_found = self.value_range
        # All that are listed, in order, which some label files go by; None where it is not known
        # how many frames a video has.
        self._listed: dict[str, int | None] = {}
        # Below `data_root` the base class puts it.
        self._prefix = dict(data_prefix)
        self.more_roots = dict(more_roots or {})
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
            if self.need_frames and not path.exists():
                error = (
                    f'{path}: no such frames, but {self.ann_file} names them '
                    f'(video {annotation.video})'
                )
                self._skip(annotation.video, FileNotFoundError(error))
                continue
            self._listed[annotation.video] = annotation.num_frames
            where = dict(frame_dir=str(path)) if path.is_dir() else dict(filename=str(path))
            infos.append(
                dict(
                    video=annotation.video,
                    total_frames=annotation.num_frames,
                    annotation=annotation,
                    **where,
                )
            )
        if self.skipped and not infos:
            raise ValueError(
                f'{self.ann_file}: none of its {len(self.skipped)} videos can be read: '
                f'{next(iter(self.skipped.values()))}'
            )
        return infos

    def _found(self) -> list[dict]:
        kind, first = next(iter(self.data_prefix.items()))
        folders = {'': (self.data_root, Path(first))}
        for name, root in self.more_roots.items():
            folders[f'{name}/'] = root, Path(root) / self._prefix[kind]
        infos = []
        for name, path in self._named(kind, folders):
            if name in self._listed:
                raise ValueError(f'{path}: another video has the same name, {name!r}')
            try:
                frames = self._count(name, path)
            except (ValueError, OSError) as error:
                self._skip(name, error)
                continue
            self._listed[name] = frames
            where = dict(frame_dir=str(path)) if path.is_dir() else dict(filename=str(path))
            infos.append(dict(video=name, total_frames=frames, **where))
        if not infos:
            raise ValueError(
                f'{first}: none of its {len(self.skipped)} videos can be read: '
                f'{next(iter(self.skipped.values()))}'
            )
        return infos

    def _named(
        self, kind: str, folders: Mapping[str, tuple[str, Path]]
    ) -> Iterator[tuple[str, Path]]:
        """Name and path of each video of several folders, whose names begin as the keys say."""
        for before, (root, folder) in folders.items():
            if not (folder.is_dir() or (kind == 'any' and folder.is_file())):
                raise FileNotFoundError(
                    f'{folder}: no such folder (data_root {root!r}, data_prefix.{kind})'
                )
            for name, path in self._paths(kind, folder):
                yield before + name, path

    @staticmethod
    def _paths(kind: str, folder: Path) -> list[tuple[str, Path]]:
        """Name and path of each video in a folder."""
        if kind == 'any':
            return list(find_videos(folder).items())
        paths = [p for p in folder.iterdir() if not is_hidden(p)]
        if kind == 'img':
            paths = [p for p in paths if p.is_dir()]
        else:
            paths = [p for p in paths if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
        if not paths:
            what = 'folder of frames' if kind == 'img' else 'video file'
            raise ValueError(f'{folder}: expected at least one {what} in it, found none')
        # By number, since some label files go by the order: 10 comes after 9, not after 1.
        paths.sort(key=lambda path: by_number(path.name))
        return [(path.name if kind == 'img' else path.stem, path) for path in paths]

    def _count(self, video: str, path: Path) -> int:
        """Number of frames; what is to be remarked of a video file is kept."""
        if path.is_dir():
            if not (files := list_images(path)):
                raise ValueError(f'{path}: an empty folder, expected images')
            count = len(files)
        else:
            source = FrameSource(path, limits=self.limits)
            self._remarks[video] = source.remarks
            count = len(source)
        if count < self.least_frames:
            raise ValueError(
                f'{path}: has {count} frames, expected at least {self.least_frames} (least_frames)'
            )
        return count

    def _skip(self, video: str, error: Exception) -> None:
        """Leave a video out, or raise what is wrong with it."""
        if self.on_error == 'raise':
            raise error
        self.skipped[video] = str(error)
        self._listed.setdefault(video)

    def prepare_data(self, idx: int) -> Any:
        """An item: a video, through the pipeline.

        Raises:
            ValueError: If the pipeline has mmaction2's ``RawFrameDecode``, and the images of a
                folder are not numbered without gaps, as it asks for.
        """
        info = self.get_data_info(idx)
        info |= dict(start_index=0, modality='RGB')
        if 'frame_dir' in info and self.pipeline.transforms:
            folder = Path(info['frame_dir'])
            names = numbered_names(list_images(folder))
            by_name = [t for t in self.pipeline.transforms if type(t).__name__ == 'RawFrameDecode']
            if names is None and by_name:
                raise ValueError(
                    f'{folder}: images are not numbered without gaps, such as 000.jpg, 001.jpg, as '
                    'RawFrameDecode asks for'
                )
            template, first = names or ('', 0)
            info |= dict(filename_tmpl=template, start_index=first, offset=0)
        return self.pipeline(info)

    def leave_out(self, verdict: Callable[[str], str]) -> None:
        """Leave out videos, as ``on_error='skip'`` asks.

        Args:
            verdict: Gives what is wrong with a video, '' if nothing; see :meth:`examine`.

        Raises:
            ValueError: If no video is left.
        """
        infos = [self.get_data_info(index) for index in range(len(self))]
        bad = {info['video']: found for info in infos if (found := verdict(info['video']))}
        self.skipped |= bad
        kept = [index for index, info in enumerate(infos) if info['video'] not in bad]
        if not kept:
            raise ValueError(f'none of {len(infos)} videos can be used: {next(iter(bad.values()))}')
        self.get_subset_(kept)
        for name in ('lengths', 'labels'):
            self.__dict__.pop(name, None)

    def examine(self, video: str) -> str:
        """Read all frames of a video: what is wrong with it, '' if nothing."""
        try:
            self.source(video).examine()
        except (ValueError, OSError) as error:
            return str(error)
        return ''

    def remarks(self) -> dict[str, list[str]]:
        """What a person should know of the videos' frames, as far as a look tells.

        Raises:
            ValueError: If videos have images of different depths, and no ``value_range`` says what
                is to be the same in all.
        """
        remarks, ranges = {}, {}
        for video in self.lengths:
            is_folder = 'frame_dir' in self._info(video)
            if is_folder or video not in self._remarks:
                source = self.source(video)
                self._remarks[video] = source.remarks
                if is_folder:
                    ranges[video] = source.value_range_found
            remarks[video] = self._remarks[video]
        if self.value_range is None and len(set(ranges.values())) > 1:
            first, *rest = ranges
            other = next(video for video in rest if ranges[video] != ranges[first])
            raise ValueError(
                f'{self.data_root}: images differ in depth: values of video {first!r} are scaled '
                f'from {ranges[first]}, of {other!r} from {ranges[other]}; give the value_range '
                'that becomes 0 to 255 in all'
            )
        self.value_range_found = next(iter(ranges.values()), self.value_range)
        return {video: found for video, found in remarks.items() if found}

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
            self.label_cfg['format'],
            Path(self.data_root) / self.label_cfg['path'],
            self.lengths,
            self._listed,
        )

    @property
    def ground_truth(self) -> str:
        """Where the labels are from."""
        if self.ann_file:
            return self.annotation_metainfo['ground_truth']
        return str(Path(self.data_root) / self.label_cfg['path']) if self.label_cfg else 'none'

    @property
    def metainfo(self) -> dict[str, Any]:
        """What :class:`~mmvad.evaluation.VADMetric` and other users of OpenMMLab datasets read.

        ``videos`` (name to number of frames), ``labels`` (name to (F,) of 0 and 1; none where the
        config names none), what the annotation file says of the dataset (``dataset``, ``split``,
        ``ground_truth``, ...), and over these the argument ``metainfo``.
        """
        found = dict(videos=self.lengths, labels=self.labels)
        said = self.annotation_metainfo if self.ann_file else {}
        return dict(said) | found | super().metainfo

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
        path = info.get('frame_dir') or info['filename']
        source = FrameSource(path, self.value_range, self.limits, self.frame_rate)
        if len(source) != info['total_frames']:
            said = f'{self.ann_file} says' if self.ann_file else 'when it was listed it had'
            raise ValueError(
                f'{source.path}: has {len(source)} frames, but {said} {info["total_frames"]}'
            )
        return source


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, Sequence) and all(isinstance(v, (int, float)) for v in value)
    return numbers and len(value) == 2 and -np.inf < value[0] < value[1] < np.inf
