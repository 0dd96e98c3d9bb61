"""The models, whole: what they measure and score, their files, the paper's sizes, the configs."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import REPO, tiny_config
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement, InstanceData

from mmvad import __version__
from mmvad.datasets import TubeDataset, training_pipeline
from mmvad.engine import build_stages, read_config
from mmvad.methods.localvad import PredictionHook
from mmvad.methods.objects import build_model, read_model_file
from mmvad.methods.objects.model_file import write_model_file
from mmvad.models import LocalVAD, ObjectScorer, ObjectVAD
from mmvad.registry import CAPTIONERS, DATASETS, MODELS, PROPOSERS, RUNNERS, STAGES
from mmvad.structures import ObjectTubes, TubeSpec


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
    spatial = MODELS.build(cfg.model.spatial).train()
    pipeline = training_pipeline(
        TubeSpec.of(cfg.model.tube), tmp_path / 'captions', spatial.text_length
    )
    videos = DATASETS.build(cfg.train_dataset)
    dataset = TubeDataset(videos, tmp_path / 'proposals/training', pipeline)
    batch = default_collate([dataset[0], dataset[1]])
    assert batch['inputs'].shape == (2, 1, 3, 224, 224) and batch['inputs'].dtype == torch.uint8
    assert set(batch['data_samples']) == {'action', 'appearance', 'background', 'object'}
    assert batch['data_samples']['action'].shape == (2, 32)

    # crops -> backbone -> ITAM, one optimisation step
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

    # crops of a tube -> patterns
    model = MODELS.build(cfg.model)
    assert model.temporal.steps == model.tube.steps == 6
    crops = torch.randint(0, 255, (2, 6, 3, 224, 224), dtype=torch.uint8)
    measured = model.extract(dict(inputs=crops))
    assert set(measured) == set(model.measurements) == {'patterns'}
    patterns = measured['patterns']
    assert patterns.shape == (2, 6, 2, 32, 256) and patterns.dtype == torch.float16

    # patterns -> fusion -> SMM, one optimisation step
    temporal = model.temporal
    temporal.fusion.register_forward_hook(note('fused'))
    temporal.smm.encoder.register_forward_hook(note('u'))
    temporal.smm.C.register_forward_hook(note('kernel'))
    temporal.smm.decoder.register_forward_hook(note('decoded'))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-5)
    before = temporal.smm.C.weight.detach().clone()
    model(measured, mode='loss')['loss'].backward()
    optimizer.step()
    assert shapes['fused'] == (2, 5, 32, 256)
    assert shapes['u'] == (2, 5, 64) and temporal.smm.in_channels == 8192
    assert shapes['kernel'] == (5, 64) and tuple(temporal.smm.A.shape) == (64, 64)
    # L steps are predicted, of both branches.
    assert shapes['decoded'] == (2, 5, 2 * 8192)
    assert not torch.equal(before, temporal.smm.C.weight)
    assert all(p.grad is None for p in model.spatial.parameters())

    # patterns -> quantities -> scores
    with torch.no_grad():
        quantities = model.quantities(measured)
    assert {name: tuple(value.shape) for name, value in quantities.items()} == dict(
        prediction_error=(2,), action=(2, 8192), appearance=(2, 8192)
    )
    assert list(model.scorer.channels) == ['smm', 'action', 'appearance', 'spatial', 'both', 'all']


def small_config(**changes) -> Config:
    """configs/localvad/plaza.py: its action branch sees flow, the other does not."""
    cfg = Config.fromfile(REPO / 'configs/localvad/plaza.py')
    cfg.merge_from_dict(changes)
    return cfg


def small_model(**changes) -> LocalVAD:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvad'):
        return MODELS.build(small_config(**changes).model).eval()


SMALL_TERMS = {
    f'model.scorer.terms.{name}.{key}': value
    for name in ('action', 'appearance')
    for key, value in dict(dims=4, neighbours=3).items()
}


def training_tubes(count=30) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Measurements of the small model, the tubes' videos, and which are held out."""
    generator = torch.Generator().manual_seed(0)
    measurements = dict(
        patterns=torch.randn(count, 6, 2, 8, 64, generator=generator).half(),
        attributes=torch.randn(count, 5, generator=generator),
    )
    videos = torch.arange(count) % 3
    return measurements, videos, videos == 2


def calibrated(**changes) -> LocalVAD:
    model = small_model(**SMALL_TERMS, **changes)
    model.calibrate(*training_tubes())
    return model


