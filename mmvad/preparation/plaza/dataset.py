"""The plaza as a dataset, written to disk when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping

from mmvad.datasets import VideoDataset
from mmvad.registry import DATASETS

from .writer import write_plaza


@DATASETS.register_module()
class PlazaDataset(VideoDataset):
    """The built-in synthetic dataset; written to ``data_root`` when it is not there.

    Args:
        plaza: Arguments of :func:`mmvad.preparation.plaza.write_plaza`.
        data_root: Where it is, or is written.
    """

    def __init__(self, data_root: str, plaza: Mapping | None = None, **kwargs) -> None:
        write_plaza(data_root, **(plaza or {}))
        super().__init__(data_root=data_root, **kwargs)
