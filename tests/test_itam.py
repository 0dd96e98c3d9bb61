"""Image-Text Alignment Module: shapes, padding, sentences that repeat, and the text side's end."""

from __future__ import annotations

import pytest
import torch

from mmvad.models.itam import ITAM, ImageAttention, TextAttention
from mmvad.registry import MODELS

START, END = 98, 99
TEXT = dict(
    type='TextAttention',
    vocab_size=100,
    max_length=12,
    hidden_dim=16,
    embed_dim=8,
    num_layers=2,
    num_heads=2,
)
IMAGE = dict(
    type='ImageAttention',
    token_dim=24,
    num_queries=5,
    hidden_dim=16,
    embed_dim=8,
    num_layers=3,
    num_heads=2,
)


def sentence(*words: int, length: int = 12) -> list[int]:
    tokens = [START, *words, END]
    return tokens + [0] * (length - len(tokens))


def test_image_attention_shapes_and_layers():
    torch.manual_seed(0)
    image = MODELS.build(IMAGE)
    assert image(torch.randn(3, 10, 24)).shape == (3, 5, 8)
    crossing = [layer.cross_attention is not None for layer in image.layers]
    assert crossing == [True, False, True]
    with pytest.raises(ValueError, match='V_d=24'):
        image(torch.randn(3, 10, 23))


def test_queries_see_tokens_and_each_other():
    torch.manual_seed(0)
    image = ImageAttention(24, 5, 16, 8, num_layers=1, num_heads=2)
    tokens = torch.randn(2, 10, 24, requires_grad=True)
    output = image(tokens)
    gradient = torch.autograd.grad(output[0].square().sum(), tokens)[0]
    assert (gradient[0].abs().sum(-1) > 0).all() and not gradient[1].any()
    assert torch.pdist(output[0].detach()).min() > 1e-3  # queries differ
    gradient = torch.autograd.grad(image(tokens)[0, 0].square().sum(), image.queries)[0]
    assert (gradient.abs().sum(-1) > 0).all()  # through self-attention
    # positions are the backbone's: the order of the tokens says nothing by itself
    shuffled = tokens[:, torch.randperm(10)]
    torch.testing.assert_close(image(shuffled), output, rtol=1e-4, atol=1e-5)


def test_text_ignores_padding():
    torch.manual_seed(0)
    text = MODELS.build(TEXT).eval()
    short = text(torch.tensor([[sentence(4, 5, 6, length=5)]]))
    padded = text(torch.tensor([[sentence(4, 5, 6)]]))
    beside = text(torch.tensor([[sentence(4, 5, 6), sentence(*range(1, 11))]]))
    torch.testing.assert_close(padded, short)
    torch.testing.assert_close(beside[:, :1], short)


def test_zero_is_a_word_before_the_end_and_padding_after_it():
    torch.manual_seed(0)
    text = MODELS.build(TEXT)
    for words, counts in (((4, 5, 6), False), ((4, 0, 6), True)):
        features = text(torch.tensor([[sentence(*words)]]))
        weight = text.token_embedding.weight
        gradient = torch.autograd.grad(features.square().sum(), weight)[0]
        assert bool(gradient[0].any()) == counts


def test_text_is_read_at_its_end():
    torch.manual_seed(0)
    text = MODELS.build(dict(TEXT, num_layers=0))
    features = text(torch.tensor([[sentence(4, 5, 6), sentence(7)]]))[0]
    vectors = text.token_embedding.weight[END] + text.position_embedding[[4, 2]]
    torch.testing.assert_close(features, text.projection(text.norm(vectors)))


def test_text_depends_on_every_word_and_their_order():
    torch.manual_seed(0)
    text = MODELS.build(TEXT)
    variants = [(4, 5, 6), (7, 5, 6), (4, 7, 6), (4, 5, 7), (5, 4, 6), (4, 5)]
    features = text(torch.tensor([[sentence(*words) for words in variants]]))[0]
    assert torch.pdist(features.detach()).min() > 1e-3


def test_identical_sentences_are_encoded_once():
    torch.manual_seed(0)
    text = MODELS.build(TEXT)
    rows = [sentence(4, 5), sentence(6), sentence(7, 8, 9)]
    batch = torch.tensor([[rows[i] for i in pair] for pair in ([2, 0], [0, 0], [1, 2], [2, 2])])
    seen = []
    hook = text.layers[0].register_forward_hook(lambda _, __, output: seen.append(len(output)))
    features = text(batch)
    hook.remove()
    assert seen == [3]
    assert features.shape == (4, 2, 8)
    one_by_one = torch.stack([text.encode(s[None])[0] for s in batch.flatten(0, 1)])
    torch.testing.assert_close(features.flatten(0, 1), one_by_one, rtol=1e-4, atol=1e-5)


def test_text_refuses_what_is_too_long():
    with pytest.raises(ValueError, match='S_t <= 12'):
        MODELS.build(TEXT)(torch.zeros(1, 1, 13, dtype=torch.long))


def test_tokens_of_open_clip():
    open_clip = pytest.importorskip('open_clip')
    tokens = open_clip.tokenize(['a man is walking', 'a man is riding a bicycle !'])
    text = TextAttention(hidden_dim=16, embed_dim=8, num_layers=1, num_heads=2).eval()
    whole = text(tokens[None])
    assert whole.shape == (1, 2, 8)
    torch.testing.assert_close(text(tokens[None, :1, :6]), whole[:, :1])


def test_text_side_goes_after_training():
    torch.manual_seed(0)
    itam = MODELS.build(dict(type='ITAM', image=IMAGE, text=TEXT))
    tokens, text = torch.randn(2, 10, 24), torch.tensor([[sentence(4)], [sentence(5)]])
    image, sentences = itam(tokens, text)
    assert image.shape == (2, 5, 8) and sentences.shape == (2, 1, 8)
    alone, nothing = itam(tokens)
    assert nothing is None and alone.equal(image)

    trained = itam.state_dict()
    itam.drop_text()
    exported = itam.state_dict()
    assert exported.keys() == {key for key in trained if not key.startswith('text.')}
    bare = ITAM(image=IMAGE)
    bare.load_state_dict(exported)
    assert bare(tokens)[0].equal(image)
    with pytest.raises(ValueError, match='without its text side'):
        bare(tokens, text)


def test_sides_share_their_dimension():
    with pytest.raises(ValueError, match='embed_dim'):
        ITAM(image=IMAGE, text=dict(TEXT, embed_dim=6))
