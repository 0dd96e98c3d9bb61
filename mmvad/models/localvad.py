"""LocalVAD: the two parts and the scores, in one model (paper, section 3).

Shape letters: n tubes, T steps of a tube (window + horizon), C channels of a crop or of a
detector's tokens, H x W the crop, S tokens of an object, N_q queries, E_d output dimension; 2 are
the branches.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvad.registry import MODELS
from mmvad.structures import TubeSpec

from .object_vad import ObjectVAD
from .onnx_parts import OnnxParts


def temporal_config(temporal: Mapping[str, Any], tube: TubeSpec) -> dict[str, Any]:
    """The config of a temporal part for tubes of this window and horizon.

    Raises:
        ValueError: If it names a window or horizon itself.
    """
    smm = dict(temporal['smm'])
    for key in ('window', 'horizon'):
        if key in smm:
            raise ValueError(f'model.temporal.smm.{key}: set model.tube.{key} instead')
        smm[key] = getattr(tube, key)
    return dict(temporal, smm=smm)


@MODELS.register_module()
class LocalVAD(ObjectVAD):
    """Frozen spatial part, temporal part and scorer; training it trains the temporal part.

    Stored of each tube is ``patterns`` (n, T, 2, N_q, E_d) float16. Terms can look at
    ``prediction_error`` (n,), with a temporal part, and, by the name of each branch, at its
    patterns (n, N_q * E_d), averaged over the tube.

    Args:
        tube: See :class:`ObjectVAD`; its window and horizon are those of the temporal part.
        spatial: Config of the :class:`SpatialModel`; its text sides are dropped.
        temporal: Config of the :class:`TemporalModel`; None: only measure.
        scorer: See :class:`ObjectVAD`.

    Raises:
        ValueError: If the parts do not fit each other.
    """

    def __init__(
        self,
        tube: Mapping[str, Any],
        spatial: dict,
        temporal: dict | None = None,
        scorer: dict | None = None,
    ) -> None:
        # The names of the branches are quantities, and these are checked when the base is built.
        self._branches = tuple(sorted(spatial['branches']))
        self._predicts = temporal is not None
        own = {'patterns', 'prediction_error', *self._branches}
        if taken := own & set(TubeSpec.of(tube).measure):
            raise ValueError(
                f'model.tube.measure.{min(taken)}: the model itself has a quantity of this name'
            )
        super().__init__(tube, scorer)
        self.spatial = MODELS.build(spatial)
        self.spatial.drop_text()
        self.spatial.requires_grad_(False)
        for name, branch in self.spatial.branches.items():
            if branch.takes != self.tube.gives:
                raise ValueError(
                    f'model.spatial.branches.{name}.backbone: takes {branch.takes}, but model.tube '
                    f'gives {self.tube.gives or "neither"}; model.tube.tokens gives tokens, '
                    'model.tube.crop_size crops'
                )
            # How many channels a detector's maps have shows when it is run.
            if branch.takes == 'crops' and branch.in_channels > self.tube.channels:
                raise ValueError(
                    f'model.spatial.branches.{name}.in_channels: {branch.in_channels} channels '
                    'hold flow, but model.tube.flow is None'
                )
        self.temporal = None
        if temporal is not None:
            self.temporal = MODELS.build(temporal_config(temporal, self.tube))
            if self.spatial.feature_shape != self.temporal.feature_shape:
                raise ValueError(
                    'model.temporal: (branches, num_queries, embed_dim) '
                    f'{self.temporal.feature_shape} differs from the spatial part, '
                    f'{self.spatial.feature_shape}'
                )
        self._fast: torch.nn.Module | None = None
        self._onnx: OnnxParts | None = None

    def _apply(self, *args: Any, **kwargs: Any) -> LocalVAD:
        # Moved or cast: the copy for inference was not.
        self._fast = self._onnx = None
        return super()._apply(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self._fast = self._onnx = None
        return super().load_state_dict(*args, **kwargs)

    @property
    def measurements(self) -> tuple[str, ...]:
        return ('patterns', *super().measurements)

    @property
    def quantity_names(self) -> tuple[str, ...]:
        error = ('prediction_error',) if self._predicts else ()
        return (*error, *self._branches, *self.tube.measure)

    def train(self, mode: bool = True) -> LocalVAD:
        """The spatial part stays in evaluation mode."""
        super().train(mode)
        self.spatial.eval()
        return self

    def optimize_for_inference(self, runtime: str | None = None) -> LocalVAD:
        """Extract with a copy of the branches that gives the same, half as fast again on a CPU.

        With ``'onnx'`` ONNX Runtime computes the branches and the prediction errors, the same to
        float noise. See :meth:`ObjectVAD.optimize_for_inference`.
        """
        super().optimize_for_inference(runtime)
        self._fast = self._onnx = None
        if self._runtime == 'onnx':
            self._graphs()
            return self
        fused = fuse_conv_bn(copy.deepcopy(self.spatial).eval())
        # Not among the modules: it holds no weights of its own that a checkpoint would want.
        object.__setattr__(self, '_fast', fused.to(memory_format=torch.channels_last))
        return self

    def _graphs(self) -> OnnxParts:
        """Made once more after the model was moved or took other weights."""
        if self._onnx is None:
            self._onnx = OnnxParts.of(self)
        return self._onnx

    @torch.no_grad()
    def extract(self, item: Mapping[str, Any]) -> dict[str, Tensor]:
        """See :meth:`ObjectVAD.extract`; ``inputs`` are crops (n, T, C, H, W), BGR and, if C is 5,
        flow, or a detector's tokens (n, T, S, C), oldest first."""
        if self._runtime == 'onnx':
            inputs, extract = item['inputs'], self._graphs().patterns
        else:
            inputs = self.spatial.data_preprocessor(dict(inputs=item['inputs']))['inputs']
            extract = (self._fast or self.spatial).extract_feat
        patterns = extract(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        return dict(super().extract(item), patterns=patterns.half())

    def quantities(self, measurements: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = dict(measurements)
        inputs = values.pop('patterns')
        patterns = inputs.float().mean(dim=1).flatten(2).unbind(dim=1)
        values.update(zip(self._branches, patterns, strict=True))
        if self._predicts and (self.scorer is None or 'prediction_error' in self.scorer.quantities):
            by = self._graphs() if self._runtime == 'onnx' else self.temporal
            values['prediction_error'] = by.errors(inputs)
        return values

    def forward(
        self,
        inputs: Mapping[str, Tensor | Sequence[Tensor]],
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[BaseDataElement]:
        """As :meth:`ObjectVAD.forward`; in mode ``'loss'`` that of the temporal part on ``inputs``
        ``patterns`` (B, T, 2, N_q, E_d)."""
        if mode == 'loss':
            return self.temporal(inputs['patterns'], mode='loss')
        return super().forward(inputs, data_samples, mode)
