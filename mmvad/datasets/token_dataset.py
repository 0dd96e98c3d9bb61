"""Stored visual tokens of training tubes, for training the branches without a look at frames.

Shape letters: n tubes of a video, S cells of an object, C channels of a detector's feature maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.dataset import Compose

from mmvad.registry import DATASETS, TRANSFORMS

from .measurement_dataset import MeasurementDataset
from .transforms.crops import drawn_stride
from .video_dataset import VideoDataset


def token_names(strides: Sequence[int], flow: bool) -> tuple[str, ...]:
    """What is stored of the last step of tubes: ``tokens`` (n, S, C), which are the same at every
    stride, and the optical flow in their cells, ``flow_<stride>`` (n, S, 2) each, which is not."""
    return ('tokens', *(f'flow_{stride}' for stride in strides if flow))


@DATASETS.register_module()
class TokenDataset(MeasurementDataset):
    """One object tube an item, as its stored tokens and its sentences at one of several strides.

    An item enters the pipeline as ``dict(video, tubes, tube, stride, visual_tokens, token_flows)``:
    the video's name and tubes, the tube's index among them, a stride drawn anew each time, tokens
    (1, 1, S, C) and, with ``flow``, the flow at this stride (1, 1, S, 2), both float16.

    Args:
        videos: A :class:`VideoDataset`, or its config.
        proposals: Folder of the tubes.
        tokens: Folder of what :func:`token_names` says.
        pipeline: Transforms.
        strides: Strides, in frames.
        flow: Whether there is a flow.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file does not fit the tubes, or holds what is not finite.
    """

    def __init__(
        self,
        videos: VideoDataset | dict,
        proposals: str | Path,
        tokens: str | Path,
        pipeline: Sequence[dict],
        strides: Sequence[int] = (1,),
        flow: bool = False,
    ) -> None:
        self.strides = tuple(strides)
        self.flow = flow
        names = token_names(self.strides, flow)
        super().__init__(videos, proposals, tokens, names, first_scored=0)
        self.pipeline = Compose([TRANSFORMS.build(t) for t in pipeline])

    def prepare_data(self, idx: int) -> dict:
        info = self.get_data_info(idx)
        video, tube = info['video'], info['pick']
        stride = drawn_stride(self.strides)
        stored = self.rows(video, slice(tube, tube + 1))
        item = dict(video=video, tubes=self.tubes[video], tube=tube, stride=stride)
        item['visual_tokens'] = stored['tokens'].numpy()[:, None]
        if self.flow:
            item['token_flows'] = stored[f'flow_{stride}'].numpy()[:, None]
        return self.pipeline(item)