class TestLocalVAD:
    def test_extraction_gives_every_step_its_own_crop(self):
        """Patterns of a tube equal those of its crops, one by one."""
        model = small_model()
        images = torch.randint(0, 255, (2, 6, 3, 48, 48)).float()
        crops = torch.cat([images, torch.randn(2, 6, 2, 48, 48)], dim=2)
        attributes = torch.randn(2, 5)
        item = dict(inputs=crops, measurements=dict(attributes=attributes))
        measured = model.extract(item)
        assert set(measured) == set(model.measurements) == {'patterns', 'attributes'}
        assert measured['attributes'].equal(attributes)
        patterns = measured['patterns']
        assert patterns.shape == (2, 6, 2, 8, 64) and patterns.dtype == torch.float16
        for step in (0, 3, 5):
            crop = model.spatial.data_preprocessor.normalize(crops[:, step])
            expected = model.spatial.extract_feat(crop)
            torch.testing.assert_close(patterns[:, step].float(), expected, rtol=1e-3, atol=1e-4)
        # As the stage and the inferencer run it.
        state = set(model.state_dict())
        fast = model.optimize_for_inference().extract(item)['patterns']
        torch.testing.assert_close(fast.float(), patterns.float(), rtol=2e-3, atol=2e-4)
        assert set(model.state_dict()) == state
        with pytest.raises(ValueError, match='at least 5 channels.*ComputeTubeFlow'):
            model.extract(dict(inputs=images.byte()))

    def test_the_scorer_gets_errors_and_the_tubes_mean_patterns(self):
        model = small_model(**SMALL_TERMS)
        measurements, videos, held_out = training_tubes()
        inputs = measurements['patterns'].float()
        with torch.no_grad():
            found = model.quantities(measurements)
            assert set(found) == {'prediction_error', 'action', 'appearance', 'attributes'}
            assert set(found) == set(model.quantity_names)
            for index, name in enumerate(('action', 'appearance')):
                expected = inputs[:, :, index].mean(dim=1).flatten(1)
                torch.testing.assert_close(found[name], expected)
            torch.testing.assert_close(found['prediction_error'], model.temporal.errors(inputs))
            assert found['attributes'].equal(measurements['attributes'])

            # In batches, so that the patterns of all tubes need not be on the device at once.
            model.calibrate(measurements, videos, held_out, batch_size=8)
            settings = small_config(**SMALL_TERMS).model.scorer
            other = ObjectScorer(settings.terms, settings.channels)
            other.fit(found, videos, held_out)
            expected = other(found)
            scores = model.score(measurements)
            assert set(scores) == set(expected) == {
                'smm', 'action', 'appearance', 'attributes', 'spatial', 'both', 'all'
            }  # fmt: skip
            for channel, values in scores.items():
                torch.testing.assert_close(values, expected[channel], rtol=1e-3, atol=1e-3)
            for channel, floor in model.scorer.floors.items():
                assert floor == pytest.approx(other.floors[channel], abs=1e-3)

    def test_the_spatial_part_is_frozen_and_has_no_text(self):
        model = small_model().train()
        assert model.temporal.training and not model.spatial.training
        assert not any(p.requires_grad for p in model.spatial.parameters())
        assert not any('.text.' in key or 'loss_module' in key for key in model.state_dict())

    def test_a_training_step_is_that_of_the_temporal_part(self):
        model = small_model()
        patterns = training_tubes()[0]['patterns']
        losses = model(dict(patterns=patterns), mode='loss')
        expected = model.temporal(patterns, mode='loss')
        assert losses.keys() == expected.keys() and losses['loss'].equal(expected['loss'])

    @pytest.mark.parametrize(
        ('changes', 'words'),
        [
            (
                {'model.scorer.terms.gait': dict(type='NearestDistance', of='gait')},
                r"model.scorer.terms: \['gait'\] are not measured; measured are "
                r"\['prediction_error', 'action', 'appearance', 'attributes'\]",
            ),
            (
                {'model.tube.measure': dict(_delete_=True)},
                r"\['attributes'\] are not measured; measured are \['prediction_error', 'action', "
                r"'appearance'\] \(model.tube.measure",
            ),
            (
                {'model.tube.flow': None},
                r'model.spatial.branches.action.in_channels: 5 channels hold flow, but '
                r'model.tube.flow is None',
            ),
            (
                {'model.temporal.smm.window': 5},
                'model.temporal.smm.window: set model.tube.window instead',
            ),
            (
                {'model.temporal.num_queries': 4},
                r'model.temporal: .*\(2, 4, 64\) differs from the spatial part, \(2, 8, 64\)',
            ),
            (
                {'model.tube.measure.appearance': dict(type='MeasureAttributes')},
                'model.tube.measure.appearance: the model itself has a quantity of this name',
            ),
            ({'model.tube.horizn': 2}, "model.tube.horizn: no such field; did you mean 'horizon'"),
        ],
    )
    def test_parts_that_do_not_fit_each_other_are_named(self, changes, words):
        with pytest.raises(ValueError, match=words):
            small_model(**changes)

    def test_the_copy_for_inference_goes_when_the_weights_change(self):
        item = dict(inputs=torch.randint(0, 255, (2, 6, 5, 64, 64)).float())
        model, other = small_model().eval(), small_model().eval()
        for parameter in other.spatial.parameters():
            parameter.data.mul_(1.5)
        model.optimize_for_inference()
        model.load_state_dict(other.state_dict())
        torch.testing.assert_close(model.extract(item)['patterns'], other.extract(item)['patterns'])
        assert model.optimize_for_inference().double()._fast is None

    def test_what_no_term_looks_at_is_not_computed(self):
        measured = training_tubes(4)[0]
        terms = dict(looks=dict(type='NearestDistance', of='appearance'))
        scorer = dict(_delete_=True, type='ObjectScorer', terms=terms)
        model = small_model(**{'model.scorer': scorer})
        model.temporal = None
        assert 'prediction_error' not in model.quantities(measured)
        without = small_model(**{'model.temporal': None, 'model.scorer': scorer})
        assert 'prediction_error' not in without.quantity_names

    def test_window_and_horizon_are_those_of_the_tube(self):
        model = small_model(**{'model.tube.window': 3, 'model.tube.horizon': 2})
        assert (model.temporal.smm.window, model.temporal.smm.horizon) == (3, 2)
        assert model.temporal.steps == model.tube.steps == 5


