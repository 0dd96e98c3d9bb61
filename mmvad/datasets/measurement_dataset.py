"""What was measured on the tubes of a split, for training on it and scoring it.

Shape letters: n tubes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as brief

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from mmvad.registry import DATASETS
from mmvad.structures import ObjectOrigins, ObjectTubes, measurement_path, tubes_path
from mmvad.structures.array_files import expect_numbers, map_npy

from .video_dataset import VideoDataset


@dataclass(frozen=True)
class MeasuredFrames:
    """Some frames of a split with all their tubes.

    Args:
        measurements: Name to (n, ...).
        frames: (n,) which of the F frames each tube is of.
        videos: (F,) number of the video of each frame.
        numbers: (F,) number of each frame in its video, 0-based.
        held_out: (F,) bool, see :meth:`MeasurementDataset.held_out`.
        objects: (n, 4) xyxy, pixels.
    """

    measurements: dict[str, Tensor]
    frames: np.ndarray
    videos: np.ndarray
    numbers: np.ndarray
    held_out: np.ndarray
    objects: np.ndarray


@DATASETS.register_module()
class MeasurementDataset(BaseDataset):
    """Stored measurements of tubes, memory-mapped.

    In training an item is one tube: ``dict(inputs={name: (...)})``. In test mode an item is one
    frame with n >= 1 tubes: ``inputs`` {name: (n, ...)} and ``data_samples``, a data element with
    metainfo ``video`` and ``frame`` and the objects' ``pred_instances``: ``bboxes`` (n, 4) and
    ``tubes`` (n,), the tubes' numbers in their video.

    The metainfo holds ``videos`` (name to number of frames), ``labels`` (name to (F,); in test mode
    only) and ``first_scored``.

    Args:
        videos: A :class:`VideoDataset`, or its config.
        proposals: Folder of the tubes.
        measurements: Folder of the measurements, see
            :func:`~mmvad.structures.measurement_path`.
        names: The measurements to read; of a single name, not in a list, training items are
            ``dict(inputs=(...))``.
        first_scored: 0-based number of the first frame that can be scored.
        test_mode: Frames instead of tubes.
        held_out: In training: leave out what :meth:`held_out` marks for this share.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file does not fit the tubes, or holds what is not finite.
    """

    def __init__(
        self,
        videos: VideoDataset | dict,
        proposals: str | Path,
        measurements: str | Path,
        names: str | Sequence[str],
        first_scored: int,
        test_mode: bool = False,
        held_out: float = 0.0,
    ) -> None:
        self.videos = DATASETS.build(videos) if isinstance(videos, dict) else videos
        self.proposals, self.measurements = Path(proposals), Path(measurements)
        self.single = names if isinstance(names, str) else None
        self.names = (names,) if self.single else tuple(names)
        self.share = held_out
        metainfo = dict(
            videos=self.videos.lengths,
            labels=self.videos.labels if test_mode else {},
            first_scored=first_scored,
        )
        super().__init__(ann_file='', metainfo=metainfo, test_mode=test_mode)

    def load_data_list(self) -> list[dict]:
        self.tubes = {
            video: ObjectTubes.load(tubes_path(self.proposals, video))
            for video in self.videos.lengths
        }
        self.arrays = {
            video: {name: self._array(name, video, len(tubes)) for name in self.names}
            for video, tubes in self.tubes.items()
        }
        self._check_rows()
        left_out = self.held_out(self.share)
        items = []
        for video, tubes in self.tubes.items():
            if self.test_mode:
                picks = np.unique(tubes.frames)
            else:
                picks = np.flatnonzero(~left_out[video])
            items += [dict(video=video, pick=int(pick)) for pick in picks]
        return items

    def __deepcopy__(self, memo: dict) -> MeasurementDataset:
        # MMEngine's runner copies what it is given. A copy of a memory-mapped array is in memory,
        # all of it, which may be more than there is; nothing changes the original.
        return self

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        # MMEngine cannot join nothing, and in no test video may be an object.
        if self.test_mode and not self.data_list:
            return np.zeros(0, np.uint8), np.zeros(0, np.int64)
        return super()._serialize_data()

    def _array(self, name: str, video: str, count: int) -> np.ndarray:
        path = measurement_path(self.measurements, name, video)
        if not path.is_file():
            raise FileNotFoundError(f'{path}: no such measurements')

        def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
            expect_numbers(str(path), dtype)
            if not dtype.isnative or dtype.itemsize > 8:
                raise ValueError(f'{path}: {dtype} numbers, expected some that torch knows')
            if shape[:1] != (count,):
                raise ValueError(
                    f'{path}: expected a row for each of {count} tubes, got shape {brief(shape)}'
                )

        return map_npy(path, check)

    def _check_rows(self) -> None:
        """That a measurement has one shape: they are joined."""
        for name in self.names:
            shapes = {
                video: arrays[name].shape[1:]
                for video, arrays in self.arrays.items()
                # A video without tubes holds nothing to join: its arrays have no shape of a row.
                if len(arrays[name])
            }
            first = next(iter(shapes), None)
            if other := next((video for video in shapes if shapes[video] != shapes[first]), None):
                paths = [measurement_path(self.measurements, name, v) for v in (first, other)]
                raise ValueError(
                    f'{paths[1]}: rows of shape {shapes[other]}, but of {shapes[first]} in '
                    f'{paths[0]}'
                )

    def held_out(self, share: float) -> dict[str, np.ndarray]:
        """Which tubes a model that is to be calibrated must not have learned from.

        Of several videos, every so many are held out whole; of a single one, its end.

        Args:
            share: Of the videos, or of the single video's tubes; 0: none.

        Returns:
            Video to (n,) bool.
        """
        marks = {video: np.zeros(len(tubes), bool) for video, tubes in self.tubes.items()}
        used = [video for video, tubes in self.tubes.items() if len(tubes)]
        if share <= 0 or not used:
            return marks
        if len(used) > 1:
            every = max(2, round(1 / share))
            # Spread over the split, the first one kept: at least one of either kind.
            for video in used[min(every, len(used)) - 1 :: every]:
                marks[video][:] = True
        else:
            marks[used[0]][int(len(marks[used[0]]) * (1 - share)) :] = True
        return marks

    def prepare_data(self, idx: int) -> dict:
        info = self.get_data_info(idx)
        tubes = self.tubes[info['video']]
        if not self.test_mode:
            item = self.rows(info['video'], info['pick'])
            return dict(inputs=item[self.single] if self.single else item)
        rows = tubes.at(info['pick'])
        sample = BaseDataElement(metainfo=dict(video=info['video'], frame=info['pick']))
        sample.pred_instances = InstanceData(
            bboxes=torch.from_numpy(tubes.objects[rows].copy()),
            tubes=torch.arange(rows.start, rows.stop),
        )
        return dict(inputs=self.rows(info['video'], rows), data_samples=sample)

    def subset(self, count: int, held_out: float = 0.0) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """At most ``count`` tubes spread evenly over the split.

        Args:
            count: Tubes.
            held_out: See :meth:`held_out`.

        Returns:
            Measurements, name to (n, ...); (n,) int64, the number of the video each tube is from;
            (n,) bool, which of them are held out.
        """
        videos = list(self.tubes)
        owners, rows, picks = self._spread(count)
        marks = np.concatenate(list(self.held_out(held_out).values()))
        # A video without tubes is none of these.
        parts = [self.rows(videos[n], rows[owners == n]) for n in np.unique(owners)]
        return (
            {name: torch.cat([part[name] for part in parts]) for name in self.names},
            torch.from_numpy(owners),
            torch.from_numpy(marks[picks]),
        )

    def origins(self, count: int) -> ObjectOrigins:
        """Where the tubes of :meth:`subset` are from, in its order."""
        owners, rows, picks = self._spread(count)
        joined = {
            name: np.concatenate([getattr(tubes, name) for tubes in self.tubes.values()])[picks]
            for name in ('frames', 'objects')
        }
        return ObjectOrigins(
            tuple(self.tubes), owners.astype(np.int32), joined['frames'], joined['objects']
        )

    def _spread(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """At most ``count`` tubes spread evenly over the split: (n,) numbers of their videos, (n,)
        their numbers in these, and (n,) among all tubes."""
        sizes = np.array([len(tubes) for tubes in self.tubes.values()])
        owners = np.repeat(np.arange(len(sizes)), sizes)
        rows = np.concatenate([np.arange(size) for size in sizes])
        picks = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
        return owners[picks], rows[picks], picks

    def whole_frames(self, count: int, held_out: float = 0.0) -> MeasuredFrames:
        """Frames spread evenly over the split, as many as hold about ``count`` tubes.

        Args:
            count: Tubes.
            held_out: See :meth:`held_out`.
        """
        marks = self.held_out(held_out)
        every = max(1, round(sum(map(len, self.tubes.values())) / count))
        parts, frames, videos, numbers, kept, objects = [], [], [], [], [], []
        before = 0
        for index, (video, tubes) in enumerate(self.tubes.items()):
            picked = np.unique(tubes.frames)[::every]
            rows = np.flatnonzero(np.isin(tubes.frames, picked))
            if not len(rows):
                continue
            parts.append(self.rows(video, rows))
            frames.append(before + np.searchsorted(picked, tubes.frames[rows]))
            videos.append(np.full(len(picked), index))
            numbers.append(picked)
            kept.append(marks[video][np.searchsorted(tubes.frames, picked)])
            objects.append(tubes.objects[rows])
            before += len(picked)
        return MeasuredFrames(
            {name: torch.cat([part[name] for part in parts]) for name in self.names},
            *map(np.concatenate, (frames, videos, numbers, kept, objects)),
        )

    def rows(self, video: str, rows: int | slice | np.ndarray) -> dict[str, Tensor]:
        """Tubes of a video: name to (n, ...) of every measurement, read into memory.

        Raises:
            ValueError: If they hold what is not finite. They are looked at as they are used: all
                of them may be more than can be read at the start.
        """
        read = {}
        for name, array in self.arrays[video].items():
            values = np.array(array[rows])
            if not np.isfinite(values).all():
                path = measurement_path(self.measurements, name, video)
                raise ValueError(f'{path}: holds values that are not finite')
            read[name] = torch.from_numpy(values)
        return read
