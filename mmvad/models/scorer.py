"""From prediction errors and features to object scores on the training set's scale.

Shape letters: n objects, M reference objects, F flattened feature of both branches, N of the action
branch, D whitened dimensions.
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

    Three quantities are measured on an object: its prediction error; the mean distance to the
    ``neighbours`` nearest training objects in the whitened principal components of its features
    (*nearest*: is it like anything seen?); and the distance of its action pattern, averaged over
    the tube, to the mean pattern (*centre*: does it act in an uncommon way throughout?). The log of
    each is brought to mean 0 and standard deviation 1 over the training objects; so that distances
    are those of objects not seen, a training object's neighbours come from the other videos.
    ``smm`` is the first, ``spatial`` the weighted sum of the other two, ``both`` that of all three.

    Args:
        dims: D, principal components kept.
        num_reference: M, training objects kept to compare with.
        neighbours: Nearest reference objects averaged.
        weights: Of the prediction error, *nearest* and *centre*.
        whiten_floor: Component variances are not taken smaller than this share of the largest, so
            that whitening does not blow noise up.
        seed: Of the choice of reference objects and of the principal components' solver.
    """

    #: Buffers that take the training set's size.
    RESIZABLE = ('center', 'projection', 'reference', 'typical')

    def __init__(
        self,
        dims: int = 64,
        num_reference: int = 4000,
        neighbours: int = 3,
        weights: tuple[float, float, float] = (1.0, 1.0, 0.0),
        whiten_floor: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(weights) != 3 or min(weights) < 0 or sum(weights[1:]) == 0:
            raise ValueError(
                'scorer.weights: expected three weights >= 0, the last two not both 0, '
                f'got {weights}'
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
        self.register_buffer('typical', torch.zeros(0))
        self.register_buffer('scale', torch.zeros(2, 3))
        self.register_buffer('floor', torch.zeros(len(CHANNELS)))

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` was called, or a fitted state loaded."""
        return len(self.reference) > 0

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        for name in self.RESIZABLE:
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, getattr(self, name).new_zeros(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)

    @torch.no_grad()
    def fit(self, errors: Tensor, features: Tensor, actions: Tensor, videos: Tensor) -> None:
        """Take the scale of training objects.

        Args:
            errors: (n,) prediction errors.
            features: (n, F) standardised features.
            actions: (n, N) action patterns, averaged over the tube.
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

        self.typical = actions.mean(dim=0)
        nearest = self._distances(features, videos, videos[picks])
        raw = self._raw(errors, nearest, actions)
        self.scale = torch.stack([raw.mean(dim=1), raw.std(dim=1).clamp(min=1e-6)])
        self.floor = torch.stack(list(self._channels(raw).values())).min(dim=1).values

    def forward(self, errors: Tensor, features: Tensor, actions: Tensor) -> dict[str, Tensor]:
        """Scores of new objects.

        Args:
            errors: (n,) prediction errors.
            features: (n, F) standardised features.
            actions: (n, N) action patterns, averaged over the tube.

        Returns:
            ``smm``, ``spatial`` and ``both``, each (n,).
        """
        if not self.fitted:
            raise RuntimeError('ObjectScorer: not fitted; train the temporal stage first')
        return self._channels(self._raw(errors, self._distances(features), actions))

    @property
    def floors(self) -> dict[str, float]:
        """The lowest score of each channel seen in training."""
        return dict(zip(CHANNELS, self.floor.tolist(), strict=True))

    def _raw(self, errors: Tensor, nearest: Tensor, actions: Tensor) -> Tensor:
        """(3, n) logs of the three quantities."""
        centre = (actions - self.typical).norm(dim=1)
        return torch.stack([errors, nearest, centre]).clamp(min=1e-12).log()

    def _project(self, features: Tensor) -> Tensor:
        return (features.float() - self.center) @ self.projection

    def _channels(self, raw: Tensor) -> dict[str, Tensor]:
        smm, nearest, centre = (raw - self.scale[0][:, None]) / self.scale[1][:, None]
        first, second, third = self.weights
        spatial = (second * nearest + third * centre) / math.hypot(second, third)
        both = (first * smm + second * nearest + third * centre) / math.hypot(*self.weights)
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