class TestObjectVAD:
    """A method without anything trained."""

    def model(self, **kwargs) -> ObjectVAD:
        cfg = Config.fromfile(REPO / 'configs/attributes/plaza.py').model
        with DefaultScope.overwrite_default_scope('mmvad'):
            return MODELS.build(dict(cfg, **kwargs)).eval()

    def calibrated(self) -> tuple[ObjectVAD, torch.Tensor]:
        model, generator = self.model(), torch.Generator().manual_seed(0)
        attributes = torch.randn(60, 5, generator=generator)
        model.calibrate(
            dict(attributes=attributes), torch.arange(60) % 3, torch.arange(60) % 3 == 2, 16
        )
        return model, attributes

    def test_what_is_measured_is_what_is_scored(self):
        model, attributes = self.calibrated()
        assert model.measurements == model.quantity_names == ('attributes',)
        item = dict(measurements=dict(attributes=attributes[:4]))
        measured = model.extract(item)
        assert set(measured) == {'attributes'} and measured['attributes'].equal(attributes[:4])
        assert model.quantities(measured)['attributes'].equal(attributes[:4])
        scores = model.score(measured)
        assert set(scores) == {'attributes', 'all'} and scores['all'].shape == (4,)
        assert model(measured)['all'].equal(scores['all'])
        assert not list(model.parameters())

    def test_frames_get_the_scores_of_their_objects(self):
        model, attributes = self.calibrated()
        sizes = (2, 1, 4)
        samples = [
            BaseDataElement(
                metainfo=dict(video='01', frame=frame),
                pred_instances=InstanceData(
                    bboxes=torch.zeros(size, 4), tubes=torch.arange(size) + 10
                ),
            )
            for frame, size in enumerate(sizes)
        ]
        inputs = dict(attributes=attributes[:7].split(sizes))
        found = model(inputs, samples, mode='predict')
        expected = model.score(dict(attributes=attributes[:7]))
        for name, values in expected.items():
            joined = torch.cat([sample.pred_instances[name] for sample in found])
            torch.testing.assert_close(joined, values)
        # Beside what they held.
        assert [sample.frame for sample in found] == [0, 1, 2]
        assert found[2].pred_instances.tubes.tolist() == [10, 11, 12, 13]
        assert set(found[0].metainfo_keys()) == {'video', 'frame'}
        with pytest.raises(ValueError, match="mode: expected 'predict' or 'tensor', got 'loss'"):
            model(inputs, samples, mode='loss')

    def test_without_a_scorer_it_only_measures(self):
        model = self.model(scorer=None)
        assert model.scorer is None and model.measurements == ('attributes',)

    def test_terms_of_what_is_not_measured_are_named(self):
        with pytest.raises(ValueError, match=r"\['attributes'\] are not measured; measured are"):
            self.model(tube=dict(window=5))


