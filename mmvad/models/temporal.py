"""Temporal part of the method (paper sections 3.1 and 3.3): fusion of the branches, then SMM.

Shape letters:
    B: batch.
    L: window, input steps; also the predicted steps, the window's shifted by the horizon.
    T: steps of a tube, L + horizon; the first L are the input, the last L the targets.
    N_q: queries.
    E_d: output dimension.
    N: N_q * E_d.
    The 2 in a shape are the branches, in the spatial model's order.
    target: (2, N_q, E_d) or (N_q, E_d), see :class:`TemporalModel`.
"""

from __future__ import annotations

import math

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
    """Predicts a tube's last L steps from its first L (Eq. 6).

    Predicted step k = 1 ... L is held against tube step ``horizon`` + k - 1, counted from 0. The
    last min(L, horizon) of them are unseen, the ones before lie in the window too: predicting them
    is reconstruction. ``loss_steps`` and ``score_steps`` say which count. Where only one step does
    (``'unseen'`` with ``horizon=1``), it is at the end of SMM's domain, where every motion
    component is 1, so that the basis plays no part; see :class:`SMM`.

    Features are standardised with the training set's statistics, which the weights hold. ``target``
    says what is predicted:

    - ``'branches'``: the standardised features of both branches. They are frozen, so no training
      makes them easier to predict.
    - ``'fused'`` (the paper): the fusion's own output at the target steps. The gradient goes
      through the target too, so a fusion that can shrink its output or make it constant lowers the
      loss without learning any dynamics; :meth:`diagnostics` show it.

    Args:
        num_queries: N_q.
        embed_dim: E_d.
        fusion: config of the fusion; gets ``num_queries`` and ``embed_dim``.
        smm: config of the predictor; gets ``in_channels`` N and ``out_channels``, 2 N for the
            branches and N for the fused features.
        loss_steps: predicted steps that are trained: ``'unseen'`` or ``'all'`` L.
        score_steps: predicted steps whose error is the score: ``'unseen'`` or ``'all'`` L.
        target: ``'branches'`` or ``'fused'``.
        data_preprocessor: config of the data preprocessor.
        init_cfg: MMEngine initialisation.

    Attributes:
        feature_shape: (2, N_q, E_d), of an input step.
        target_shape: of a predicted step, (2, N_q, E_d) for the branches or (N_q, E_d) for the
            fused features.

    Raises:
        ValueError: for an unknown ``loss_steps``, ``score_steps`` or ``target``.
    """

    def __init__(
        self,
        num_queries: int,
        embed_dim: int,
        fusion: dict,
        smm: dict,
        loss_steps: str = 'unseen',
        score_steps: str = 'unseen',
        target: str = 'branches',
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        for name, value in (('loss_steps', loss_steps), ('score_steps', score_steps)):
            if value not in ('unseen', 'all'):
                raise ValueError(f"{name}: expected 'unseen' or 'all', got {value!r}")
        if target not in ('branches', 'fused'):
            raise ValueError(f"target: expected 'branches' or 'fused', got {target!r}")
        self.loss_steps = loss_steps
        self.score_steps = score_steps
        self.target = target
        self.feature_shape = (2, num_queries, embed_dim)
        self.target_shape = self.feature_shape if target == 'branches' else (num_queries, embed_dim)
        size = num_queries * embed_dim
        self.fusion = MODELS.build(dict(fusion, num_queries=num_queries, embed_dim=embed_dim))
        self.smm = MODELS.build(
            dict(smm, in_channels=size, out_channels=math.prod(self.target_shape))
        )
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

    def fit_statistics(self, features: Tensor) -> None:
        """Takes the statistics of training tubes (n, T, 2, N_q, E_d), any float type: one mean and
        standard deviation a feature, over tubes and steps."""
        flat = features.flatten(0, 1).float()
        self.set_statistics(flat.mean(dim=0), flat.std(dim=0))

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
        """All predicted steps, (B, L, *target), from a window of u, (B, L, O)."""
        return self.smm.predict(u).unflatten(2, self.target_shape)

    def step(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step of a stream, by SMM's recurrent form.

        Over the first L steps from a zero state, the last prediction is that of the window; a state
        that runs on keeps a trace of what is older (see :class:`SMM`).

        Args:
            features: (B, 2, N_q, E_d), frozen features of the newest step, any float type.
            state: Of ``smm.initial_state(B)``, or from the step before.

        Returns:
            What an earlier prediction said of this step, (B, *target): standardised features, or
            the fusion's output of them; the prediction of all L predicted steps, (B, L, *target),
            the last of them ``horizon`` steps ahead; and the new state.
        """
        standardized = self.standardize(features)
        fused = self.fusion(standardized[:, None])[:, 0]
        prediction, state = self.smm.step(fused.flatten(1), state)
        values = standardized if self.target == 'branches' else fused
        return values, prediction.unflatten(2, self.target_shape), state

    def predict(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and target of all L predicted steps.

        Args:
            inputs: (B, T, 2, N_q, E_d), frozen features, oldest first.

        Returns:
            Both (B, L, *target), oldest first: tube steps ``horizon`` ... T - 1, in standardised
            features or in the fusion's output of them.
        """
        values, _, prediction = self._run(inputs)
        return prediction, values[:, self.smm.horizon :]

    def error_components(self, inputs: Tensor) -> Tensor:
        """(B, 2, N_q): squared error of the prediction, averaged over the score steps and E_d.

        Raises:
            ValueError: for fused targets, which have no branches.
        """
        if self.target != 'branches':
            raise ValueError(
                "target: expected 'branches' for the errors of each branch, which the fused "
                f'features do not have, got {self.target!r}'
            )
        return self._score_error(inputs).mean(dim=(1, -1))

    def errors(self, inputs: Tensor) -> Tensor:
        """(B,): squared error of each object's prediction, averaged over the score steps and all
        features; the raw anomaly score."""
        return self._score_error(inputs).flatten(1).mean(dim=1)

    def diagnostics(self, inputs: Tensor) -> dict[str, Tensor]:
        """What tells a predictor that learns from one that does not, over a batch.

        Returns:
            Scalars without gradient. ``err_over_copy``: error on the loss steps over that of
            repeating the last input step; ``err_over_mean``: error on the loss steps over that of
            predicting the mean, which is the training set's for the branches and that of the
            batch's tubes for fused features; both are below one where the model adds something.
            ``fused_std``: standard deviation of the fused input steps over the batch; towards zero
            the fusion has collapsed. With fused targets a loss that falls says nothing by itself:
            look for one of these ratios to fall, and for ``fused_std`` to stay.
        """
        with torch.no_grad():
            return self._diagnostics(*self._run(inputs))

    def forward(
        self, inputs: Tensor, data_samples: object = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | Tensor:
        """Loss, prediction or errors.

        Args:
            inputs: (B, T, 2, N_q, E_d), frozen features, oldest first.
            data_samples: not used; MMEngine's interface.
            mode: ``'loss'``, ``'tensor'`` or ``'predict'``.

        Returns:
            ``'loss'``: ``loss``, the mean squared error on the loss steps, and the entries of
            :meth:`diagnostics`, for the log. ``'tensor'``: the prediction (B, L, *target).
            ``'predict'``: :meth:`errors`.

        Raises:
            ValueError: for another mode or shape.
        """
        if mode == 'tensor':
            return self.predict(inputs)[0]
        if mode == 'predict':
            return self.errors(inputs)
        if mode != 'loss':
            raise ValueError(f"mode: expected 'loss', 'tensor' or 'predict', got {mode!r}")
        values, fused, prediction = self._run(inputs)
        loss = self._error(prediction, values, self.loss_steps).mean()
        return dict(
            loss=loss, **self._diagnostics(values.detach(), fused.detach(), prediction.detach())
        )

    def _run(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is predicted at every step of the tube (B, T, *target), fused input steps
        (B, L, N_q, E_d) and prediction (B, L, *target)."""
        if inputs.ndim != 5 or tuple(inputs.shape[1:]) != (self.steps, *self.feature_shape):
            raise ValueError(
                f'inputs: expected (B, T={self.steps}, 2, N_q, E_d) with (2, N_q, E_d) = '
                f'{self.feature_shape}, got {tuple(inputs.shape)}'
            )
        features, window = self.standardize(inputs), self.smm.window
        if self.target == 'fused':
            values = self.fusion(features)
            fused = values[:, :window]
        else:
            values = features
            fused = self.fusion(features[:, :window])
        return values, fused, self.predict_encoded(self.smm.encode(fused.flatten(2)))

    def _error(self, prediction: Tensor, values: Tensor, steps: str) -> Tensor:
        """Squared error (B, s, *target) on the s 'unseen' or 'all' steps.

        Args:
            prediction: (B, L, *target), or one guess for every step, (B or 1, 1, *target).
            values: (B, T, *target) of :meth:`_run`.
            steps: ``'unseen'`` or ``'all'``.
        """
        count = self.smm.unseen if steps == 'unseen' else self.smm.window
        # The newest predicted step is the tube's last one, so both are counted from the end.
        return (prediction[:, -count:] - values[:, -count:]).square()

    def _score_error(self, inputs: Tensor) -> Tensor:
        """Squared error (B, s, *target) on the score steps."""
        values, _, prediction = self._run(inputs)
        return self._error(prediction, values, self.score_steps)

    def _diagnostics(self, values: Tensor, fused: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """Entries of :meth:`diagnostics` from the results of :meth:`_run`."""
        last = values[:, self.smm.window - 1 : self.smm.window]
        if self.target == 'fused':
            mean = values.mean(dim=(0, 1), keepdim=True)
        else:  # standardised
            mean = torch.zeros_like(last)
        error, copy_error, mean_error = (
            self._error(guess, values, self.loss_steps).mean() for guess in (prediction, last, mean)
        )
        tiny = torch.finfo(error.dtype).tiny
        return dict(
            err_over_copy=error / copy_error.clamp(min=tiny),
            err_over_mean=error / mean_error.clamp(min=tiny),
            fused_std=fused.flatten(0, 1).std(dim=0, correction=0).mean(),
        )
