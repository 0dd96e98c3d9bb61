"""Scorer, the whole model at the paper's sizes, and the configs."""

import numpy as np
import pytest
import torch
from conftest import REPO, tiny_config
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DefaultScope
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from mmvad.engine.stages import inference_copy
from mmvad.models import LocalVAD, ObjectScorer
from mmvad.models.scorer import NearestDistance
from mmvad.registry import CAPTIONERS, DATASETS, MODELS, RUNNERS
from mmvad.structures import ObjectTubes

WEIGHTS = dict(smm=1.0, action=0.5, appearance=2.0)


def data(n=300) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What the scorer takes, of training objects in five videos, and the videos."""
    generator = torch.Generator().manual_seed(0)

    def draw(dims: int, low: float, high: float) -> torch.Tensor:
        mixed = torch.randn(n, dims, generator=generator) * torch.linspace(low, high, dims)
        return mixed @ torch.linalg.qr(torch.randn(dims, dims, generator=generator))[0] + low

    values = dict(
        smm=torch.rand(n, generator=generator) + 0.1,
        action=draw(12, 1, 3),
        appearance=draw(12, 0.1, 2),
        attributes=draw(3, 1, 5) * torch.tensor([1.0, 10.0, 0.1]),
    )
    return values, torch.arange(n) % 5


class TestDistances:
    def test_patterns_are_compared_as_scikit_learn_would(self):
        values, videos = data()
        scorer = ObjectScorer(WEIGHTS, dims=5, num_reference=1000, neighbours=4)
        scorer.fit(values, videos)
        for name in ('action', 'appearance'):
            pca = PCA(5).fit(values[name].numpy())
            new = values[name][:20] * 1.3 + 0.2
            nearest = NearestNeighbors(n_neighbors=4).fit(pca.transform(values[name].numpy()))
            expected = nearest.kneighbors(pca.transform(new.numpy()))[0].mean(axis=1)
            np.testing.assert_allclose(scorer.distances[name](new), expected, rtol=2e-3)

    def test_attributes_are_standardised_and_have_neighbours_of_their_own(self):
        values, videos = data()
        weights = dict(action=1.0, attributes=1.0)
        scorer = ObjectScorer(weights, num_reference=1000, neighbours=50, attribute_neighbours=2)
        scorer.fit(values, videos)
        scale = StandardScaler().fit(values['attributes'].numpy())
        new = values['attributes'][:20] * 1.1
        nearest = NearestNeighbors(n_neighbors=2)
        nearest.fit(scale.transform(values['attributes'].numpy()))
        expected = nearest.kneighbors(scale.transform(new.numpy()))[0].mean(axis=1)
        # n or n - 1 in the standard deviation.
        np.testing.assert_allclose(scorer.distances['attributes'](new), expected, rtol=5e-3)

    def test_in_training_an_objects_own_video_is_left_out(self):
        values, videos = data()
        distance = NearestDistance(12, num_reference=1000, neighbours=3, seed=0)
        fitted = distance.fit(values['action'], videos)
        patterns, owners = values['action'].numpy(), videos.numpy()
        pairs = np.linalg.norm(patterns[:, None] - patterns[None], axis=-1)
        pairs[owners[:, None] == owners[None]] = np.inf
        np.testing.assert_allclose(fitted, np.sort(pairs)[:, :3].mean(axis=1), rtol=2e-3)

    def test_as_many_references_are_kept_as_are_asked_for(self):
        values, videos = data()
        distance = NearestDistance(12, num_reference=40, neighbours=1, seed=0)
        distance.fit(values['action'], videos)
        assert distance.reference.shape == (40, 12)
        # The references are training objects: each is at no distance of itself.
        assert (distance(values['action']) < 1e-2).sum() == 40


class TestScorer:
    def fitted(self, weights=WEIGHTS, **kwargs):
        values, videos = data()
        scorer = ObjectScorer(weights, dims=8, neighbours=3, **kwargs)
        scorer.fit(values, videos)
        return scorer, values

    def test_each_quantity_is_the_standardised_log_of_its_distance(self):
        values, videos = data()
        scorer = ObjectScorer(dict(smm=1.0, action=1.0))
        scorer.fit(values, videos)
        nearest = NearestDistance(64, 4000, 3, seed=0).fit(values['action'], videos)
        new = {name: value[:9] * 1.2 for name, value in values.items()}
        scores = scorer(new)
        far = scorer.distances['action'](new['action'])
        for name, train, found in (
            ('smm', values['smm'], new['smm']),
            ('action', nearest, far),
        ):
            expected = (found.log() - train.log().mean()) / train.log().std()
            torch.testing.assert_close(scores[name], expected, rtol=1e-3, atol=1e-3)

    def test_channels_are_weighted_sums(self):
        scorer, values = self.fitted(dict(WEIGHTS, attributes=4.0))
        scores = scorer(values)
        names = ['smm', 'action', 'appearance', 'attributes', 'spatial', 'both', 'all']
        assert list(scores) == list(scorer.floors) == list(scorer.channels) == names
        sums = dict(
            spatial=(0.5 * scores['action'] + 2 * scores['appearance']) / 4.25**0.5,
            both=(scores['smm'] + 0.5 * scores['action'] + 2 * scores['appearance']) / 5.25**0.5,
            all=(
                scores['smm']
                + 0.5 * scores['action']
                + 2 * scores['appearance']
                + 4 * scores['attributes']
            )
            / 21.25**0.5,
        )
        for name, expected in sums.items():
            torch.testing.assert_close(scores[name], expected, rtol=1e-4, atol=1e-5)
        # The error knows no videos, so its training scores are these.
        assert scores['smm'].mean() == pytest.approx(0, abs=1e-4)
        assert scores['smm'].std() == pytest.approx(1, abs=1e-3)
        assert scorer.floors['smm'] == pytest.approx(float(scores['smm'].min()), abs=1e-5)

    @pytest.mark.parametrize(
        ('weights', 'channels'),
        [
            (dict(smm=1.0), ['smm', 'both', 'all']),
            (dict(attributes=2.0), ['attributes', 'all']),
            (dict(gait=1.0, attributes=1.0), ['gait', 'attributes', 'spatial', 'both', 'all']),
        ],
    )
    def test_there_are_no_channels_of_what_has_no_weight(self, weights, channels):
        assert list(ObjectScorer(weights).channels) == channels

    @pytest.mark.parametrize('name', ['smm', 'action', 'appearance', 'attributes'])
    def test_what_is_unlike_training_scores_higher_in_its_own_quantity(self, name):
        scorer, values = self.fitted(dict(WEIGHTS, attributes=1.0))
        near = {key: value[:1] for key, value in values.items()}
        far = dict(near, **{name: near[name] * 20 + 30})
        before, after = scorer(near), scorer(far)
        for channel, parts in scorer.channels.items():
            if name in parts:
                assert after[channel] > before[channel] + 1
            else:
                assert torch.equal(after[channel], before[channel])

    def test_loads_into_a_fresh_one_and_refuses_to_score_unfitted(self):
        scorer, values = self.fitted(dict(WEIGHTS, attributes=1.0))
        other = ObjectScorer(scorer.weights, dims=8)
        with pytest.raises(RuntimeError, match='not fitted'):
            other(values)
        other.load_state_dict(scorer.state_dict())
        for channel, scores in scorer(values).items():
            assert torch.equal(other(values)[channel], scores)
        assert other.floors == scorer.floors

    def test_attributes_with_a_weight_must_be_there_and_others_need_not(self):
        scorer, values = self.fitted(dict(smm=1.0, attributes=1.0))
        with pytest.raises(ValueError, match='MeasureAttributes'):
            scorer(dict(values, attributes=None))
        scores = scorer({name: values[name] for name in ('smm', 'attributes')})
        assert torch.equal(scores['all'], scorer(values)['all'])

    @pytest.mark.parametrize('weights', [{}, dict(smm=0.0), dict(smm=1.0, action=-1.0)])
    def test_weights_are_checked(self, weights):
        with pytest.raises(ValueError, match='scorer.weights: expected weights > 0'):
            ObjectScorer(weights)


def test_one_step_of_each_stage_at_the_papers_sizes(plaza, tmp_path):
    """configs/localvad/ped2.py, batch cut to 2: the shape at every arrow of the flow."""
    cfg = tiny_config(plaza, tmp_path, name='ped2', stage='tubes')
    cfg.test_dataset = None
    RUNNERS.build(cfg).train()
    cfg.stage = 'captions'
    RUNNERS.build(cfg).train()
    DefaultScope.get_instance('paper', scope_name='mmvad')
    shapes: dict[str, tuple] = {}

    def note(name):
        def hook(module, inputs, output):
            shapes[name] = tuple(output.shape)

        return hook

    # frames -> tubes -> crops and tokens
    dataset_cfg = cfg.stages.spatial.train_dataloader.dataset.to_dict()
    dataset_cfg['pipeline'][2]['folder'] = str(tmp_path / 'captions')
    dataset = DATASETS.build(
        dict(
            dataset_cfg,
            videos=cfg.train_dataset,
            proposals=str(tmp_path / 'proposals/training'),
        )
    )
    batch = default_collate([dataset[0], dataset[1]])
    assert batch['inputs'].shape == (2, 1, 3, 224, 224) and batch['inputs'].dtype == torch.uint8
    assert set(batch['data_samples']) == {'action', 'appearance', 'background', 'object'}
    assert batch['data_samples']['action'].shape == (2, 32)

    # crops -> backbone -> ITAM, one optimisation step
    spatial = MODELS.build(cfg.model.spatial).train()
    for name, branch in spatial.branches.items():
        branch.backbone.resnet.register_forward_hook(note(f'{name}.resnet'))
        branch.backbone.reduce.register_forward_hook(note(f'{name}.reduce'))
        branch.backbone.register_forward_hook(note(f'{name}.tokens'))
        branch.itam.image.register_forward_hook(note(f'{name}.image'))
        branch.itam.text.register_forward_hook(note(f'{name}.text'))
        assert tuple(branch.itam.image.queries.shape) == (32, 768)
    optimizer = torch.optim.AdamW(spatial.parameters(), lr=1e-4)
    before = spatial.branches.action.itam.image.queries.detach().clone()
    data = spatial.data_preprocessor(batch, training=True)
    losses = spatial(**data, mode='loss')
    (losses['loss_action'] + losses['loss_appearance']).backward()
    optimizer.step()
    for name, sentences in (('action', 1), ('appearance', 3)):
        assert shapes[f'{name}.resnet'] == (2, 128, 28, 28)
        assert shapes[f'{name}.reduce'] == (2, 512, 28, 28)
        assert shapes[f'{name}.tokens'] == (2, 257, 1408)
        assert shapes[f'{name}.image'] == (2, 32, 256)
        assert shapes[f'{name}.text'] == (2, sentences, 256)
    assert not torch.equal(before, spatial.branches.action.itam.image.queries)
    del optimizer, losses, before

    # crops of a tube -> features
    model = MODELS.build(cfg.model)
    assert model.temporal.steps == 6
    features = model.extract(torch.randint(0, 255, (2, 6, 3, 224, 224), dtype=torch.uint8))
    assert features.shape == (2, 6, 2, 32, 256)

    # features -> fusion -> SMM, one optimisation step
    temporal = model.temporal
    temporal.fusion.register_forward_hook(note('fused'))
    temporal.smm.encoder.register_forward_hook(note('u'))
    temporal.smm.C.register_forward_hook(note('kernel'))
    temporal.smm.decoder.register_forward_hook(note('decoded'))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-5)
    before = temporal.smm.C.weight.detach().clone()
    model(features, mode='loss')['loss'].backward()
    optimizer.step()
    assert shapes['fused'] == (2, 5, 32, 256)
    assert shapes['u'] == (2, 5, 64) and temporal.smm.in_channels == 8192
    assert shapes['kernel'] == (5, 64) and tuple(temporal.smm.A.shape) == (64, 64)
    assert shapes['decoded'] == (2, 2 * 8192)
    assert not torch.equal(before, temporal.smm.C.weight)
    assert all(p.grad is None for p in model.spatial.parameters())


def small_model(**scorer) -> LocalVAD:
    """That of configs/localvad/plaza.py: its action branch sees flow, the other does not."""
    cfg = Config.fromfile(REPO / 'configs/localvad/plaza.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvad'):
        return MODELS.build(dict(cfg.model, scorer=dict(cfg.model.scorer, **scorer))).eval()


def test_extraction_gives_every_step_its_own_crop():
    """Features of a tube equal those of its crops, one by one."""
    model = small_model()
    images = torch.randint(0, 255, (2, 6, 3, 48, 48)).float()
    crops = torch.cat([images, torch.randn(2, 6, 2, 48, 48)], dim=2)
    features = model.extract(crops)
    assert features.shape == (2, 6, 2, 8, 64)
    for step in (0, 3, 5):
        crop = model.spatial.data_preprocessor.normalize(crops[:, step])
        expected = model.spatial.extract_feat(crop)
        torch.testing.assert_close(features[:, step], expected, rtol=1e-4, atol=1e-5)
    # As the feature stage runs it.
    torch.testing.assert_close(inference_copy(model).extract(crops), features, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match='at least 5 channels.*ComputeTubeFlow'):
        model.extract(images.byte())


def test_the_scorer_gets_errors_and_the_tubes_mean_patterns():
    weights = dict(smm=1.0, action=1.0, appearance=1.0, attributes=1.0)
    model = small_model(weights=weights, dims=4, neighbours=3)
    inputs = torch.randn(30, 6, 2, 8, 64)
    with torch.no_grad():
        measured = model.measure(inputs)
        assert set(measured) == {'smm', 'action', 'appearance'}
        for index, name in enumerate(('action', 'appearance')):
            expected = inputs[:, :, index].mean(dim=1).flatten(1)
            torch.testing.assert_close(measured[name], expected)
        torch.testing.assert_close(measured['smm'], model.temporal.errors(inputs))

        videos, attributes = torch.arange(30) % 3, torch.randn(30, 2)
        figures = model.calibrate(inputs, videos, attributes, batch_size=8)
        whole = model.temporal.diagnostics(inputs)
        assert set(figures) == set(whole)
        other = ObjectScorer(weights, dims=4)
        values = dict(measured, attributes=attributes)
        other.fit(values, videos)
        expected = other(values)
        for channel, scores in model.score(inputs, attributes).items():
            torch.testing.assert_close(scores, expected[channel], rtol=1e-3, atol=1e-3)


def test_weights_of_what_the_model_does_not_have_are_named():
    with pytest.raises(ValueError, match=r"\['gait'\] are neither.*\['action', 'appearance'\]"):
        small_model(weights=dict(smm=1.0, gait=1.0, action=1.0))


@pytest.mark.parametrize(
    'path', sorted((REPO / 'configs/localvad').glob('*.py')), ids=lambda p: p.stem
)
def test_configs_name_what_exists(path):
    cfg = Config.fromfile(path)
    assert cfg.runner_type == 'StagedRunner'
    assert set(cfg.stages) == {'tubes', 'captions', 'spatial', 'features', 'temporal', 'test'}
    assert CAPTIONERS.get(cfg.captioner.type) and DATASETS.get(cfg.train_dataset.type)
    spatial, temporal = cfg.model.spatial, cfg.model.temporal
    for branch in spatial.branches.values():
        assert branch.itam.image.embed_dim == temporal.embed_dim
        assert branch.itam.image.num_queries == temporal.num_queries


def test_the_papers_settings_are_in_its_configs():
    """Section 4.2 of the paper."""
    for name in ('shanghaitech', 'avenue', 'ped2'):
        cfg = Config.fromfile(REPO / 'configs/localvad' / f'{name}.py')
        image = cfg.model.spatial.branches.action.itam.image
        assert (image.num_queries, image.hidden_dim, image.embed_dim) == (32, 768, 256)
        smm = cfg.model.temporal.smm
        assert (smm.num_components, smm.window, smm.horizon) == (64, 5, 1)
        stage = cfg.stages.spatial
        assert stage.train_dataloader.batch_size == 120
        warmup, cosine = stage.param_scheduler
        lr = stage.optim_wrapper.optimizer.lr
        assert (lr, warmup.end) == (1e-4, 5000)
        assert lr * warmup.start_factor == pytest.approx(1e-6)
        assert cosine.eta_min == 1e-5
        stage = cfg.stages.temporal
        assert stage.train_cfg.max_epochs == 20
        assert stage.optim_wrapper.optimizer.lr == 5e-5
        assert stage.param_scheduler[0].gamma == 0.99


def test_shanghaitech_in_its_layout_and_label_format(plaza, shared, tmp_path):
    """The staged run at cut sizes on a miniature tree: videos, frames, masks, RPN and CLIP."""
    import json

    import cv2
    import open_clip
    from mmdet.registry import MODELS as DETECTORS
    from mmengine.hub import get_config

    root = tmp_path / 'shanghaitech'
    frames = {
        name: [cv2.imread(str(p)) for p in sorted((plaza / split / 'frames' / name).iterdir())]
        for split, name in (('training', '00'), ('testing', '01'))
    }
    (root / 'training/videos').mkdir(parents=True)
    writer = cv2.VideoWriter(
        str(root / 'training/videos/01_001.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 24, (160, 120)
    )
    for frame in frames['00'][:16]:
        writer.write(frame)
    writer.release()
    # A real label file, cut to the miniature's length where both classes are in it.
    real = shared / 'annotations/shanghaitech/test_frame_mask/01_0014.npy'
    label = np.load(real, allow_pickle=False)
    start = int(np.flatnonzero(label)[0]) - 8
    folder = root / 'testing/frames/01_0014'
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames['01'][:16]):
        cv2.imwrite(str(folder / f'{i:03d}.jpg'), frame)
    (root / 'testing/test_frame_mask').mkdir()
    np.save(root / 'testing/test_frame_mask/01_0014.npy', label[start : start + 16])

    torch.manual_seed(0)
    detector = get_config('mmdet::rpn/rpn_r50_fpn_1x_coco.py')
    detector.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        rpn = DETECTORS.build(detector.model)
        rpn.init_weights()
    torch.save(dict(state_dict=rpn.state_dict()), tmp_path / 'rpn.pth')
    clip_cfg = dict(
        embed_dim=16,
        vision_cfg=dict(image_size=32, layers=1, width=32, patch_size=16, head_width=16),
        text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=1),
    )
    (tmp_path / 'mini-clip.json').write_text(json.dumps(clip_cfg))
    open_clip.add_model_config(tmp_path / 'mini-clip.json')
    torch.save(open_clip.create_model('mini-clip').state_dict(), tmp_path / 'clip.pt')

    small = Config.fromfile(REPO / 'configs/localvad/plaza.py')
    cfg = tiny_config(
        root,
        tmp_path / 'work',
        name='shanghaitech',
        **{
            'proposer.checkpoint': str(tmp_path / 'rpn.pth'),
            'proposer.score_thr': 0.0,
            'proposer.min_side': 4,
            # Detect on the small frames as they are, not enlarged to 800 pixels.
            'proposer.cfg_options': {'test_dataloader.dataset.pipeline.1.scale': (160, 120)},
            'proposer.max_objects': 3,
            'captioner.model': 'mini-clip',
            'captioner.pretrained': str(tmp_path / 'clip.pt'),
            'stages.spatial.train_dataloader.num_workers': 0,
            'stages.spatial.train_dataloader.persistent_workers': False,
            'stages.temporal.train_dataloader.num_workers': 0,
            'stages.temporal.train_dataloader.persistent_workers': False,
            'stages.features.num_workers': 0,
        },
    )
    cfg.model = small.model
    # Its pipelines measure neither flow nor attributes.
    cfg.model.spatial.branches.action.in_channels = 3
    cfg.model.scorer.weights = dict(smm=1.0, action=0.5, appearance=0.5)
    for stage in ('spatial', 'features'):
        part = cfg.stages[stage]
        for transform in part.get('pipeline') or part.train_dataloader.dataset.pipeline:
            if transform.type == 'CropTubes':
                transform.size = (48, 48)
    metrics = RUNNERS.build(cfg).train()
    assert metrics['frames'] == 16 and metrics['abnormal_frames'] == 8
    assert 0 <= metrics['auc/micro'] <= 100
    assert len(ObjectTubes.load(tmp_path / 'work/proposals/training/01_001.npz')) > 0
    line = (tmp_path / 'work/captions/01_001.jsonl').read_text().splitlines()[0]
    assert set(json.loads(line)) >= {'frame', 'box', 'action', 'object'}