class TestModelFile:
    @pytest.fixture
    def path(self, tmp_path):
        write_model_file(tmp_path / 'm.pth', calibrated(), small_config(**SMALL_TERMS), seed=7)
        return tmp_path / 'm.pth'

    def change(self, path, **meta) -> None:
        content = torch.load(path, weights_only=True)
        content['meta'].update(meta)
        torch.save(content, path)

    def test_it_holds_all_that_scoring_needs(self, path):
        cfg, content = read_model_file(path)
        assert content['meta']['seed'] == 7 and content['meta']['mmvad_version'] == __version__
        assert list(cfg.stages) == list(small_config().stages)
        with DefaultScope.overwrite_default_scope('mmvad'):
            model = build_model(cfg, path).eval()
        measurements = training_tubes()[0]
        with torch.no_grad():
            expected = calibrated().score(measurements)
            for channel, values in model.score(measurements).items():
                torch.testing.assert_close(values, expected[channel])
        assert model.scorer.floors == calibrated().scorer.floors
        # Without a file there are no weights to take.
        with DefaultScope.overwrite_default_scope('mmvad'):
            assert not build_model(cfg).scorer.fitted

    @pytest.mark.parametrize(
        ('changes', 'words'),
        [
            (
                {'model.scorer.terms.action.neighbours': 4},
                'model.scorer.terms.action.neighbours is 3 there and 4 here',
            ),
            ({'model.tube.horizon': 2}, 'model.tube.horizon is 1 there and 2 here'),
            (
                {'model.temporal.target': 'fused'},
                'model.temporal.target is only here',
            ),
            (
                {'model.scorer.terms.smm': dict(_delete_=True, type='PredictionError')},
                'model.scorer.terms.smm.weight is only there',
            ),
        ],
    )
    def test_another_model_config_is_refused_by_the_key_that_differs(self, path, changes, words):
        cfg = small_config(**SMALL_TERMS)
        cfg.merge_from_dict(changes)
        with (
            DefaultScope.overwrite_default_scope('mmvad'),
            pytest.raises(ValueError, match=f'm.pth: made by another config: {words}'),
        ):
            build_model(cfg, path)

    def test_settings_that_do_not_shape_it_may_differ(self, path):
        changes = {
            'model.tube.flow.keep_mb': 99,
            'stages.calibrate.num_tubes': 5,
            'work_dir': 'elsewhere',
        }
        with DefaultScope.overwrite_default_scope('mmvad'):
            assert build_model(small_config(**SMALL_TERMS, **changes), path).scorer.fitted

    def test_files_that_are_no_model_files_are_named(self, path, tmp_path):
        with pytest.raises(FileNotFoundError, match='none.pth'):
            read_model_file(tmp_path / 'none.pth')
        self.change(path, config=None)
        with pytest.raises(ValueError, match='m.pth: a checkpoint without its config'):
            read_model_file(path)
        self.change(path, config='model = dict(')
        with pytest.raises(ValueError, match='m.pth: meta.config: not the config of a model'):
            read_model_file(path)
        torch.save(dict(state_dict=dict(weight=torch.ones(2))), path)
        with pytest.raises(ValueError, match='m.pth: a checkpoint without its config'):
            read_model_file(path)

    def test_a_model_with_an_initialisation_of_its_own(self, path):
        init = dict(
            type='Normal', layer='Linear', std=0.02, override=dict(type='Constant', name='C')
        )
        cfg = small_config(**SMALL_TERMS, **{'model.temporal.smm.init_cfg': init})
        write_model_file(path, calibrated(), cfg, seed=0)
        assert read_model_file(path)[0].model.temporal.smm.init_cfg == init

    @pytest.mark.parametrize(
        ('value', 'words'),
        [
            (
                dict(type='os.mkdir'),
                "smm.init_cfg: type 'os.mkdir' is no registered",
            ),
            (Path('x'), 'config: Object of type PosixPath is not JSON serializable'),
        ],
    )
    def test_a_config_that_no_model_file_could_hold_is_refused_first(
        self, plaza, tmp_path, value, words
    ):
        key = 'model.temporal.smm.init_cfg' if isinstance(value, dict) else 'mine'
        with pytest.raises(ValueError, match=words):
            RUNNERS.build(tiny_config(plaza, tmp_path / 'work', **{key: value}))
        assert not (tmp_path / 'work').exists()

    @pytest.mark.parametrize('version', ['9.0.0', '0.0.1', ''])
    def test_files_of_another_version_are_refused(self, path, version):
        self.change(path, mmvad_version=version)
        with pytest.raises(ValueError, match=f'm.pth: made by mmvad .*this is {__version__}'):
            read_model_file(path)

    def test_weights_that_do_not_fit_are_named(self, path):
        content = torch.load(path, weights_only=True)
        del content['state_dict']['temporal.smm.C.weight']
        torch.save(content, path)
        with (
            DefaultScope.overwrite_default_scope('mmvad'),
            pytest.raises(ValueError, match='1 weights missing .*temporal.smm.C.weight'),
        ):
            build_model(small_config(**SMALL_TERMS), path)


