"""Anomaly scores of objects: from frames and boxes to what is measured, and on to scores.

Shape letters: n tubes, T steps of a tube, C channels of a crop or of a detector's tokens, H x W the
crop, S tokens of an object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvad.registry import MODELS
from mmvad.structures import TubeSpec, load_fitting_weights
from mmvad.structures.onnx_graph import check_runtime


@MODELS.register_module()
class ObjectVAD(BaseModel):
    """Scores of objects by what is measured on their tubes, without anything trained.

    A method by itself, and what methods that learn build on: they store more measurements
    (:meth:`extract`) and make quantities of them (:meth:`quantities`).

    Args:
        tube: Arguments of :class:`~mmvad.structures.TubeSpec`.
        scorer: Config of the :class:`~mmvad.models.scoring.ObjectScorer`; None: only measure.

    Raises:
        ValueError: If the scorer looks at what the model does not measure.
    """

    def __init__(self, tube: Mapping[str, Any], scorer: dict | None = None) -> None:
        super().__init__()
        self._runtime = 'torch'
        self.tube = TubeSpec.of(tube)
        self.scorer = None if scorer is None else MODELS.build(scorer)
        if self.scorer is None:
            return
        if unknown := self.scorer.quantities - set(self.quantity_names):
            raise ValueError(
                f'model.scorer.terms: {sorted(unknown)} are not measured; measured are '
                f'{list(self.quantity_names)} (model.tube.measure names more)'
            )

    def init_weights(self) -> None:
        """Nothing: MMEngine's runner calls this before training, and would undo what was trained
        before; weights are drawn when the parts are built."""

    # ---------------------------------------------------------------- what is measured

    @property
    def measurements(self) -> tuple[str, ...]:
        """Names of what is stored of each tube."""
        return tuple(self.tube.measure)

    @property
    def quantity_names(self) -> tuple[str, ...]:
        """Names of what score terms can look at."""
        return self.measurements

    @torch.no_grad()
    def extract(self, item: Mapping[str, Any]) -> dict[str, Tensor]:
        """What is stored of each tube.

        Args:
            item: What the inference pipeline packs: ``measurements``, name to (n, ...), and, where
                tubes are cropped, ``inputs`` (n, T, C, H, W), or their tokens (n, T, S, C).

        Returns:
            Name to (n, ...), one for each of :attr:`measurements`.
        """
        return dict(item.get('measurements', {}))

    def quantities(self, measurements: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name to (n, ...) of what the terms look at, from what is stored."""
        return dict(measurements)

    # ---------------------------------------------------------------- scores

    @torch.no_grad()
    def calibrate(
        self,
        measurements: Mapping[str, Tensor],
        videos: Tensor,
        held_out: Tensor,
        batch_size: int = 512,
    ) -> list[str]:
        """Fit the scorer on training tubes.

        Args:
            measurements: Name to (n, ...), on any device.
            videos: (n,) number of the video each tube is from.
            held_out: (n,) bool, which tubes no part of the model learned from.
            batch_size: Tubes at a time.

        Returns:
            What a person should know of the fit, a sentence each.
        """
        self.eval()
        values = self.all_quantities(measurements, batch_size)
        device = self.scorer.floor.device
        return self.scorer.fit(values, videos.to(device), held_out.to(device))

    @torch.no_grad()
    def all_quantities(
        self, measurements: Mapping[str, Tensor], batch_size: int = 512
    ) -> dict[str, Tensor]:
        """:meth:`quantities` of many tubes, some at a time, on the model's device.

        Args:
            measurements: Name to (n, ...), n at least 1, on any device.
            batch_size: Tubes at a time.
        """
        count = len(next(iter(measurements.values())))
        batches = (
            {name: values[i : i + batch_size] for name, values in measurements.items()}
            for i in range(0, count, batch_size)
        )
        parts = [self.quantities(self._to_device(batch)) for batch in batches]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def score(self, measurements: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The scorer's channels, each (n,), of stored measurements, name to (n, ...)."""
        return self.scorer(self.quantities(self._to_device(measurements)))

    def _to_device(self, measurements: Mapping[str, Tensor]) -> dict[str, Tensor]:
        device = self.scorer.floor.device
        return {name: values.to(device) for name, values in measurements.items()}

    def optimize_for_inference(self, runtime: str | None = None) -> ObjectVAD:
        """Extract faster from now on, if the model knows how, with its present weights.

        Args:
            runtime: What computes what is learned, where there is any: ``'torch'``, or ``'onnx'``,
                ONNX Runtime; None: the one of the last call, at first torch.

        Raises:
            ValueError: If the runtime is unknown, not installed, or does not run the model.
        """
        check_runtime(runtime or self._runtime)
        self._runtime = runtime or self._runtime
        return self

    def load_trained(self, state: dict[str, Tensor], path: str | Path) -> ObjectVAD:
        """Take the weights of a complete model; what is fitted gets the size it has there.

        Args:
            state: The weights.
            path: The file they are from, for the message.

        Raises:
            ValueError: If they do not fit the model.
        """
        fitted = [] if self.scorer is None else self.scorer.resizable
        sized = [f'scorer.{name}' for name in fitted]
        load_fitting_weights(self, state, path, resizable=sized)
        return self

    def forward(
        self,
        inputs: Mapping[str, Tensor | Sequence[Tensor]],
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[BaseDataElement]:
        """Score stored measurements.

        Args:
            inputs: ``'predict'``: name to one (n, ...) a frame. ``'tensor'``: name to (n, ...).
            data_samples: ``'predict'``: the frames' data elements.
            mode: ``'predict'`` or ``'tensor'``.

        Returns:
            ``'predict'``: the data elements with the channels in ``pred_instances``. ``'tensor'``:
            :meth:`score`.
        """
        if mode == 'tensor':
            return self.score(inputs)
        if mode != 'predict':
            raise ValueError(f"mode: expected 'predict' or 'tensor', got {mode!r}")
        sizes = [len(sample.pred_instances) for sample in data_samples]
        joined = {name: torch.cat(list(frames)) for name, frames in inputs.items()}
        scores = {name: values.split(sizes) for name, values in self.score(joined).items()}
        for index, sample in enumerate(data_samples):
            for name, parts in scores.items():
                sample.pred_instances.set_field(parts[index], name)
        return list(data_samples)
