"""Backbone, branches and the spatial model."""

from __future__ import annotations

import pytest
import torch

from mmvad.models.backbone import BranchBackbone
from mmvad.models.spatial import SpatialModel
from mmvad.registry import MODELS

SENTENCES = dict(action=('action',), appearance=('appearance', 'background', 'object'))
END = 49


def branch(**kwargs) -> dict:
    return dict(
        type='SpatialBranch',
        backbone=dict(type='BranchBackbone', grid=2, channels=32, token_dim=24),
        itam=dict(
            type='ITAM',
            image=dict(
                type='ImageAttention',
                token_dim=24,
                num_queries=4,
                hidden_dim=32,
                embed_dim=16,
                num_layers=2,
                num_heads=4,
            ),
            text=dict(
                type='TextAttention',
                vocab_size=50,
                max_length=8,
                hidden_dim=32,
                embed_dim=16,
                num_layers=1,
                num_heads=4,
            ),
        ),
        loss=dict(type='ImageTextContrastiveLoss'),
        **kwargs,
    )


def model(**kwargs) -> SpatialModel:
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='SpatialModel',
            branches=dict(action=branch(**kwargs), appearance=branch()),
            sentences=SENTENCES,
        )
    )


def captions(batch: int) -> dict[str, torch.Tensor]:
    keys = [key for names in SENTENCES.values() for key in names]
    words = torch.randint(1, 40, (len(keys), batch, 1), generator=torch.Generator().manual_seed(1))
    end = torch.full_like(words, END)
    return dict(zip(keys, torch.cat([words, end, torch.zeros_like(words)], -1), strict=True))


@pytest.mark.parametrize(
    ('reading', 'size', 'grid', 'resnet'),
    [
        ('two_stage', (224, 224), 16, (128, 28, 28)),
        ('dilated', (224, 224), 16, (512, 28, 28)),
        ('two_stage', (64, 64), 8, (128, 8, 8)),
        ('two_stage', (48, 64), 3, (128, 6, 8)),
        ('dilated', (32, 32), 6, (512, 4, 4)),  # a map smaller than the grid
    ],
)
def test_backbone_shapes(reading, size, grid, resnet):
    backbone = BranchBackbone(reading, grid=grid, token_dim=20, channels=512).eval()
    shapes = []
    backbone.resnet.register_forward_hook(lambda _, __, output: shapes.append(output.shape[1:]))
    reduced = []
    backbone.reduce.register_forward_hook(lambda _, __, output: reduced.append(output.shape[1]))
    with torch.no_grad():
        tokens = backbone(torch.randn(1, 3, *size))
    assert tokens.shape == (1, grid**2 + 1, 20)
    assert shapes == [resnet] and reduced == [512]


def test_backbone_puts_the_class_token_first_and_the_grid_row_by_row():
    torch.manual_seed(0)
    backbone = BranchBackbone(grid=8, token_dim=20, channels=32).eval()
    torch.nn.init.zeros_(backbone.position)
    image = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        empty = backbone(image)
        image[:, :, 16:20, 48:52] = 1.0  # cell row 2, column 6
        change = (backbone(image) - empty).norm(dim=-1)[0]
    assert change[0] == 0
    # the centre of what changed, weighted by how much
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing='ij')
    weight = change[1:].view(8, 8).square() / change.square().sum()
    assert (weight * rows).sum().item() == pytest.approx(1.8, abs=0.7)
    assert (weight * columns).sum().item() == pytest.approx(5.8, abs=0.7)
    with pytest.raises(ValueError, match='reading'):
        BranchBackbone('three_stage')
    with pytest.raises(ValueError, match='at least 3 channels'):
        backbone(torch.zeros(1, 2, 64, 64))


def test_a_branch_looks_at_its_first_channels():
    image, flow = MODELS.build(branch()).eval(), MODELS.build(branch(in_channels=5)).eval()
    assert image.backbone.in_channels == 3 and flow.backbone.in_channels == 5
    crops = torch.randn(2, 5, 32, 32)
    other = torch.cat([crops[:, :3], torch.randn(2, 2, 32, 32)], 1)
    with torch.no_grad():
        assert image(crops).shape == flow(crops).shape == (2, 4, 16)
        assert image(other).equal(image(crops)) and image(crops[:, :3]).equal(image(crops))
        assert not torch.allclose(flow(other), flow(crops), atol=1e-3)


