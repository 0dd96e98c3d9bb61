"""Terms of a score: each says of an object how unusual one quantity of it is.

Shape letters: n objects, M reference objects, F numbers that describe an object, D dimensions kept
of them.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from mmvad.registry import MODELS

from .fitted import FittedModule
from .nearest import groups_of, nearest


class ScoreTerm(FittedModule):
    """One term of a score. Register a subclass in ``MODELS`` and name it in ``scorer.terms``.

    Args:
        of: The quantity it looks at, one of those that the model measures.
        weight: In the sums it takes part in, above 0.
        by_place: Whether it is compared with that of training objects in a like place, where the
            scorer has a ``context``.
    """

    def __init__(self, of: str, weight: float = 1.0, by_place: bool = True) -> None:
        super().__init__()
        self.by_place = by_place
        if not weight > 0:
            raise ValueError(f'scorer.terms: weight of {of!r}: expected above 0, got {weight!r}')
        self.of = of
        self.weight = float(weight)

    @abstractmethod
    def fit(self, values: Tensor, videos: Tensor, held_out: Tensor) -> tuple[Tensor, Tensor]:
        """Learn what training objects are like.

        Args:
            values: (n, ...) the quantity, of training objects.
            videos: (n,) number of the video each object is from.
            held_out: (n,) bool, which objects no part of the model learned from.

        Returns:
            (n,) the term of each training object, >= 0; (n,) bool, which of these are as good as
            those of objects never seen. The term's distribution is taken on the latter.
        """

    @abstractmethod
    def forward(self, values: Tensor) -> Tensor:
        """(n, ...) the quantity of new objects -> (n,) >= 0, higher is more unusual."""

    # What a term can say of why an object scores high; a term that cannot leaves these as they are.

    def nearest(self, values: Tensor, count: int) -> tuple[Tensor, Tensor] | None:
        """The training objects that new ones are most like.

        Args:
            values: (n, ...) the quantity of new objects.
            count: K, how many of each; fewer where there are not so many.

        Returns:
            (n, K) distances, ascending, and (n, K) numbers of the training objects, in the order in
            which :meth:`fit` got them. None: it compares with no single objects.
        """
        return None

    def parts(self, values: Tensor) -> Tensor | None:
        """What each number of the quantity contributes to the squared distance to the nearest
        training object: (n, ...) of the shape of ``values``, at least 0, which adds up to it. None:
        it compares with no single objects."""
        return None

    def seen(self) -> tuple[Tensor, Tensor] | None:
        """The training objects that are kept: their (M, F) numbers as they were measured, and
        (M,) which of those of :meth:`fit` they are. None: it keeps none, or not as measured."""
        return None


@MODELS.register_module()
class PredictionError(ScoreTerm):
    """A prediction error as it is; its distribution is that of the held-out objects, since a
    predictor errs less on what it was trained on.

    Args:
        of: A quantity (n,) that is an error.
        weight, by_place: See :class:`ScoreTerm`.
    """

    def __init__(
        self, of: str = 'prediction_error', weight: float = 1.0, by_place: bool = True
    ) -> None:
        super().__init__(of, weight, by_place)

    def fit(self, values: Tensor, videos: Tensor, held_out: Tensor) -> tuple[Tensor, Tensor]:
        return self(values), held_out

    def forward(self, values: Tensor) -> Tensor:
        if values.ndim != 1:
            raise ValueError(
                f'PredictionError: {self.of!r}: expected one number an object, got shape '
                f'{tuple(values.shape)}'
            )
        return values.float()


@MODELS.register_module()
class NearestDistance(ScoreTerm):
    """Mean distance to the nearest training objects.

    Args:
        of: A quantity (n, F), or of more dimensions, which are taken as F together.
        weight, by_place: See :class:`ScoreTerm`.
        dims: D, principal components that are compared; None: the F numbers themselves, each
            divided by its standard deviation.
        standardize: Divide the numbers by their standard deviations before taking principal
            components: for features whose channels have scales of their own, such as a detector's.
        num_reference: M, training objects kept to compare with.
        neighbours: Nearest reference objects averaged. Few ask if anything like it was ever seen,
            many how common it is.
        seed: Of the choice of reference objects and of the principal components' solver.
    """

    def __init__(
        self,
        of: str,
        weight: float = 1.0,
        dims: int | None = None,
        num_reference: int = 4000,
        neighbours: int = 3,
        standardize: bool = False,
        seed: int = 0,
        by_place: bool = True,
    ) -> None:
        super().__init__(of, weight, by_place)
        self.dims = dims
        self.standardize = standardize or dims is None
        self.num_reference = num_reference
        self.neighbours = neighbours
        self.seed = seed
        self.register_buffer('mean', torch.zeros(0))
        self.register_buffer('scale', torch.zeros(0))
        self.register_buffer('projection', torch.zeros(0, 0))
        self.register_buffer('reference', torch.zeros(0, 0))
        # Which of the training objects the references are.
        self.register_buffer('picks', torch.zeros(0, dtype=torch.int64))

    def fit(self, values: Tensor, videos: Tensor, held_out: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the reference objects. References of an object's own video are left out of its
        distance, so all training objects count as not seen. Where there is a single video, its part
        that is held out and the rest count as two."""
        if values.ndim < 2:
            raise ValueError(
                f'NearestDistance: {self.of!r}: expected several numbers an object, got shape '
                f'{tuple(values.shape)}'
            )
        values = values.flatten(1).float()
        self.mean = values.mean(dim=0)
        self.scale = torch.ones_like(self.mean)
        if self.standardize:
            self.scale = 1 / values.std(dim=0).clamp(min=1e-6)
        if self.dims is None:
            self.projection = torch.diag(self.scale)
        else:
            pca = PCA(
                min(self.dims, *values.shape), svd_solver='randomized', random_state=self.seed
            ).fit(((values - self.mean) * self.scale).cpu().numpy())
            components = torch.from_numpy(pca.components_).float().T.to(values.device)
            self.projection = self.scale[:, None] * components
        generator = torch.Generator().manual_seed(self.seed)
        picks = torch.randperm(len(values), generator=generator)[: self.num_reference].sort()[0]
        self.picks = picks.to(values.device)
        self.reference = self._project(values[picks])
        groups = groups_of(videos, held_out)
        distances = self._distances(values, groups, groups[picks])
        return distances, torch.ones_like(held_out)

    def forward(self, values: Tensor) -> Tensor:
        return self._distances(values.flatten(1))

    def nearest(self, values: Tensor, count: int) -> tuple[Tensor, Tensor]:
        distances, index = self._closest(self._project(values.flatten(1)), count)
        return distances, self.picks[index]

    def parts(self, values: Tensor) -> Tensor:
        """See :meth:`ScoreTerm.parts`. Of a difference between objects, principal components keep
        its projection on the space they span; that is as long as the distance, and each number of
        the quantity has its coordinate, whose square is its part."""
        at = self._project(values.flatten(1))
        _, index = self._closest(at, 1)
        # The components as they are, orthonormal: the projection scales the numbers before.
        components = self.projection / self.scale[:, None]
        spanned = (at - self.reference[index[:, 0]]) @ components.T
        return spanned.square().view(values.shape)

    def seen(self) -> tuple[Tensor, Tensor] | None:
        if self.dims is not None:
            return None
        return self.reference / self.scale + self.mean, self.picks

    def _closest(self, at: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """(n, D) projected to (n, K) distances and numbers of reference objects."""
        # Of few objects, exactly: by way of products, small distances are rounded off.
        pairs = torch.cdist(at, self.reference, compute_mode='donot_use_mm_for_euclid_dist')
        return pairs.topk(min(count, len(self.reference)), largest=False)

    def _project(self, values: Tensor) -> Tensor:
        return (values.float() - self.mean) @ self.projection

    def _distances(
        self, values: Tensor, videos: Tensor | None = None, owners: Tensor | None = None
    ) -> Tensor:
        """(n, F) -> (n,); references of an object's own video are left out where ``videos`` (n,)
        and ``owners`` (M,) say which they are."""
        distances = []
        count = min(self.neighbours, len(self.reference))
        for _, found, _ in nearest(values, self._project, self.reference, count, videos, owners):
            finite = found.isfinite()
            distances.append(found.where(finite, 0).sum(1) / finite.sum(1).clamp(min=1))
        return torch.cat(distances) if distances else values.new_zeros(0)
