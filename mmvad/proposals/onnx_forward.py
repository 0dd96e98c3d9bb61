"""An mmdet detector's network in ONNX Runtime; what comes before and after it stays mmdet's.

Shape letters: H x W the input, padded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from mmvad.structures.onnx_graph import OnnxGraph, check_provider, export_graph

# (H, W) of the noise that a graph is traced with, and of what it is then held against torch with:
# numbers that tracing has frozen show at other sizes. Small, so that this takes seconds; not below
# the 300 of SSD. The last is no multiple of anything, for detectors that do not pad their input.
TRACED, CHECKED = (320, 384), ((448, 320), (421, 333))
# Of the largest value of a map; float noise is about 1e-5.
TOLERANCE = 1e-3


def forward_by_onnx(model: nn.Module, found: dict[str, Any], config: str) -> None:
    """Have a detector of mmdet compute what ``extract_feat`` does in ONNX Runtime.

    The forward pass of a head goes along where it is the dense head of a single-stage detector, as
    of YOLOX, RTMDet or RPN, and can be exported; other heads stay in torch.

    Args:
        model: The detector, in eval mode, with its weights: later changes of these do not count.
        found: What forward hooks of the backbone and the neck fill; each pass fills it then.
        config: To name the detector by.

    Raises:
        ValueError: If ONNX Runtime cannot compute backbone and neck, or not on the model's device.
    """
    check_provider(next(model.parameters()).device)
    for head in (True, False) if _has_dense_head(model) else (False,):
        try:
            graph = OnnxForward(model, found, head)
            break
        # Whatever an exporter or a runtime comes up with.
        except Exception as error:
            reason = error
    else:
        raise ValueError(
            f"{config}: ONNX Runtime cannot run its backbone and neck; use runtime='torch' "
            f'({(str(reason).strip() or type(reason).__name__).splitlines()[0]})'
        ) from reason
    said = {}

    def extract_feat(inputs: Tensor) -> Any:
        said.update(graph(inputs))
        found.update(said['found'])
        return said['feats']

    model.extract_feat = extract_feat
    if head:
        model.bbox_head.forward = lambda feats: said['head']


def _has_dense_head(model: nn.Module) -> bool:
    """Whether all that is between features and boxes is ``bbox_head.forward(features)``."""
    from mmdet.models import SingleStageDetector
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    return (
        getattr(type(model), 'predict', None) is SingleStageDetector.predict
        and getattr(type(model.bbox_head), 'predict', None) is BaseDenseHead.predict
    )


class OnnxForward:
    """A graph of any input size, made and checked once.

    Args:
        model, found: See :func:`forward_by_onnx`.
        head: Whether to export the forward pass of ``model.bbox_head`` too.

    Raises:
        Exception: What the exporter or ONNX Runtime raises; a ValueError if the graph does not
            compute what torch does.
    """

    def __init__(self, model: nn.Module, found: dict[str, Any], head: bool) -> None:
        self.device = next(model.parameters()).device
        network = _Network(model, found, head).eval()
        noise = dict(image=self._noise(TRACED))
        graph = export_graph(network, noise, dict(image={2: 'height', 3: 'width'}))
        self._graph = OnnxGraph(graph, self.device)
        self._layout, self._places = network.layout, network.places
        with torch.no_grad():
            self._check(network, getattr(model.data_preprocessor, 'pad_size_divisor', 1))

    def _noise(self, size: tuple[int, int]) -> Tensor:
        values = np.random.default_rng(0).uniform(0, 255, (1, 3, *size))
        return torch.from_numpy(values.astype(np.float32)).to(self.device)

    def _check(self, network: nn.Module, divisor: int) -> None:
        """Hold the graph against torch, at sizes that are multiples of ``divisor``."""
        for number, size in enumerate(CHECKED):
            inputs = self._noise(tuple(-(-side // divisor) * divisor for side in size))
            try:
                expected = network(inputs)
            except RuntimeError:
                if number == 0:
                    raise
                continue  # torch cannot do it either: its test pipeline pads
            for ours, theirs in zip(self._run(inputs), expected, strict=True):
                if ours.shape != theirs.shape:
                    raise ValueError('the exported graph gives maps of another shape')
                off, most = (ours - theirs).abs().max(), theirs.abs().max()
                if not off <= TOLERANCE * most:
                    raise ValueError(f'the exported graph is off by {off:.2g} of {most:.2g}')

    def __call__(self, inputs: Tensor) -> dict[str, Any]:
        """A (1, 3, H, W) input to what :class:`_Network` says of it."""
        unique = self._run(inputs)
        return tree_unflatten([unique[place] for place in self._places], self._layout)

    def _run(self, inputs: Tensor) -> list[Tensor]:
        return self._graph.run(dict(image=inputs))


class _Network(nn.Module):
    """What is exported: an input to its maps, each tensor once.

    ``layout`` and ``places`` say how these make up a dict: ``found``, what hooks of the backbone
    and the neck found; ``feats``, what ``extract_feat`` returns; ``head``, what the head does.
    """

    def __init__(self, model: nn.Module, found: dict[str, Any], head: bool) -> None:
        super().__init__()
        self.model, self.found, self.head = model, found, head

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        self.found.clear()
        feats = self.model.extract_feat(image)
        said = dict(found=dict(self.found), feats=feats)
        if self.head:
            said.update(head=self.model.bbox_head(feats))
        leaves, self.layout = tree_flatten(said)
        if not all(isinstance(leaf, Tensor) for leaf in leaves):
            raise TypeError('the network gives more than tensors')
        unique = {id(leaf): leaf for leaf in leaves}
        order = {key: place for place, key in enumerate(unique)}
        self.places = [order[id(leaf)] for leaf in leaves]
        return tuple(unique.values())
