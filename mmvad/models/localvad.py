"""LocalVAD: the two parts and the scores, in one model (paper, section 3).

Shape letters: n tubes, T steps of a tube (window + horizon), C channels of a crop, H x W the crop,
N_q queries, E_d output dimension; 2 are the branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvad.registry import MODELS
from mmvad.structures import load_fitting_weights, read_weights


@MODELS.register_module()
class LocalVAD(BaseModel):
    """Frozen spatial part, temporal part and scorer; training it trains the temporal part.

    Args:
        spatial: Config of the :class:`SpatialModel`; its text sides are dropped.
        temporal: Config of the :class:`TemporalModel`.
        scorer: Config of the :class:`ObjectScorer`.
    """

    def __init__(self, spatial: dict, temporal: dict, scorer: dict) -> None:
        super().__init__()
        self.spatial = MODELS.build(spatial)
        self.spatial.drop_text()
        self.spatial.requires_grad_(False)
        self.temporal = MODELS.build(temporal)
        self.scorer = MODELS.build(scorer)
        if self.spatial.feature_shape != self.temporal.feature_shape:
            raise ValueError(
                f'model.temporal: (branches, num_queries, embed_dim) '
                f'{self.temporal.feature_shape} differs from the '
                f'spatial part, {self.spatial.feature_shape}'
            )
        if unknown := set(self.scorer.branches) - set(self.spatial.branches):
            raise ValueError(
                f'model.scorer.weights: {sorted(unknown)} are neither smm, attributes nor one of '
                f'the branches {list(self.spatial.branches)}'
            )

    def init_weights(self) -> None:
        """Nothing: MMEngine's runner calls this before training, and would undo the spatial part's
        training; the temporal part's weights are drawn when it is built."""

    def load_trained(self, path: str | Path) -> LocalVAD:
        """Take the weights of a ``localvad.pth``; the scorer's reference set gets the size it has
        there.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no checkpoint or does not fit the model.
        """
        sized = [f'scorer.{name}' for name in self.scorer.resizable]
        load_fitting_weights(self, read_weights(path), path, resizable=sized)
        return self

    def train(self, mode: bool = True) -> LocalVAD:
        """The spatial part stays in evaluation mode."""
        super().train(mode)
        self.spatial.eval()
        return self

    @torch.no_grad()
    def extract(self, crops: Tensor) -> Tensor:
        """Features of every step of every tube.

        Args:
            crops: (n, T, C, H, W), BGR and, if C is 5, flow, oldest first.

        Returns:
            (n, T, 2, N_q, E_d) float32.
        """
        preprocessor = self.spatial.data_preprocessor
        images = preprocessor.normalize(preprocessor.cast_data(crops))
        return self.spatial.extract_feat(images.flatten(0, 1)).unflatten(0, crops.shape[:2])

    def measure(self, inputs: Tensor) -> dict[str, Tensor]:
        """(n, T, 2, N_q, E_d) frozen features to what the scorer takes: the prediction error (n,)
        and each branch's patterns (n, N), averaged over the tube."""
        patterns = inputs.float().mean(dim=1).flatten(2).unbind(dim=1)
        return dict(
            zip(self.spatial.branches, patterns, strict=True),
            smm=self.temporal.errors(inputs),
        )

    @torch.no_grad()
    def calibrate(
        self,
        inputs: Tensor,
        videos: Tensor,
        attributes: Tensor | None = None,
        batch_size: int = 512,
    ) -> dict[str, float]:
        """Fit the scorer on training tubes.

        Args:
            inputs: (n, T, 2, N_q, E_d) frozen features, any float type, on any device.
            videos: (n,) number of the video each is from.
            attributes: (n, P) what was measured on each, where the scorer weighs it.
            batch_size: Tubes at a time.

        Returns:
            The temporal part's diagnostics, averaged over the tubes.
        """
        was_training = self.training
        self.eval()
        device = self.temporal.mean.device
        measured, figures = [], []
        for batch in inputs.split(batch_size):
            batch = batch.to(device)
            measured.append(self.measure(batch))
            diagnostics = self.temporal.diagnostics(batch)
            figures.append({key: float(value) * len(batch) for key, value in diagnostics.items()})
        values = {name: torch.cat([part[name] for part in measured]) for name in measured[0]}
        if attributes is not None:
            values['attributes'] = attributes.to(device)
        self.scorer.fit(values, videos)
        self.train(was_training)
        return {key: sum(f[key] for f in figures) / len(inputs) for key in figures[0]}

    def score(self, inputs: Tensor, attributes: Tensor | None = None) -> dict[str, Tensor]:
        """The scorer's channels, each (n,), of frozen features (n, T, 2, N_q, E_d) and measured
        attributes (n, P)."""
        return self.scorer(dict(self.measure(inputs), attributes=attributes))

    def forward(
        self,
        inputs: Tensor | Sequence[Tensor],
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[BaseDataElement]:
        """Train on, or score, stored features.

        Args:
            inputs: ``'loss'``: (B, T, 2, N_q, E_d). ``'predict'``: one (n, T, 2, N_q, E_d) a frame.
            data_samples: ``'predict'``: the frames' data elements, with ``attributes`` (n, P)
                where they were measured.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'`` (scores of inputs as in ``'loss'``).

        Returns:
            ``'loss'``: as :class:`TemporalModel`. ``'predict'``: the data elements with the scores
            in ``pred_instances`` and ``floor`` in their metainfo.
        """
        if mode == 'loss':
            return self.temporal(inputs, mode='loss')
        if mode == 'tensor':
            return self.score(inputs)
        if mode != 'predict':
            raise ValueError(f"mode: expected 'loss', 'predict' or 'tensor', got {mode!r}")
        sizes = [len(frame) for frame in inputs]
        measured = [sample.attributes for sample in data_samples if 'attributes' in sample]
        attributes = torch.cat(measured) if measured else None
        scores = {
            name: values.split(sizes)
            for name, values in self.score(torch.cat(list(inputs)), attributes).items()
        }
        for index, sample in enumerate(data_samples):
            sample.set_metainfo(dict(floor=self.scorer.floors))
            for name, parts in scores.items():
                sample.pred_instances.set_field(parts[index], name)
        return list(data_samples)
