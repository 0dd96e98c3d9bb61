"""From prediction errors and features to object scores on the training set's scale.

Shape letters: n objects, M reference objects, F flattened feature, D whitened dimensions.
"""

from __future__ import annotations

import math

import torch
from mmengine.model import BaseModule
from sklearn.decomposition import PCA
from torch import Tensor

from mmvad.registry import MODELS

CHANNELS = ('smm', 'spatial', 'both')


@MODELS.register_module()
class ObjectScorer(BaseModule):
    """Object scores, fitted on training objects only.

    ``smm`` is the log of the prediction error; ``spatial`` the log of the mean distance to the
    ``neighbours`` nearest training objects in the whitened principal components of the features;
    both are then brought to mean 0 and standard deviation 1 over the training objects, and
    ``both`` is their weighted sum. So that spatial distances are those of objects not seen, a
    training object's neighbours come from the other videos.

    Args:
        dims: D, principal components kept.
        num_reference: M, training objects kept to compare with.
        neighbours: Nearest reference objects averaged.
        weights: Of ``smm`` and ``spatial`` in ``both``.
        whiten_floor: Component variances are not taken smaller than this share of the largest, so
            that whitening does not blow noise up.
        seed: Of the choice of reference objects and of the principal components' solver.
    """

    def __init__(
        self,
        dims: int = 64,
        num_reference: int = 4000,
        neighbours: int = 3,
        weights: tuple[float, float] = (1.0, 1.0),
        whiten_floor: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(weights) != 2 or min(weights) < 0 or sum(weights) == 0:
            raise ValueError(
                f'scorer.weights: expected two weights >= 0, not both 0, got {weights}'
            )
        self.dims = dims
        self.num_reference = num_reference
        self.neighbours = neighbours
        self.weights = tuple(weights)
        self.whiten_floor = whiten_floor
        self.seed = seed
        # Sized by the training set; loading takes the sizes of the checkpoint.
        self.register_buffer('center', torch.zeros(0))
        self.register_buffer('projection', torch.zeros(0, 0))
        self.register_buffer('reference', torch.zeros(0, 0))
        self.register_buffer('scale', torch.zeros(2, 2))
        self.register_buffer('floor', torch.zeros(len(CHANNELS)))

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` was called, or a fitted state loaded."""
        return len(self.reference) > 0

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        for name in ('center', 'projection', 'reference'):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, getattr(self, name).new_zeros(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)

    @torch.no_grad()
    def fit(self, errors: Tensor, features: Tensor, videos: Tensor) -> None:
        """Take the scale of training objects.

        Args:
            errors: (n,) prediction errors.
            features: (n, F) standardised features.
            videos: (n,) number of the video each object is from.
        """
        device = errors.device
        generator = torch.Generator().manual_seed(self.seed)
        pca = PCA(
            min(self.dims, *features.shape), svd_solver='randomized', random_state=self.seed
        ).fit(features.cpu().numpy())
        variance = torch.from_numpy(pca.explained_variance_).float()
        spread = variance.clamp(min=float(variance.max()) * self.whiten_floor).sqrt()
        self.center = torch.from_numpy(pca.mean_).float().to(device)
        self.projection = (torch.from_numpy(pca.components_).float() / spread[:, None]).T.to(device)
        picks = torch.randperm(len(features), generator=generator)[: self.num_reference].sort()[0]
        self.reference = self._project(features[picks])

        distances = self._distances(features, videos, videos[picks])
        raw = torch.stack([self._log(errors), self._log(distances)])
        self.scale = torch.stack([raw.mean(dim=1), raw.std(dim=1).clamp(min=1e-6)])
        self.floor = torch.stack(list(self._channels(raw).values())).min(dim=1).values

    def forward(self, errors: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Scores of new objects.

        Args:
            errors: (n,) prediction errors.
            features: (n, F) standardised features.

        Returns:
            ``smm``, ``spatial`` and ``both``, each (n,).
        """
        if not self.fitted:
            raise RuntimeError('ObjectScorer: not fitted; train the temporal stage first')
        return self._channels(
            torch.stack([self._log(errors), self._log(self._distances(features))])
        )

    @property
    def floors(self) -> dict[str, float]:
        """The lowest score of each channel seen in training."""
        return dict(zip(CHANNELS, self.floor.tolist(), strict=True))

    @staticmethod
    def _log(values: Tensor) -> Tensor:
        return values.clamp(min=1e-12).log()

    def _project(self, features: Tensor) -> Tensor:
        return (features.float() - self.center) @ self.projection

    def _channels(self, raw: Tensor) -> dict[str, Tensor]:
        smm, spatial = (raw - self.scale[0][:, None]) / self.scale[1][:, None]
        both = (self.weights[0] * smm + self.weights[1] * spatial) / math.hypot(*self.weights)
        return dict(smm=smm, spatial=spatial, both=both)

    def _distances(
        self, features: Tensor, videos: Tensor | None = None, owners: Tensor | None = None
    ) -> Tensor:
        """(n,) mean distance to the nearest references; those of an object's own video are left
        out where ``videos`` (n,) and ``owners`` (M,) say which they are."""
        distances = []
        count = min(self.neighbours, len(self.reference))
        for start in range(0, len(features), 4096):
            rows = slice(start, start + 4096)
            pairs = torch.cdist(self._project(features[rows]), self.reference)
            if owners is not None:
                same = videos[rows, None] == owners[None]
                # With a single training video there is no other to compare with.
                same &= ~same.all(dim=1, keepdim=True)
                pairs = pairs.masked_fill(same.to(pairs.device), float('inf'))
            nearest = pairs.topk(count, largest=False).values
            finite = nearest.isfinite()
            distances.append(nearest.where(finite, 0).sum(1) / finite.sum(1).clamp(min=1))
        return torch.cat(distances) if distances else features.new_zeros(0)
