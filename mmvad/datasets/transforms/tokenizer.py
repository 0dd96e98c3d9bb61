"""Byte-pair tokens of sentences."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class ClipTokenizer:
    """CLIP's lower-case byte-pair encoding, whose vocabulary ships with open_clip.

    A sentence becomes start token, words, end token, then padding. The padding's id 0 is a word's
    id too, but the end token has the highest id of all, so ``tokens.argmax(-1)`` is the place of
    the end and all that follows it is padding. A sentence longer than the context is cut and keeps
    its end token.

    Args:
        context_length: S_t, tokens of a sentence with its start and end.

    Raises:
        ValueError: If the context leaves no room for a word.
        ImportError: If open_clip is not installed.
    """

    pad_token_id = 0

    def __init__(self, context_length: int = 77) -> None:
        if context_length < 3:
            raise ValueError(
                f'ClipTokenizer.context_length: expected at least 3 (start, a word, end), '
                f'got {context_length}'
            )
        try:
            from open_clip import SimpleTokenizer
        except ImportError as error:
            raise ImportError(
                'ClipTokenizer takes its vocabulary from open_clip: pip install open_clip_torch'
            ) from error
        self._tokenizer = SimpleTokenizer(context_length=context_length)
        self.context_length = context_length
        self.vocab_size: int = self._tokenizer.vocab_size
        self.sot_token_id: int = self._tokenizer.sot_token_id
        self.eot_token_id: int = self._tokenizer.eot_token_id

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(N, S_t) int64 tokens of N sentences.

        Raises:
            ValueError: If a single string is given in place of a list, which would be taken for a
                list of letters.
        """
        if isinstance(texts, str):
            raise ValueError(f'ClipTokenizer: expected a list of sentences, got {texts!r}')
        return self._tokenizer(list(texts))