def test_the_predictors_diagnostics_are_logged_on_held_out_tubes():
    model = small_model().temporal
    patterns = training_tubes()[0]['patterns']
    hub = MessageHub.get_instance('diagnostics')
    logger = MMLogger.get_instance('diagnostics')
    runner = SimpleNamespace(model=model.train(), message_hub=hub, logger=logger)
    for batch_size in (512, 8):
        PredictionHook(patterns, batch_size).after_train_epoch(runner)
        parts = [(len(p), model.diagnostics(p)) for p in patterns.split(batch_size)]
        assert set(parts[0][1]) == {'err_over_copy', 'err_over_mean', 'fused_std'}
        for name in parts[0][1]:
            mean = sum(count * float(part[name]) for count, part in parts) / len(patterns)
            assert hub.get_scalar(f'held_out/{name}').current() == pytest.approx(mean, rel=1e-4)
        assert model.training


METHODS = dict(
    localvad={'tubes', 'captions', 'spatial', 'features', 'temporal', 'calibrate', 'test'},
    attributes={'tubes', 'features', 'calibrate', 'test'},
    objects={'tubes', 'features', 'anomalies', 'calibrate', 'test'},
)


@pytest.mark.parametrize(
    'path',
    sorted(path for method in METHODS for path in (REPO / 'configs' / method).glob('*.py')),
    ids=lambda path: f'{path.parent.name}-{path.stem}',
)
def test_configs_name_what_exists(path):
    cfg = read_config(path)
    assert cfg.runner_type == 'StagedRunner'
    tokens = TubeSpec.of(cfg.model.tube).gives == 'tokens'
    of_tokens = {'tokens', 'anomalies'} if tokens else set()
    assert set(cfg.stages) == METHODS[path.parent.name] | of_tokens
    assert PROPOSERS.get(cfg.proposer.type) and DATASETS.get(cfg.train_dataset.type)
    assert all(STAGES.get(stage.type) for stage in cfg.stages.values())
    with DefaultScope.overwrite_default_scope('mmvad'):
        # Among others that the model can be built, and that the evaluator's channels are there.
        for stage in build_stages(cfg):
            stage.check(cfg)
    if path.parent.name != 'localvad':
        return
    assert CAPTIONERS.get(cfg.captioner.type)
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
        smm, tube = cfg.model.temporal.smm, TubeSpec.of(cfg.model.tube)
        assert (smm.num_components, smm.drive, tube.window, tube.horizon) == (64, 'sum', 5, 1)
        assert (tube.crop_size, tube.flow, tube.strides) == ((224, 224), None, (1,))
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
    # As the config has it: neither flow nor attributes, and tubes at their own speed.
    cfg.model.tube = dict(window=5, horizon=1, crop_size=(48, 48))
    cfg.model.spatial.branches.action.in_channels = 3
    del cfg.model.scorer.terms['attributes']
    for term, weight in dict(smm=1.0, action=0.5, appearance=0.5).items():
        cfg.model.scorer.terms[term].weight = weight
    metrics = RUNNERS.build(cfg).train()
    assert metrics['frames'] == 16 and metrics['abnormal_frames'] == 8
    assert 0 <= metrics['auc/micro'] <= 100
    assert len(ObjectTubes.load(tmp_path / 'work/proposals/training/01_001.npz')) > 0
    line = (tmp_path / 'work/captions/01_001.jsonl').read_text().splitlines()[0]
    assert set(json.loads(line)) >= {'frame', 'box', 'action', 'object'}
