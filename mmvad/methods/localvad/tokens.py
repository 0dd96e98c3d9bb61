"""Stage ``tokens``: what a frozen detector sees of every training tube (paper, section 3.2: H)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from torch import Tensor

from mmvad.datasets import sweep, token_names
from mmvad.engine import BaseStage, Job
from mmvad.methods.objects import store_measurements
from mmvad.methods.objects.features import prepare_transforms
from mmvad.methods.objects.tubes import load_tubes, tube_fields
from mmvad.registry import STAGES, TRANSFORMS
from mmvad.structures import ObjectTubes, TubeSpec


@STAGES.register_module()
class TokensStage(BaseStage):
    """Cut the tokens that the branches learn from out of a detector's maps, once, since it is
    frozen: of the last step of every training tube, ``tokens/<video>.npy`` (n, S, C) float16 and,
    with ``model.tube.flow``, at every stride, ``flow_<stride>/<video>.npy`` (n, S, 2) float16.
    """

    needs = ('tubes/training',)
    leaves = ('*/**/*.npy',)
    config = ('model.tube.tokens', 'model.tube.flow', 'model.tube.strides')
    optional = config[1:]
    reads_frames = 'training'
    hashed = False
    shared = True

    def check(self, cfg: Config) -> None:
        tokens = TubeSpec.of(cfg.model.tube).tokens
        if tokens is None:
            raise ValueError(
                f'model.tube.tokens: expected what stages.{self.name} stores, such as '
                "dict(type='CutTubeTokens')"
            )
        TRANSFORMS.build(dict(tokens))

    def prepare(self, config: Mapping[str, Any]) -> None:
        prepare_transforms(config)

    def run(self, job: Job) -> None:
        spec, videos = TubeSpec.of(tube_fields(job.config)), job.videos('training')
        flow = [] if spec.flow is None else [TRANSFORMS.build(dict(spec.flow))]
        transforms = [*flow, TRANSFORMS.build(dict(spec.tokens))]
        # Without flow a tube looks the same at every stride.
        strides = spec.strides if flow else (1,)
        store_measurements(
            job,
            load_tubes(job, 'tubes/training', 'training'),
            token_names(strides, bool(flow)),
            lambda video, tubes: last_steps(videos.source(video), tubes, transforms, strides),
        )


def last_steps(
    source: Sequence[np.ndarray],
    tubes: ObjectTubes,
    transforms: Sequence[BaseTransform | Callable[[dict], dict]],
    strides: Sequence[int],
) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
    """The tokens of the last step of the tubes of one video, as it is and fast-forwarded.

    Args:
        source: The video's frames.
        tubes: Its objects.
        transforms: What gives ``visual_tokens`` and, at any stride, ``token_flows``.
        strides: Strides, in frames.

    Yields:
        (n,) numbers of the tubes of a frame, and what :func:`~mmvad.datasets.token_names` says of
        them.
    """
    context = max(getattr(transform, 'context', 0) for transform in transforms)
    wanted = np.unique(tubes.frames)
    for frame, imgs in sweep(source, wanted, 1 + context * max(strides)):
        rows, measured = tubes.at(frame), {}
        for stride in strides:
            results = dict(
                imgs=imgs[-1 - context * stride :: stride],
                boxes=tubes.boxes[rows],
                objects=tubes.objects[rows],
            )
            for transform in transforms:
                results = transform(results)
            measured['tokens'] = torch.from_numpy(results['visual_tokens'][:, -1])
            if 'token_flows' in results:
                measured[f'flow_{stride}'] = torch.from_numpy(results['token_flows'][:, -1])
        yield np.arange(rows.start, rows.stop), measured
