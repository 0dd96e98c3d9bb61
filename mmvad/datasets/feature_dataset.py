"""Stored features of the frozen branches, for the temporal part.

Shape letters: n tubes, T steps of a tube, N_q queries, E_d output dimension, P numbers measured on
an object; 2 are the branches.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.structures import BaseDataElement, InstanceData

from mmvad.registry import DATASETS
from mmvad.structures import ObjectTubes


@DATASETS.register_module()
class FeatureDataset(BaseDataset):
    """Features that the feature stage stored, memory-mapped.

    In training an item is one tube: ``dict(inputs=(T, 2, N_q, E_d) float16)``. In test mode an
    item is one frame with n >= 1 tubes: ``inputs`` (n, T, 2, N_q, E_d) and ``data_samples``, a
    data element with metainfo ``video`` and ``frame``, the objects' ``pred_instances.bboxes``
    (n, 4) and, where they were measured, ``attributes`` (n, P).

    Args:
        videos: Config of a :class:`VideoDataset`; its labels become metainfo.
        proposals: Folder of ``<video>.npz``.
        features: Folder of ``<video>.npy`` and, where there are any, ``<video>.attributes.npy``.
        window: L, input steps; goes to the metainfo.
        test_mode: Frames instead of tubes.
    """

    def __init__(
        self, videos: dict, proposals: str, features: str, window: int, test_mode: bool = False
    ) -> None:
        self.proposals, self.features = Path(proposals), Path(features)
        video_set = DATASETS.build(videos)
        metainfo = dict(
            videos=video_set.lengths,
            window=window,
            labels=video_set.labels if test_mode else {},
        )
        super().__init__(ann_file='', metainfo=metainfo, test_mode=test_mode)

    def load_data_list(self) -> list[dict]:
        self.tubes, self.arrays, self.attributes, items = {}, {}, {}, []
        for video in self._metainfo['videos']:
            tubes = ObjectTubes.load(self.proposals / f'{video}.npz')
            path = self.features / f'{video}.npy'
            array = np.load(path, mmap_mode='r', allow_pickle=False)
            if array.ndim != 5 or len(array) != len(tubes):
                raise ValueError(
                    f'{path}: expected features of {len(tubes)} tubes, (n, T, 2, N_q, E_d), '
                    f'got shape {array.shape}'
                )
            self.tubes[video], self.arrays[video] = tubes, array
            path = self.features / f'{video}.attributes.npy'
            if path.is_file():
                measured = np.load(path, allow_pickle=False)
                if measured.ndim != 2 or len(measured) != len(tubes):
                    raise ValueError(
                        f'{path}: expected attributes of {len(tubes)} tubes, (n, P), '
                        f'got shape {measured.shape}'
                    )
                self.attributes[video] = torch.from_numpy(measured)
            elif self.attributes and len(tubes):
                raise FileNotFoundError(f'{path}: missing, while other videos have attributes')
            picks = np.unique(tubes.frames) if self.test_mode else range(len(tubes))
            items += [dict(video=video, pick=int(pick)) for pick in picks]
        return items

    def prepare_data(self, idx: int) -> dict:
        info = self.get_data_info(idx)
        array, tubes = self.arrays[info['video']], self.tubes[info['video']]
        if not self.test_mode:
            return dict(inputs=torch.from_numpy(np.array(array[info['pick']])))
        rows = tubes.at(info['pick'])
        sample = BaseDataElement(metainfo=dict(video=info['video'], frame=info['pick']))
        sample.pred_instances = InstanceData(bboxes=torch.from_numpy(tubes.objects[rows].copy()))
        if self.attributes:
            sample.attributes = self.attributes[info['video']][rows]
        return dict(inputs=torch.from_numpy(np.array(array[rows])), data_samples=sample)

    def subset(self, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """At most ``count`` tubes spread evenly over the split.

        Returns:
            (n, T, 2, N_q, E_d) float16; (n,) int64, the number of the video each is from; and
            (n, P) float32 attributes, where they were measured.
        """
        videos = list(self.arrays)
        sizes = np.array([len(self.arrays[video]) for video in videos])
        owner = np.repeat(np.arange(len(videos)), sizes)
        row = np.concatenate([np.arange(size) for size in sizes])
        picks = np.linspace(0, len(row) - 1, min(count, len(row))).round().astype(int)
        picked, measured = [], []
        for number, video in enumerate(videos):
            rows = row[picks[owner[picks] == number]]
            picked.append(np.array(self.arrays[video][rows]))
            if self.attributes and len(rows):
                measured.append(self.attributes[video][rows])
        return (
            torch.from_numpy(np.concatenate(picked)),
            torch.from_numpy(owner[picks]),
            torch.cat(measured) if measured else None,
        )
