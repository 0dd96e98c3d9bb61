"""Pipelines that follow from what a tube is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmvad.registry import TRANSFORMS
from mmvad.structures import TubeSpec


def inference_pipeline(tube: TubeSpec) -> list[dict[str, Any]]:
    """From the frames and boxes of one frame's tubes to what a model takes.

    Args:
        tube: What a tube is.

    Returns:
        Configs of transforms; see :class:`~mmvad.datasets.TubeSweep` for what they start from.
    """
    pipeline = []
    if tube.flow is not None:
        pipeline.append(dict(tube.flow))
    if tube.crop_size is not None:
        pipeline.append(dict(type='CropTubes', size=tube.crop_size))
    if tube.tokens is not None:
        pipeline.append(dict(tube.tokens))
    pipeline += [dict(transform, name=name) for name, transform in tube.measure.items()]
    return [*pipeline, dict(type='PackTubeInputs')]


def training_pipeline(
    tube: TubeSpec, captions: str | Path, context_length: int, keep_mb: int = 64
) -> list[dict[str, Any]]:
    """From one training tube to the crop of its last step and its sentences.

    Args:
        tube: What a tube is.
        captions: Folder of the caption files.
        context_length: S_t, tokens of a sentence.
        keep_mb: Flow fields kept in memory from one epoch to the next, 2**20 bytes.

    Returns:
        Configs of transforms; see :class:`~mmvad.datasets.TubeDataset` for what they start from.

    Raises:
        ValueError: If nothing is cropped.
    """
    if tube.crop_size is None:
        raise ValueError('model.tube.crop_size: expected the size of the crops to learn from')
    flow, depth = [], 1
    if tube.flow is not None:
        flow = [dict(tube.flow, keep_mb=keep_mb)]
        # The flow of one step needs the frames before it.
        depth += TRANSFORMS.build(flow[0]).context
    return [
        dict(type='LoadTubeFrames', depth=depth, strides=tube.strides),
        *flow,
        dict(type='CropTubes', size=tube.crop_size),
        *text_pipeline(captions, context_length),
    ]


def text_pipeline(captions: str | Path, context_length: int) -> list[dict[str, Any]]:
    """From what a branch sees of one training tube to that and its sentences.

    Args:
        captions: Folder of the caption files.
        context_length: S_t, tokens of a sentence.
    """
    return [
        dict(type='LoadTubeCaptions', folder=str(captions)),
        dict(type='TokenizeCaptions', context_length=context_length),
        dict(type='PackTubeInputs', single=True),
    ]