def test_a_branch_that_needs_flow_says_what_measures_it():
    with pytest.raises(ValueError, match=r'at least 5 channels.*\(2, 3, 32, 32\).*ComputeTubeFlow'):
        MODELS.build(branch(in_channels=5))(torch.randn(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r'got \(2, 1, 3, 32, 32\)$'):
        MODELS.build(branch())(torch.randn(2, 1, 3, 32, 32))
    # Of both branches, one step at a time.
    with pytest.raises(ValueError, match=r'got \(2, 4, 3, 32, 32\)'):
        model()(torch.randn(2, 4, 3, 32, 32))


@pytest.mark.parametrize('training', [False, True])
def test_crops_are_normalised_and_flow_stays_as_it_is(training):
    preprocessor = MODELS.build(dict(type='TubeDataPreprocessor', brightness=10.0, contrast=0.1))
    images = torch.randint(0, 256, (4, 2, 3, 8, 8), dtype=torch.uint8)
    flow = torch.randn(4, 2, 2, 8, 8)

    def ready(crops):
        torch.manual_seed(0)
        return preprocessor(dict(inputs=crops), training=training)['inputs']

    both = ready(torch.cat([images.float(), flow], dim=2))
    assert both.shape == (4, 2, 5, 8, 8) and both[:, :, 3:].equal(flow)
    assert both[:, :, :3].equal(ready(images))
    plain = images.flip(2).float() - preprocessor.mean
    assert torch.allclose(both[:, :, :3], plain / preprocessor.std) != training


def test_features_of_a_query_have_unit_length():
    scaled = MODELS.build(branch()).eval()
    raw = MODELS.build(branch(normalize=False)).eval()
    raw.load_state_dict(scaled.state_dict())
    crops = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(scaled(crops).norm(dim=-1), torch.ones(2, 4))
    assert (raw(crops).norm(dim=-1) - 1).abs().min() > 1e-3
    cosine = torch.cosine_similarity(scaled(crops), raw(crops), dim=-1)
    torch.testing.assert_close(cosine, torch.ones(2, 4))


def test_model_modes():
    spatial = model(in_channels=5)
    assert spatial.feature_shape == (2, 4, 16)
    inputs = torch.randn(5, 1, 5, 32, 32)
    losses = spatial(inputs, captions(5), mode='loss')
    assert sorted(losses) == [
        'acc_action',
        'acc_appearance',
        'loss_action',
        'loss_appearance',
        'temperature_action',
        'temperature_appearance',
    ]
    total, log = spatial.parse_losses(losses)
    torch.testing.assert_close(total, losses['loss_action'] + losses['loss_appearance'])
    assert log['temperature_action'].item() == pytest.approx(0.07)
    spatial.eval()
    with torch.no_grad():
        features = spatial(inputs, mode='tensor')
        crops = inputs[:, 0]
        assert features.equal(spatial.extract_feat(crops)) and features.shape == (5, 2, 4, 16)
        for index, name in enumerate(SENTENCES):
            assert features[:, index].equal(spatial.branches[name](crops))
    assert not features[:, 0].equal(features[:, 1])
    with pytest.raises(ValueError, match="'background', 'object'"):
        spatial(inputs, {k: captions(5)[k] for k in ('action', 'appearance')}, mode='loss')
    with pytest.raises(ValueError, match='mode'):
        spatial(inputs, mode='predict')


@pytest.mark.parametrize(('name', 'other'), [('action', 'appearance'), ('appearance', 'action')])
def test_branches_share_nothing(name, other):
    """The gradient of one branch's loss stops at the branch, so one pass trains them as apart."""
    spatial = model()
    spatial(torch.randn(4, 1, 3, 32, 32), captions(4), mode='loss')[f'loss_{name}'].backward()
    assert all(parameter.grad is None for parameter in spatial.branches[other].parameters())
    unused = [
        key
        for key, parameter in spatial.branches[name].named_parameters()
        if parameter.grad is None
    ]
    assert unused == []


def test_one_pass_trains_as_apart():
    inputs, text = torch.randn(4, 1, 3, 32, 32), captions(4)
    together, apart = model(), model()
    optimizer = torch.optim.AdamW(together.parameters(), lr=1e-3)
    separate = {n: torch.optim.AdamW(b.parameters(), lr=1e-3) for n, b in apart.branches.items()}
    for _ in range(2):
        losses = together(inputs, text, mode='loss')
        optimizer.zero_grad()
        (losses['loss_action'] + losses['loss_appearance']).backward()
        optimizer.step()
    for name, own in separate.items():
        for _ in range(2):
            loss = apart(inputs, text, mode='loss')[f'loss_{name}']
            own.zero_grad()
            loss.backward()
            own.step()
    for (key, first), second in zip(together.named_parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(first, second, msg=lambda m, k=key: f'{k}: {m}')


def test_weights_for_inference():
    spatial = model().eval()
    inputs = torch.randn(2, 1, 3, 32, 32)
    expected = spatial(inputs)
    trained = spatial.state_dict()
    spatial.drop_text()
    exported = spatial.state_dict()
    assert any('text' in key for key in trained)
    assert not any('.text.' in key or 'loss' in key for key in exported)
    cfg = branch()
    cfg['loss'] = None
    cfg['itam']['text'] = None
    bare = SpatialModel(dict(action=cfg, appearance=cfg), SENTENCES).eval()
    bare.load_state_dict(exported)
    assert bare(inputs).equal(expected)
    with pytest.raises(ValueError, match='inference only'):
        bare(inputs, captions(2), mode='loss')


def test_initialisation_reaches_both_branches():
    spatial = model()
    before = {key: value.clone() for key, value in spatial.state_dict().items()}
    spatial.init_weights()  # as MMEngine's runner does
    after = spatial.state_dict()
    changed = {key for key in before if not before[key].equal(after[key])}
    for name in SENTENCES:
        assert f'branches.{name}.backbone.resnet.layer2.0.conv1.conv.weight' in changed
    assert all('.backbone.' in key for key in changed)


def test_learns_to_tell_shapes_apart():
    """Four kinds of crops with a sentence each: the loss falls and new crops are told apart."""
    spatial = model()
    generator = torch.Generator().manual_seed(3)
    word = torch.tensor([5, 11, 17, 23])

    def crops(count: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        kind = torch.randint(4, (count,), generator=generator)
        inputs = 0.3 * torch.randn(count, 1, 3, 32, 32, generator=generator)
        for index, which in enumerate(kind.tolist()):
            row, column = divmod(which, 2)
            inputs[index, ..., 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] += 1.5
        text = torch.stack([word[kind], torch.full((count,), END), torch.zeros(count).long()], -1)
        return inputs, dict.fromkeys(captions(1), text)

    optimizer = torch.optim.AdamW(spatial.parameters(), lr=1e-3)
    history = []
    for _ in range(40):
        losses = spatial(*crops(16), mode='loss')
        total, _ = spatial.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(total.item())
    # the floor of shared targets, log 4 a branch when four kinds share sixteen crops
    assert sum(history[-5:]) / 5 < sum(history[:5]) / 5 - 0.5
    spatial.eval()
    with torch.no_grad():
        losses = spatial(*crops(64), mode='loss')
    assert losses['acc_action'] > 0.9 and losses['acc_appearance'] > 0.9


def test_refuses_branches_that_do_not_fit():
    with pytest.raises(ValueError, match='same names'):
        SpatialModel(dict(action=branch()), SENTENCES)
    cfg = branch()
    cfg['backbone']['token_dim'] = 20
    with pytest.raises(ValueError, match='token_dim'):
        MODELS.build(cfg)
    other = branch()
    other['itam']['image']['num_queries'] = 3
    with pytest.raises(ValueError, match='N_q, E_d'):
        SpatialModel(dict(action=branch(), appearance=other), SENTENCES)


def test_paper_size():
    """One step of optimisation at the published sizes (section 4.2)."""
    torch.manual_seed(0)
    cfg = dict(
        type='SpatialBranch',
        backbone=dict(type='BranchBackbone'),
        itam=dict(type='ITAM', image=dict(type='ImageAttention'), text=dict(type='TextAttention')),
        loss=dict(type='ImageTextContrastiveLoss'),
    )
    # one branch: the other has the same shape, and weights and gradients of both take 4 GB
    spatial = SpatialModel(dict(appearance=cfg), dict(appearance=SENTENCES['appearance']))
    module = spatial.branches['appearance']
    shapes = []
    module.backbone.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    module.itam.image.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    module.itam.text.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    inputs = torch.randn(2, 1, 3, 224, 224)
    text = torch.zeros(2, 77, dtype=torch.long)
    text[:, :5] = torch.tensor([[49406, 320, 786, 11, 49407], [49406, 320, 786, 12, 49407]])
    optimizer = torch.optim.SGD(spatial.parameters(), lr=1e-2)
    samples = dict.fromkeys(SENTENCES['appearance'], text)
    loss = spatial(inputs, samples, mode='loss')['loss_appearance']
    loss.backward()
    optimizer.step()
    assert shapes == [(2, 257, 1408), (2, 32, 256), (2, 3, 256)]
    assert len(module.itam.image.layers) == 12
    assert loss.isfinite()
    spatial.drop_text()
    with torch.no_grad():
        features = spatial.eval()(inputs)
    assert features.shape == (2, 1, 32, 256) and features.isfinite().all()
