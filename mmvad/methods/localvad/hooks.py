"""Hooks of LocalVAD's training."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from mmvad.registry import HOOKS


@HOOKS.register_module()
class PredictionHook(Hook):
    """Log after every epoch whether the predictor predicts anything, on tubes held out of training.

    ``err_over_copy``, ``err_over_mean`` and ``fused_std`` are those of
    :meth:`~mmvad.models.TemporalModel.diagnostics`.

    Args:
        patterns: (n, T, 2, N_q, E_d), of held-out training tubes.
        batch_size: Tubes at a time.
    """

    def __init__(self, patterns: Tensor, batch_size: int = 512) -> None:
        self.patterns = patterns
        self.batch_size = batch_size

    def after_train_epoch(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.eval()
        sums: dict[str, float] = {}
        for batch in self.patterns.split(self.batch_size):
            for name, value in model.diagnostics(batch.to(model.mean.device)).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
        model.train()
        figures = {name: total / len(self.patterns) for name, total in sums.items()}
        for name, value in figures.items():
            runner.message_hub.update_scalar(f'held_out/{name}', value)
        text = ', '.join(f'{name} {value:.4f}' for name, value in figures.items())
        runner.logger.info(f'Predictor on held-out training tubes: {text}')
