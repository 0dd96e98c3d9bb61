"""Temporal part of the method (paper sections 3.1 and 3.3): fusion of the branches, then SMM.

Shape letters:
    B: batch.
    L: window, input steps.
    T: steps of a tube, L + horizon; the last one is the target.
    N_q: queries.
    E_d: output dimension.
    N: N_q * E_d.
    The 2 in a shape are the branches, in the spatial model's order.
"""

from __future__ import annotations

import torch
from mmengine.model import BaseModel, BaseModule
from torch import Tensor, nn

from mmvad.registry import MODELS

# A feature that hardly varies in training must not turn rounding noise into huge errors.
_MIN_STD = 1e-4


@MODELS.register_module()
class CrossAttentionFusion(BaseModule):
    """Joins the two branches' tokens: the first branch's look at the second's, residually.

    Standardised features carry no trace of the query they come from, so a learnable embedding of
    each branch's queries tells the attention which is which. The residual is the sum of both
    branches' tokens: the attention alone would blur the second branch into averages.

    Args:
        num_queries: N_q.
        embed_dim: E_d.
        num_heads: attention heads; divides E_d.
        init_std: standard deviation of the initial weights (paper section 4.2); biases are zero.
        init_cfg: MMEngine initialisation that overrides the above.
    """

    def __init__(
        self,
        num_queries: int = 32,
        embed_dim: int = 256,
        num_heads: int = 8,
        init_std: float = 0.02,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.query_embedding = nn.Parameter(torch.empty(2, num_queries, embed_dim))
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        for name, parameter in self.named_parameters():
            if name.endswith('bias'):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=init_std)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, 2, N_q, E_d) to (B, T, N_q, E_d), each step by itself."""
        first, second = features.flatten(0, 1).unbind(dim=1)
        attended, _ = self.attention(
            first + self.query_embedding[0],
            second + self.query_embedding[1],
            second,
            need_weights=False,
        )
        return (first + second + attended).unflatten(0, features.shape[:2])


@MODELS.register_module()
class TemporalModel(BaseModel):
    """Predicts the frozen features of both branches one window ahead.

    Features are standardised with the training set's statistics, which the weights hold. The target
    is the standardised features themselves and not the fused ones: a target that the fusion makes
    would let it win with a constant.

    Args:
        num_queries: N_q.
        embed_dim: E_d.
        fusion: config of the fusion; gets ``num_queries`` and ``embed_dim``.
        smm: config of the predictor; gets ``in_channels`` N and ``out_channels`` 2 N.
        data_preprocessor: config of the data preprocessor.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        num_queries: int,
        embed_dim: int,
        fusion: dict,
        smm: dict,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.feature_shape = (2, num_queries, embed_dim)
        size = num_queries * embed_dim
        self.fusion = MODELS.build(dict(fusion, num_queries=num_queries, embed_dim=embed_dim))
        self.smm = MODELS.build(dict(smm, in_channels=size, out_channels=2 * size))
        self.register_buffer('mean', torch.zeros(self.feature_shape))
        self.register_buffer('std', torch.ones(self.feature_shape))

    @property
    def steps(self) -> int:
        """T: steps of a tube."""
        return self.smm.window + self.smm.horizon

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Takes the training set's statistics, each (2, N_q, E_d), element by element."""
        for name, value in (('mean', mean), ('std', std)):
            value = torch.as_tensor(value)
            if tuple(value.shape) != self.feature_shape or not bool(value.isfinite().all()):
                raise ValueError(
                    f'{name}: expected finite {self.feature_shape}, got {tuple(value.shape)}'
                )
        if bool((torch.as_tensor(std) < 0).any()):
            raise ValueError('std: expected values >= 0')
        self.mean.copy_(torch.as_tensor(mean))
        self.std.copy_(torch.as_tensor(std).clamp(min=_MIN_STD))

    def standardize(self, features: Tensor) -> Tensor:
        """(..., 2, N_q, E_d) frozen features, any float type, to zero mean and unit variance."""
        return (features.to(self.mean.dtype) - self.mean) / self.std

    def encode(self, features: Tensor) -> Tensor:
        """The input of the state: fusion and Object Feature Encoder of each step by itself.

        A stream calls this once a step, keeps the last L results and gives them to
        :meth:`predict_encoded`.

        Args:
            features: (B, t, 2, N_q, E_d), standardised.

        Returns:
            u, (B, t, O).
        """
        return self.smm.encode(self.fusion(features).flatten(2))

    def predict_encoded(self, u: Tensor) -> Tensor:
        """Standardised features (B, 2, N_q, E_d) predicted from a window of u, (B, L, O)."""
        return self.smm.predict(u).unflatten(1, self.feature_shape)

    def predict(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and target.

        Args:
            inputs: (B, T, 2, N_q, E_d), frozen features, oldest first.

        Returns:
            Both (B, 2, N_q, E_d), standardised.
        """
        features, _, prediction = self._run(inputs)
        return prediction, features[:, -1]

    def error_components(self, inputs: Tensor) -> Tensor:
        """(B, 2, N_q): squared error of the prediction, averaged over E_d."""
        prediction, target = self.predict(inputs)
        return (prediction - target).square().mean(dim=-1)

    def errors(self, inputs: Tensor) -> Tensor:
        """(B,): mean squared error of each object's prediction, the raw anomaly score."""
        return self.error_components(inputs).mean(dim=(1, 2))

    def diagnostics(self, inputs: Tensor) -> dict[str, Tensor]:
        """What tells a predictor that learns from one that does not, over a batch.

        Returns:
            Scalars without gradient. ``err_over_copy``: error over that of repeating the last input
            step; ``err_over_mean``: error over that of predicting the training mean; both are below
            one where the model adds something. ``fused_std``: standard deviation of the fused
            features over the batch; towards zero the fusion has collapsed.
        """
        with torch.no_grad():
            return self._diagnostics(*self._run(inputs))

    def forward(
        self, inputs: Tensor, data_samples: object = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | Tensor:
        """Loss, prediction or errors.

        Args:
            inputs: (B, T, 2, N_q, E_d), frozen features, oldest first; the last is the target.
            data_samples: not used; MMEngine's interface.
            mode: ``'loss'``, ``'tensor'`` or ``'predict'``.

        Returns:
            ``'loss'``: ``loss`` and the entries of :meth:`diagnostics`, for the log. ``'tensor'``:
            the prediction (B, 2, N_q, E_d), standardised. ``'predict'``: :meth:`errors`.
        """
        if mode == 'tensor':
            return self.predict(inputs)[0]
        if mode == 'predict':
            return self.errors(inputs)
        if mode != 'loss':
            raise ValueError(f"mode: expected 'loss', 'tensor' or 'predict', got {mode!r}")
        features, fused, prediction = self._run(inputs)
        loss = (prediction - features[:, -1]).square().mean()
        return dict(loss=loss, **self._diagnostics(features, fused.detach(), prediction.detach()))

    def _run(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Standardised features, fused input steps (B, L, N_q, E_d) and prediction."""
        if inputs.ndim != 5 or tuple(inputs.shape[1:]) != (self.steps, *self.feature_shape):
            raise ValueError(
                f'inputs: expected (B, T={self.steps}, 2, N_q, E_d) with (2, N_q, E_d) = '
                f'{self.feature_shape}, got {tuple(inputs.shape)}'
            )
        features = self.standardize(inputs)
        fused = self.fusion(features[:, : self.smm.window])
        return features, fused, self.predict_encoded(self.smm.encode(fused.flatten(2)))

    def _diagnostics(
        self, features: Tensor, fused: Tensor, prediction: Tensor
    ) -> dict[str, Tensor]:
        """Entries of :meth:`diagnostics` from the results of :meth:`_run`."""
        target = features[:, -1]
        error = (prediction - target).square().mean()
        copy = (features[:, self.smm.window - 1] - target).square().mean()
        tiny = torch.finfo(error.dtype).tiny
        return dict(
            err_over_copy=error / copy.clamp(min=tiny),
            err_over_mean=error / target.square().mean().clamp(min=tiny),
            fused_std=fused.flatten(0, 1).std(dim=0, correction=0).mean(),
        )
