"""The byte-pair tokenizer of the text attention."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mmvad.datasets.transforms.tokenizer import ClipTokenizer

pytest.importorskip('open_clip')


def test_tokens_and_padding():
    tokenizer = ClipTokenizer(context_length=8)
    tokens = tokenizer(['A photo of a cat', 'a photo OF  a cat ', 'cat !'])
    assert tokens.shape == (3, 8) and tokens.dtype == torch.int64
    assert tokens[0].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407, 0]
    assert torch.equal(tokens[0], tokens[1])
    # The padding's id is that of '!': only what follows the end token is padding.
    assert tokens[2].tolist() == [49406, 2368, 256, 49407, 0, 0, 0, 0]
    assert tokenizer(['!!'])[0, 1] != 0
    assert (tokens[:, 0] == tokenizer.sot_token_id).all()
    assert tokens.argmax(dim=-1).tolist() == [6, 6, 3]
    assert tokenizer.eot_token_id == tokenizer.vocab_size - 1 == 49407
    assert tokens[0, -1] == tokenizer.pad_token_id


def test_long_sentences_keep_their_end():
    tokenizer = ClipTokenizer(context_length=6)
    tokens = tokenizer(['one two three four five six seven', 'one two three four'])
    full = ClipTokenizer()(['one two three four five six seven'])
    assert tokens[0, :5].tolist() == full[0, :5].tolist()
    assert tokens[:, -1].tolist() == [tokenizer.eot_token_id] * 2


def test_errors():
    with pytest.raises(ValueError, match='context_length'):
        ClipTokenizer(context_length=2)
    with pytest.raises(ValueError, match='list of sentences'):
        ClipTokenizer()('A man is walking')


def test_open_clip_is_imported_only_when_needed():
    code = (
        'import sys; from mmvad.registry import CAPTIONERS; '
        'assert CAPTIONERS.get("CLIPCaptioner") and CAPTIONERS.get("AttributeCaptioner"); '
        'assert "open_clip" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
