"""From caption files to tokens."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from mmcv.transforms import BaseTransform

from mmvad.registry import TRANSFORMS
from mmvad.structures import captions_path, read_captions

from .tokenizer import ClipTokenizer


@TRANSFORMS.register_module()
class LoadTubeCaptions(BaseTransform):
    """Look up the sentences of one tube, as it looks at the stride it was loaded with.

    Required keys: ``video``, ``tubes``, ``tube``, ``stride``. Added: ``captions``, sentence key to
    text.

    Args:
        folder: Folder of the caption files, see
            :func:`~mmvad.structures.captions_path`.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._captions: dict[Path, list[dict[str, str]]] = {}

    def transform(self, results: dict) -> dict:
        path = captions_path(self.folder, results['video'], results['stride'])
        if path not in self._captions:
            self._captions[path] = read_captions(path, results['tubes'])
        results['captions'] = self._captions[path][results['tube']]
        return results


@TRANSFORMS.register_module()
class TokenizeCaptions(BaseTransform):
    """Turn sentences into tokens.

    Required key: ``captions``. Added: ``tokens``, sentence key to (S_t,) int64.

    Args:
        context_length: S_t, tokens of a sentence; shorter ones are padded with 0.
    """

    def __init__(self, context_length: int = 32) -> None:
        self.tokenizer = ClipTokenizer(context_length=context_length)
        self._tokens = lru_cache(maxsize=65536)(lambda text: self.tokenizer([text])[0])

    def transform(self, results: dict) -> dict:
        results['tokens'] = {key: self._tokens(text) for key, text in results['captions'].items()}
        return results
