"""The learned parts of LocalVAD as ONNX graphs, and a model's parts run by ONNX Runtime.

Shape letters: n objects, T steps of a tube, C channels of a crop or of a detector's tokens, H x W
the crop, S tokens of an object, N_q queries, E_d output dimension, O motion components; 2 are the
branches.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from mmcv.cnn import fuse_conv_bn
from torch import Tensor, nn

from mmvad.structures.onnx_graph import OPSET, OnnxGraph, check_provider, export_graph

from .spatial import SpatialModel
from .temporal import TemporalModel

if TYPE_CHECKING:
    from .localvad import LocalVAD

# Objects that a graph is traced with: not 1, which exporters take for a constant.
_TRACED = 2


class _Branches(nn.Module):
    """What the branches look at, as it comes out of the pipeline, to patterns."""

    def __init__(self, spatial: SpatialModel, crops: bool) -> None:
        super().__init__()
        self.spatial, self.crops = spatial, crops

    def forward(self, inputs: Tensor) -> Tensor:
        if self.crops:
            inputs = self.spatial.data_preprocessor.normalize(inputs)
        return self.spatial.extract_feat(inputs)


class _Errors(nn.Module):
    """Patterns of whole tubes to the errors of their prediction."""

    def __init__(self, temporal: TemporalModel) -> None:
        super().__init__()
        self.temporal = temporal

    def forward(self, patterns: Tensor) -> Tensor:
        return self.temporal.errors(patterns)


class _Step(nn.Module):
    """One step of a stream."""

    def __init__(self, temporal: TemporalModel) -> None:
        super().__init__()
        self.temporal = temporal

    def forward(self, patterns: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.temporal.step(patterns, state)


@dataclass(frozen=True)
class Part:
    """A part of a model that makes one graph.

    Args:
        network: In eval mode.
        inputs: Name to an example, float32, of :data:`_TRACED` objects.
        outputs: Names.
        says: What it computes, for people.
    """

    network: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    says: str

    def export(self) -> bytes:
        """The graph, of any number of objects.

        Raises:
            ValueError: If the part cannot be expressed in ONNX.
        """
        dynamic = {name: {0: 'objects'} for name in (*self.inputs, *self.outputs)}
        try:
            return export_graph(self.network, self.inputs, dynamic, self.outputs)
        # Whatever an exporter comes up with.
        except Exception as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"runtime='onnx': opset {OPSET} cannot express it ({said})") from error


def onnx_parts(model: LocalVAD) -> dict[str, Part]:
    """The parts of a model that ONNX graphs are made of.

    - ``branches``: ``crops`` (n, C, H, W), BGR in grey levels and, if C is 5, flow, or a detector's
      ``tokens`` (n, S, C), to ``patterns`` (n, 2, N_q, E_d): normalisation, backbones or the
      tokens' projection, ITAM's image sides;
    - ``errors``, with a temporal part: ``patterns`` (n, T, 2, N_q, E_d), oldest first, to
      ``errors`` (n,);
    - ``step``, likewise: ``patterns`` (n, 2, N_q, E_d) of one step and ``state`` (n, O), or
      (n, O, O) where each component has a state of its own, to ``values``, ``prediction`` and
      ``next_state``; see :meth:`TemporalModel.step`.

    Args:
        model: With its weights, on any device: later changes of these do not count.
    """
    branches = model.spatial.branches.values()
    first = next(iter(branches))
    crops = first.takes == 'crops'
    if crops:
        look = torch.zeros(_TRACED, model.tube.channels, *model.tube.crop_size)
    else:
        look = torch.zeros(
            _TRACED, first.backbone.num_tokens - 1, max(b.in_channels for b in branches)
        )
    spatial = fuse_conv_bn(copy.deepcopy(model.spatial).cpu().eval())
    # Crops of another size than the model's, or tokens of another grid, are no input of the graph.
    parts = {
        'branches': Part(
            _Branches(spatial, crops).eval(),
            {'crops' if crops else 'tokens': look},
            ('patterns',),
            'crops (BGR, grey levels; then flow) or tokens of objects to local patterns',
        )
    }
    if model.temporal is not None:
        temporal = copy.deepcopy(model.temporal).cpu().eval()
        tubes = torch.zeros(_TRACED, temporal.steps, *temporal.feature_shape)
        parts['errors'] = Part(
            _Errors(temporal).eval(),
            dict(patterns=tubes),
            ('errors',),
            'patterns of all steps of tubes, oldest first, to the errors of their prediction',
        )
        parts['step'] = Part(
            _Step(temporal).eval(),
            dict(patterns=tubes[:, 0], state=temporal.smm.initial_state(_TRACED)),
            ('values', 'prediction', 'next_state'),
            'patterns of one step and the state before it, at first zeros, to what was to be '
            'predicted of this step, the prediction of later ones, and the state after it',
        )
    return parts


class OnnxParts:
    """The branches and the prediction errors of a model, computed by ONNX Runtime.

    Args:
        graphs: Those of :func:`onnx_parts` by name; ``step`` is of no use here.
    """

    def __init__(self, graphs: Mapping[str, OnnxGraph]) -> None:
        self._graphs = dict(graphs)
        ((self._looks_at, shape),) = self._graphs['branches'].inputs.items()
        self._channels = shape[-1]

    @classmethod
    def of(cls, model: LocalVAD) -> OnnxParts:
        """Of a model with its weights, in eval mode; the graphs run on its device.

        Raises:
            ValueError: If ONNX Runtime does not run there, or a part has no graph.
        """
        device = next(model.spatial.parameters()).device
        check_provider(device)
        wanted = {name: part for name, part in onnx_parts(model).items() if name != 'step'}
        return cls({name: OnnxGraph(part.export(), device) for name, part in wanted.items()})

    def patterns(self, inputs: Tensor) -> Tensor:
        """(n, 2, N_q, E_d) of crops (n, C, H, W), not normalised, or tokens (n, S, C); flow, which
        comes last, may be there for no branch."""
        if self._looks_at == 'tokens' and inputs.shape[-1] == self._channels + 2:
            inputs = inputs[..., : self._channels]
        return self._graphs['branches'].run({self._looks_at: inputs.float()})[0]

    def errors(self, patterns: Tensor) -> Tensor:
        """(n,), as :meth:`TemporalModel.errors` of (n, T, 2, N_q, E_d)."""
        return self._graphs['errors'].run(dict(patterns=patterns.float()))[0]
