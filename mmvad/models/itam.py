"""Image-Text Alignment Module (paper section 3.2).

Shape letters:
    B: batch.
    S_d: visual tokens of an image.
    V_d: dimension of a visual token.
    N_q: queries.
    H_d: hidden dimension.
    E_d: output dimension.
    N_s: sentences of an image.
    S_t: text length in tokens.
    U: different sentences in a batch.
"""

from __future__ import annotations

import torch
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from mmvad.registry import MODELS


def _feed_forward(dim: int, ratio: float, dropout: float) -> nn.Sequential:
    hidden = int(dim * ratio)
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, hidden),
        nn.GELU(),
        nn.Linear(hidden, dim),
        nn.Dropout(dropout),
    )


class QueryLayer(BaseModule):
    """Self-attention of the queries, cross-attention to the visual tokens, feed-forward.

    Each part reads normalised queries and adds to them, which trains from scratch without the care
    that normalising after the sum needs.

    Args:
        hidden_dim: H_d.
        token_dim: V_d.
        num_heads: attention heads.
        with_cross: whether the layer looks at the visual tokens.
        ffn_ratio: width of the feed-forward part over H_d.
        dropout: probability, in attention and feed-forward.
    """

    def __init__(
        self,
        hidden_dim: int,
        token_dim: int,
        num_heads: int,
        with_cross: bool,
        ffn_ratio: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(hidden_dim)
        self.self_attention = nn.MultiheadAttention(
            hidden_dim, num_heads, dropout=dropout, batch_first=True
        )
        self.cross_attention = None
        if with_cross:
            self.cross_norm = nn.LayerNorm(hidden_dim)
            self.cross_attention = nn.MultiheadAttention(
                hidden_dim,
                num_heads,
                dropout=dropout,
                kdim=token_dim,
                vdim=token_dim,
                batch_first=True,
            )
        self.feed_forward = _feed_forward(hidden_dim, ffn_ratio, dropout)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """(B, N_q, H_d) queries and (B, S_d, V_d) tokens to (B, N_q, H_d)."""
        x = self.self_norm(queries)
        queries = queries + self.self_attention(x, x, x, need_weights=False)[0]
        if self.cross_attention is not None:
            x = self.cross_norm(queries)
            queries = queries + self.cross_attention(x, tokens, tokens, need_weights=False)[0]
        return queries + self.feed_forward(queries)


@MODELS.register_module()
class ImageAttention(BaseModule):
    """Image-attention Module: learnable queries collect local patterns from the visual tokens.

    Args:
        token_dim: V_d.
        num_queries: N_q.
        hidden_dim: H_d.
        embed_dim: E_d.
        num_layers: layers.
        num_heads: attention heads; divides H_d.
        cross_every: cross-attention in layers 0, cross_every, 2 cross_every, ...
        ffn_ratio: width of the feed-forward parts over H_d.
        dropout: probability, in attention and feed-forward.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        token_dim: int = 1408,
        num_queries: int = 32,
        hidden_dim: int = 768,
        embed_dim: int = 256,
        num_layers: int = 12,
        num_heads: int = 12,
        cross_every: int = 2,
        ffn_ratio: float = 4.0,
        dropout: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_layers < 1 or cross_every < 1:
            raise ValueError(
                'expected num_layers >= 1 and cross_every >= 1, '
                f'got num_layers={num_layers}, cross_every={cross_every}'
            )
        self.token_dim = token_dim
        self.num_queries = num_queries
        self.embed_dim = embed_dim
        self.queries = nn.Parameter(torch.randn(num_queries, hidden_dim) * 0.02)
        self.token_norm = nn.LayerNorm(token_dim)
        self.layers = ModuleList(
            QueryLayer(
                hidden_dim, token_dim, num_heads, index % cross_every == 0, ffn_ratio, dropout
            )
            for index in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_dim)
        self.projection = nn.Linear(hidden_dim, embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Local patterns of an image.

        Args:
            tokens: (B, S_d, V_d).

        Returns:
            (B, N_q, E_d).
        """
        if tokens.ndim != 3 or tokens.shape[-1] != self.token_dim:
            raise ValueError(
                f'tokens: expected (B, S_d, V_d={self.token_dim}), got {tuple(tokens.shape)}'
            )
        tokens = self.token_norm(tokens)
        queries = self.queries.expand(tokens.shape[0], -1, -1)
        for layer in self.layers:
            queries = layer(queries, tokens)
        return self.projection(self.norm(queries))


@MODELS.register_module()
class TextAttention(BaseModule):
    """Text-attention Module: one vector a sentence, read at its end-of-text token.

    Tokens are as open_clip's tokenizer makes them: start, words, end, then zeros. Zero is a word
    too, so what follows the first end-of-text token (the highest id of a sentence) is the padding.

    Args:
        vocab_size: number of token ids.
        max_length: longest sentence, in tokens.
        hidden_dim: H_d.
        embed_dim: E_d.
        num_layers: layers.
        num_heads: attention heads; divides H_d.
        ffn_ratio: width of the feed-forward parts over H_d.
        dropout: probability, in attention and feed-forward.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        vocab_size: int = 49408,
        max_length: int = 77,
        hidden_dim: int = 768,
        embed_dim: int = 256,
        num_layers: int = 12,
        num_heads: int = 12,
        ffn_ratio: float = 4.0,
        dropout: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.max_length = max_length
        self.embed_dim = embed_dim
        self.token_embedding = nn.Embedding(vocab_size, hidden_dim)
        self.position_embedding = nn.Parameter(torch.randn(max_length, hidden_dim) * 0.02)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        layers = []
        for _ in range(num_layers):  # built one by one: nn.TransformerEncoder would repeat weights
            layers.append(
                nn.TransformerEncoderLayer(
                    hidden_dim,
                    num_heads,
                    dim_feedforward=int(hidden_dim * ffn_ratio),
                    dropout=dropout,
                    activation='gelu',
                    batch_first=True,
                    norm_first=True,
                )
            )
        self.layers = ModuleList(layers)
        self.norm = nn.LayerNorm(hidden_dim)
        self.projection = nn.Linear(hidden_dim, embed_dim)

    def forward(self, text: Tensor) -> Tensor:
        """Features of sentences; identical sentences of a batch are encoded once.

        Args:
            text: (B, N_s, S_t) int64.

        Returns:
            (B, N_s, E_d).
        """
        if text.ndim != 3 or text.shape[-1] > self.max_length:
            raise ValueError(
                f'text: expected (B, N_s, S_t <= {self.max_length}), got {tuple(text.shape)}'
            )
        sentences, index = torch.unique(text.flatten(0, 1), dim=0, return_inverse=True)
        return self.encode(sentences)[index].unflatten(0, text.shape[:2])

    def encode(self, sentences: Tensor) -> Tensor:
        """Features of single sentences: (U, S_t) int64 -> (U, E_d)."""
        end = sentences.argmax(dim=-1)  # the first end-of-text token
        length = int(end.max()) + 1
        positions = torch.arange(length, device=sentences.device)
        padding = positions > end[:, None]
        x = self.token_embedding(sentences[:, :length]) + self.position_embedding[:length]
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        pooled = x[torch.arange(len(x), device=x.device), end]
        return self.projection(self.norm(pooled))


@MODELS.register_module()
class ITAM(BaseModule):
    """Both sides of the alignment. Only the image side is used after training.

    Args:
        image: config of the image side, such as ``dict(type='ImageAttention')``.
        text: config of the text side, such as ``dict(type='TextAttention')``; ``None`` builds a
            model for inference. Its weights are those under the prefix ``text.``.
        init_cfg: MMEngine initialisation.
    """

    def __init__(self, image: dict, text: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.image = MODELS.build(image)
        self.text = None if text is None else MODELS.build(text)
        if self.text is not None and self.text.embed_dim != self.image.embed_dim:
            raise ValueError(
                'image and text must share embed_dim, '
                f'got {self.image.embed_dim} and {self.text.embed_dim}'
            )

    def forward(self, tokens: Tensor, text: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Features of images and, in training, of their sentences.

        Args:
            tokens: (B, S_d, V_d) visual tokens.
            text: (B, N_s, S_t) int64, or ``None`` for the image side alone.

        Returns:
            (B, N_q, E_d) image features, and (B, N_s, E_d) text features or ``None``.
        """
        if text is None:
            return self.image(tokens), None
        if self.text is None:
            raise ValueError('text given to an ITAM without its text side')
        return self.image(tokens), self.text(text)

    def drop_text(self) -> None:
        """Removes the text side, so that the weights hold what inference needs."""
        self.text = None
