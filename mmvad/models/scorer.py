"""From prediction errors and features to object scores on the training set's scale.

Shape letters: n objects, M reference objects, F numbers that describe an object, D dimensions kept
of them, N = N_q * E_d numbers of a branch, P measured attributes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.model import BaseModule, ModuleDict
from sklearn.decomposition import PCA
from torch import Tensor

from mmvad.registry import MODELS


class FittedDistance(BaseModule):
    """A distance whose buffers take the training set's size when fitted, and a checkpoint's when
    loaded."""

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        for name, buffer in self._buffers.items():
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, buffer.new_zeros(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


class NearestDistance(FittedDistance):
    """Mean distance to the nearest training objects.

    Args:
        dims: D, principal components that are compared; None: the F numbers themselves, each
            divided by its standard deviation.
        num_reference: M, training objects kept to compare with.
        neighbours: Nearest reference objects averaged. Few ask if anything like it was ever seen,
            many how common it is.
        seed: Of the choice of reference objects and of the principal components' solver.
    """

    def __init__(
        self,
        dims: int | None,
        num_reference: int,
        neighbours: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.dims = dims
        self.num_reference = num_reference
        self.neighbours = neighbours
        self.seed = seed
        self.register_buffer('mean', torch.zeros(0))
        self.register_buffer('projection', torch.zeros(0, 0))
        self.register_buffer('reference', torch.zeros(0, 0))

    def fit(self, values: Tensor, videos: Tensor) -> Tensor:
        """Choose the reference objects.

        Args:
            values: (n, F) of training objects.
            videos: (n,) number of the video each object is from.

        Returns:
            (n,) distances of the training objects; those of an object's own video are left out, so
            that they are distances of objects not seen.
        """
        if self.dims is None:
            self.mean = values.mean(dim=0)
            self.projection = torch.diag(1 / values.std(dim=0).clamp(min=1e-6))
        else:
            pca = PCA(
                min(self.dims, *values.shape), svd_solver='randomized', random_state=self.seed
            ).fit(values.float().cpu().numpy())
            self.mean = torch.from_numpy(pca.mean_).float().to(values.device)
            self.projection = torch.from_numpy(pca.components_).float().T.to(values.device)
        generator = torch.Generator().manual_seed(self.seed)
        picks = torch.randperm(len(values), generator=generator)[: self.num_reference].sort()[0]
        self.reference = self._project(values[picks])
        return self(values, videos, videos[picks])

    def _project(self, values: Tensor) -> Tensor:
        return (values.float() - self.mean) @ self.projection

    def forward(
        self, values: Tensor, videos: Tensor | None = None, owners: Tensor | None = None
    ) -> Tensor:
        """(n, F) -> (n,); references of an object's own video are left out where ``videos`` (n,)
        and ``owners`` (M,) say which they are."""
        distances = []
        count = min(self.neighbours, len(self.reference))
        for start in range(0, len(values), 4096):
            rows = slice(start, start + 4096)
            pairs = torch.cdist(self._project(values[rows]), self.reference)
            if owners is not None:
                same = videos[rows, None] == owners[None]
                # With a single training video there is no other to compare with.
                same &= ~same.all(dim=1, keepdim=True)
                pairs = pairs.masked_fill(same.to(pairs.device), float('inf'))
            nearest = pairs.topk(count, largest=False).values
            finite = nearest.isfinite()
            distances.append(nearest.where(finite, 0).sum(1) / finite.sum(1).clamp(min=1))
        return torch.cat(distances) if distances else values.new_zeros(0)


@MODELS.register_module()
class ObjectScorer(BaseModule):
    """Object scores, fitted on training objects only.

    Quantities that are measured on an object:

    - ``smm``, its prediction error;
    - one by the name of each branch: the mean distance of that branch's local patterns, averaged
      over the tube, to those of the nearest training objects (does it look or act in a way that
      training shows?);
    - ``attributes``, likewise, of what was measured on it without learned weights (no part of the
      paper's method).

    The log of each is brought to mean 0 and standard deviation 1 over the training objects. The
    channels are weighted sums of these: each quantity by itself; ``spatial``, the branches;
    ``both``, ``smm`` and the branches, which is all that is learned; ``all``.

    Args:
        weights: Quantity to weight; those that are not named are not measured.
        dims: Principal components of a branch's patterns that are compared.
        num_reference: M, training objects kept to compare with.
        neighbours: Nearest reference objects averaged, of patterns.
        attribute_neighbours: Likewise of attributes.
        seed: See :class:`NearestDistance`.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        dims: int = 64,
        num_reference: int = 4000,
        neighbours: int = 3,
        attribute_neighbours: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not weights or min(weights.values()) <= 0:
            raise ValueError(f'scorer.weights: expected weights > 0, got {dict(weights)}')
        self.weights = dict(weights)
        self.branches = tuple(name for name in weights if name not in ('smm', 'attributes'))
        sums = {
            **{name: (name,) for name in weights},
            'spatial': self.branches,
            'both': tuple(name for name in weights if name != 'attributes'),
            'all': tuple(weights),
        }
        #: Channel to the quantities it sums.
        self.channels = {channel: parts for channel, parts in sums.items() if parts}
        self.distances = ModuleDict()
        for name in self.branches:
            self.distances[name] = NearestDistance(dims, num_reference, neighbours, seed)
        if 'attributes' in weights:
            self.distances['attributes'] = NearestDistance(
                None, num_reference, attribute_neighbours, seed
            )
        self.register_buffer('scale', torch.zeros(2, len(self.weights)))
        self.register_buffer('floor', torch.zeros(len(self.channels)))

    @property
    def resizable(self) -> list[str]:
        """Names of the buffers that take the training set's size."""
        return [name for name, _ in self.named_buffers() if '.' in name]

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` was called, or a fitted state loaded."""
        return bool(self.scale.any())

    @property
    def floors(self) -> dict[str, float]:
        """The lowest score of each channel seen in training."""
        return dict(zip(self.channels, self.floor.tolist(), strict=True))

    @torch.no_grad()
    def fit(self, values: Mapping[str, Tensor], videos: Tensor) -> None:
        """Take the scale of training objects.

        Args:
            values: As :meth:`forward` takes them.
            videos: (n,) number of the video each object is from.
        """
        logs = self._logs(values, videos)
        self.scale = torch.stack([logs.mean(dim=1), logs.std(dim=1).clamp(min=1e-6)])
        self.floor = torch.stack([score.min() for score in self._sum(logs).values()])

    def forward(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores of new objects.

        Args:
            values: ``smm``: (n,) prediction errors; a branch's name: (n, N) its patterns;
                ``attributes``: (n, P). Those without a weight may be missing.

        Returns:
            Channel to scores (n,).
        """
        if not self.fitted:
            raise RuntimeError('ObjectScorer: not fitted; train the temporal stage first')
        return self._sum(self._logs(values))

    def _logs(self, values: Mapping[str, Tensor], videos: Tensor | None = None) -> Tensor:
        """(quantities, n) logarithms; with ``videos`` (n,) the distances are fitted first."""
        if 'attributes' in self.weights and values.get('attributes') is None:
            raise ValueError(
                'scorer.weights: attributes have a weight but are not measured; put '
                "dict(type='MeasureAttributes') into stages.features.pipeline"
            )
        raw = []
        for name in self.weights:
            if name == 'smm':
                raw.append(values[name])
                continue
            distance = self.distances[name]
            raw.append(
                distance(values[name]) if videos is None else distance.fit(values[name], videos)
            )
        return torch.stack(raw).clamp(min=1e-12).log()

    def _sum(self, logs: Tensor) -> dict[str, Tensor]:
        standard = (logs - self.scale[0][:, None]) / self.scale[1][:, None]
        rows = dict(zip(self.weights, standard, strict=True))
        scores = {}
        for channel, parts in self.channels.items():
            weights = torch.tensor([self.weights[name] for name in parts]).to(standard)
            stacked = torch.stack([rows[name] for name in parts])
            scores[channel] = weights @ stacked / weights.norm()
        return scores
