"""Spatial part of the method (paper section 3.2): two branches that learn local patterns.

Shape letters:
    B: batch.
    C: channels of a crop, 3 (RGB) or 5 (RGB and flow), or of a detector's tokens.
    H, W: height and width of a crop, pixels.
    S: cells of an object in a detector's maps.
    N_q: queries.
    E_d: output dimension.
    N_s: sentences of a branch.
    S_t: text length in tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel, BaseModule, ModuleDict
from torch import Tensor

from mmvad.registry import MODELS


@MODELS.register_module()
class SpatialBranch(BaseModule):
    """Backbone, ITAM and contrastive loss of one branch.

    Args:
        backbone: config of the backbone, which says whether crops or tokens are looked at; gets
            ``in_channels``.
        itam: config of the alignment module.
        loss: config of the contrastive loss; ``None`` builds a branch for inference.
        in_channels: of the input's channels, the first so many are looked at, since optical flow,
            which is for one branch alone, comes last.
        normalize: whether the features are scaled to unit length, query by query. Training sees
            only cosines, so the length carries nothing that was learnt.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        backbone: dict,
        itam: dict,
        loss: dict | None = None,
        in_channels: int = 3,
        normalize: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.in_channels = in_channels
        self.normalize = normalize
        self.backbone = MODELS.build(dict(backbone, in_channels=in_channels))
        self.itam = MODELS.build(itam)
        self.loss_module = None if loss is None else MODELS.build(loss)
        if self.backbone.token_dim != self.itam.image.token_dim:
            raise ValueError(
                'backbone and itam.image must share token_dim, '
                f'got {self.backbone.token_dim} and {self.itam.image.token_dim}'
            )

    @property
    def feature_shape(self) -> tuple[int, int]:
        """(N_q, E_d)."""
        return self.itam.image.num_queries, self.itam.image.embed_dim

    @property
    def takes(self) -> str:
        """What the backbone looks at, ``'crops'`` or ``'tokens'``."""
        return self.backbone.takes

    def tokens(self, inputs: Tensor) -> Tensor:
        """Visual tokens (B, S_d, V_d) of normalised crops (B, C, H, W), or of tokens (B, S, C)."""
        return self.backbone(inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Local patterns.

        Args:
            inputs: (B, C, H, W), normalised crops, or (B, S, C), tokens.

        Returns:
            (B, N_q, E_d).
        """
        return self.patterns(self.tokens(inputs))

    def patterns(self, tokens: Tensor) -> Tensor:
        """Local patterns (B, N_q, E_d) of visual tokens (B, S_d, V_d)."""
        features, _ = self.itam(tokens)
        return F.normalize(features, dim=-1) if self.normalize else features

    def loss(self, inputs: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Contrastive loss (Eq. 1) and top-1 alignment accuracy.

        Args:
            inputs: (B, C, H, W), normalised crops, or (B, S, C), tokens.
            text: (B, N_s, S_t) int64 tokens of their sentences.
        """
        if self.loss_module is None:
            raise ValueError('the branch was built without a loss, for inference only')
        image, sentences = self.itam(self.tokens(inputs), text)
        return self.loss_module(image, sentences, text)

    def drop_text(self) -> None:
        """Removes what only training needs: the text side and the loss."""
        self.itam.drop_text()
        self.loss_module = None


@MODELS.register_module()
class SpatialModel(BaseModel):
    """The branches, trained in one pass over the data.

    They share no weights and each has its own loss, so one pass trains them as apart.

    Args:
        branches: name to config of a branch; the features are in the order of the names, whatever
            the config's, which dumping it changes.
        sentences: name of each branch to the keys of the sentences it learns.
        data_preprocessor: config of the data preprocessor.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        branches: Mapping[str, dict],
        sentences: Mapping[str, Sequence[str]],
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if set(branches) != set(sentences):
            raise ValueError(
                'branches and sentences must have the same names, '
                f'got {list(branches)} and {list(sentences)}'
            )
        self.branches = ModuleDict({n: MODELS.build(branches[n]) for n in sorted(branches)})
        self.sentences = {name: tuple(keys) for name, keys in sentences.items()}
        shapes = {name: branch.feature_shape for name, branch in self.branches.items()}
        if len(set(shapes.values())) != 1:
            raise ValueError(f'branches must share (N_q, E_d), got {shapes}')

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """(number of branches, N_q, E_d)."""
        first = next(iter(self.branches.values()))
        return len(self.branches), *first.feature_shape

    @property
    def text_length(self) -> int:
        """S_t: tokens of a sentence that all branches can take."""
        return min(branch.itam.text.max_length for branch in self.branches.values())

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Features of all branches (B, branches, N_q, E_d) of normalised crops (B, C, H, W), or of
        tokens (B, S, C)."""
        return torch.stack([branch(inputs) for branch in self.branches.values()], dim=1)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Mapping[str, Tensor] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | Tensor:
        """Losses or features.

        Args:
            inputs: (B, 1, C, H, W), normalised crops of one step, or (B, 1, S, C), its tokens.
            data_samples: in mode ``'loss'``, key of a sentence to its tokens, (B, S_t) int64.
            mode: ``'loss'`` or ``'tensor'``.

        Returns:
            ``'loss'``: ``loss_<branch>`` (summed by MMEngine), and ``acc_<branch>`` and
            ``temperature_<branch>`` for the log. ``'tensor'``: :meth:`extract_feat`.
        """
        inputs = inputs.squeeze(1)
        if mode == 'tensor':
            return self.extract_feat(inputs)
        if mode != 'loss':
            raise ValueError(f"mode: expected 'loss' or 'tensor', got {mode!r}")
        results = {}
        for name, branch in self.branches.items():
            loss, accuracy = branch.loss(inputs, self._tokens(name, data_samples))
            results[f'loss_{name}'] = loss
            results[f'acc_{name}'] = accuracy
            results[f'temperature_{name}'] = branch.loss_module.temperature.detach()
        return results

    def drop_text(self) -> None:
        """Removes what only training needs; ``state_dict`` then holds what inference needs."""
        for branch in self.branches.values():
            branch.drop_text()

    def _tokens(self, name: str, data_samples: Mapping[str, Tensor] | None) -> Tensor:
        """(B, N_s, S_t) tokens of a branch's sentences."""
        keys = self.sentences[name]
        missing = [key for key in keys if key not in (data_samples or {})]
        if missing:
            raise ValueError(f'data_samples: no tokens for {missing}, which branch {name!r} learns')
        return torch.stack([data_samples[key] for key in keys], dim=1)
