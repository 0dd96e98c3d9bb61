"""Scorer, the whole model at the paper's sizes, and the configs."""

import numpy as np
import pytest
import torch
from conftest import REPO, tiny_config
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DefaultScope
from sklearn.neighbors import NearestNeighbors

from mmvad.engine.stages import inference_copy
from mmvad.models import ObjectScorer
from mmvad.registry import CAPTIONERS, DATASETS, MODELS, RUNNERS
from mmvad.structures import ObjectTubes

WEIGHTS = dict(smm=1.0, nearest=1.0)


class TestScorer:
    def data(self, n=300, dims=12):
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(n, dims, generator=generator) * torch.linspace(1, 3, dims)
        errors = torch.rand(n, generator=generator) + 0.1
        actions = torch.rand(n, 6, generator=generator)
        return features, errors, actions, torch.arange(n) % 5

    def test_distances_are_those_of_scikit_learn(self):
        features, errors, actions, videos = self.data()
        scorer = ObjectScorer(WEIGHTS, dims=12, num_reference=1000, whiten_floor=0.0)
        scorer.fit(errors, features, actions, videos)
        new = features[:20] * 1.3 + 0.2
        covariance = np.cov(features.numpy().T)
        whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
        neighbours = NearestNeighbors(n_neighbors=3).fit(features.numpy() @ whiten)
        distance = neighbours.kneighbors(new.numpy() @ whiten)[0].mean(axis=1)
        np.testing.assert_allclose(scorer.nearest(new), distance, rtol=2e-3)

    def test_training_scores_have_mean_0_and_deviation_1_and_leave_the_own_video_out(self):
        features, errors, actions, videos = self.data()
        # Every object twice, so that its twin is nearer than any other.
        features, errors, actions, videos = (
            torch.cat([x, x]) for x in (features, errors, actions, videos)
        )
        scorer = ObjectScorer(WEIGHTS, dims=12, num_reference=1000)
        scorer.fit(errors, features, actions, videos)
        scores = scorer(errors, features, actions)
        assert scores['smm'].mean() == pytest.approx(0, abs=1e-4)
        assert scores['smm'].std() == pytest.approx(1, abs=1e-3)
        # Among all references, twins included, the same objects look much less novel.
        assert scores['spatial'].mean() < -1
        assert scorer.floors['smm'] == pytest.approx(float(scores['smm'].min()), abs=1e-5)

    def test_what_is_unlike_training_scores_higher(self):
        features, errors, actions, videos = self.data()
        scorer = ObjectScorer(WEIGHTS, dims=12)
        scorer.fit(errors, features, actions, videos)
        far = scorer(errors[:1] * 10, features[:1] + 30, actions[:1] + 5)
        near = scorer(errors[:1], features[:1], actions[:1])
        assert all(far[name] > near[name] + 1 for name in ('smm', 'spatial', 'both'))

    def test_loads_into_a_fresh_one_and_refuses_to_score_unfitted(self):
        features, errors, actions, videos = self.data()
        scorer, other = ObjectScorer(WEIGHTS, dims=8), ObjectScorer(WEIGHTS, dims=8)
        with pytest.raises(RuntimeError, match='not fitted'):
            other(errors, features, actions)
        scorer.fit(errors, features, actions, videos)
        other.load_state_dict(scorer.state_dict())
        assert torch.equal(
            other(errors, features, actions)['both'], scorer(errors, features, actions)['both']
        )

    def test_the_centre_is_that_of_the_action_patterns(self):
        features, errors, actions, videos = self.data()
        scorer = ObjectScorer(dict(centre=1.0))
        scorer.fit(errors, features, actions, videos)
        logs = np.log(np.linalg.norm(actions.numpy() - actions.numpy().mean(axis=0), axis=1))
        expected = (logs - logs.mean()) / logs.std(ddof=1)
        scores = scorer(errors, features, actions)
        np.testing.assert_allclose(scores['spatial'], expected, atol=1e-4)
        np.testing.assert_allclose(scores['all'], expected, atol=1e-4)

    def test_attributes_are_standardised_and_have_channels_of_their_own(self):
        features, errors, actions, videos = self.data()
        attributes = features[:, :3] * torch.tensor([1.0, 10.0, 0.1])
        scorer = ObjectScorer(dict(smm=3.0, attributes=4.0), num_reference=1000, neighbours=1)
        scorer.fit(errors, features, actions, videos, attributes)
        assert list(scorer.floors) == ['smm', 'both', 'attributes', 'all']
        new = attributes[:20] * 1.1
        standard = attributes.std(dim=0)
        expected = torch.cdist(new / standard, attributes / standard).min(dim=1).values
        torch.testing.assert_close(scorer.attributes(new), expected, rtol=1e-3, atol=1e-4)
        scores = scorer(errors[:20], features[:20], actions[:20], new)
        assert torch.equal(scores['both'], scores['smm'])
        torch.testing.assert_close(
            scores['all'], (3 * scores['smm'] + 4 * scores['attributes']) / 5
        )
        with pytest.raises(ValueError, match='MeasureAttributes'):
            scorer(errors, features, actions)

    def test_weights_are_checked(self):
        with pytest.raises(ValueError, match='scorer.weights'):
            ObjectScorer(dict(smm=1.0, speed=1.0))


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
    assert model.depth == 6
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


def test_extraction_gives_every_step_its_own_clip():
    """Features of a tube equal those of its clips, one by one."""
    cfg = Config.fromfile(REPO / 'configs/localvad/plaza.py')
    DefaultScope.get_instance('clips', scope_name='mmvad')
    model = MODELS.build(cfg.model).eval()
    context = model.spatial.context
    crops = torch.randint(0, 255, (2, 6 + context, 3, 48, 48), dtype=torch.uint8)
    features = model.extract(crops)
    for step in (0, 3, 5):
        clip = model.spatial.data_preprocessor.normalize(crops[:, step : step + context + 1])
        expected = model.spatial.extract_feat(clip)
        torch.testing.assert_close(features[:, step], expected, rtol=1e-4, atol=1e-5)
    # As the feature stage runs it.
    torch.testing.assert_close(inference_copy(model).extract(crops), features, rtol=1e-3, atol=1e-4)


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
    cfg.model.scorer.weights = dict(smm=1.0, nearest=1.0)
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
