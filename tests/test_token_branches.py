"""Branches that look at tokens of a detector's maps: the backbone, what is stored, a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import tiny_config
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvad.apis import VADInferencer
from mmvad.datasets import TokenDataset, TubeSweep, VideoDataset, inference_pipeline, token_names
from mmvad.engine import StagedRunner, build_stages
from mmvad.models import LocalVAD, TokenBackbone
from mmvad.proposals import save_random_weights
from mmvad.registry import MODELS, RUNNERS
from mmvad.structures import ObjectTubes, TubeSpec, measurement_path

YOLOX = 'mmdet::yolox/yolox_nano_8xb8-300e_coco.py'
SCALE = {'test_dataloader.dataset.pipeline.1.scale': (96, 96)}


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> str:
    return save_random_weights(YOLOX, tmp_path_factory.mktemp('weights') / 'detector.pth')


def token_config(data: Path, work_dir: Path, weights: str, **options) -> Config:
    detector = dict(checkpoint=weights, cfg_options=dict(SCALE), device='cpu')
    cuts = {
        'proposer.score_thr': 0.0,
        'proposer.max_objects': 3,
        'test_dataset.labels': dict(format='frame_masks', path='testing/test_frame_mask'),
        'test_dataset.pixel_masks': None,
        'stages.tubes.train_stride': 3,
    }
    # The tokens' detector refers to this one.
    cuts |= {f'proposer.{key}': value for key, value in detector.items()}
    return tiny_config(data, work_dir, 'ped2_tokens', **(cuts | options))


@pytest.fixture(scope='module')
def run(plaza, weights, tmp_path_factory) -> tuple[Path, Config, dict[str, float]]:
    """A complete run: its work dir, its config and its figures."""
    cfg = token_config(plaza, tmp_path_factory.mktemp('work') / 'run', weights)
    figures = RUNNERS.build(cfg).train()
    return Path(cfg.work_dir), cfg, figures


class TestBackbone:
    def build(self, **kwargs) -> TokenBackbone:
        torch.manual_seed(0)
        settings = dict(type='TokenBackbone', in_channels=10, grid=2, token_dim=24)
        return MODELS.build(settings | kwargs)

    def test_the_mean_comes_first_then_the_grid(self):
        backbone = self.build().eval()
        torch.nn.init.zeros_(backbone.position)
        tokens = torch.randn(3, 4, 10)
        with torch.no_grad():
            out = backbone(tokens.half())
            assert out.shape == (3, 5, 24) and out.dtype == torch.float32
            torch.testing.assert_close(out[:, 0], out[:, 1:].mean(dim=1))
            other = tokens.clone()
            other[:, 2] += 1
            changed = (backbone(other) - backbone(tokens)).norm(dim=-1).amin(dim=0) > 1e-3
        assert changed.tolist() == [True, False, False, True, False]

    def test_channels_of_any_scale_count_alike(self):
        tokens = torch.randn(64, 4, 10)
        scales = torch.logspace(-2, 3, 10)
        plain, scaled = self.build(), self.build()
        for _ in range(3):
            plain(tokens), scaled(tokens * scales + 5 * scales)
        with torch.no_grad():
            expected, found = plain.eval()(tokens), scaled.eval()(tokens * scales + 5 * scales)
        # But for the least ones, which hardly vary.
        torch.testing.assert_close(found, expected, atol=0.1, rtol=0.1)

    def test_every_part_of_it_learns(self):
        backbone = self.build()
        tokens = torch.randn(8, 4, 10, requires_grad=True)
        backbone(tokens).square().sum().backward()
        for name, parameter in backbone.named_parameters():
            assert parameter.grad.abs().sum() > 0, name
        assert tokens.grad.abs().sum() > 0

    def test_flow_is_for_the_branch_that_asks_for_it(self):
        tokens = torch.randn(3, 4, 12)
        other = tokens.clone()
        other[..., 10:] += 1
        without, with_flow = self.build().eval(), self.build(in_channels=12).eval()
        with torch.no_grad():
            assert without(tokens).equal(without(other))
            assert without(tokens).equal(without(tokens[..., :10]))
            assert not with_flow(tokens).allclose(with_flow(other))

    @pytest.mark.parametrize('shape', [(3, 4, 9), (3, 4, 11), (3, 4, 64), (3, 9, 10), (4, 10)])
    def test_tokens_of_another_shape_are_refused(self, shape):
        words = r'grid and in_channels mean tokens \(B, 4, 10, or 2 of flow.*model.tube.tokens'
        with pytest.raises(ValueError, match=words):
            self.build()(torch.zeros(shape))


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (
            {'model.tube.crop_size': 32},
            r'model.tube.crop_size: expected None, since model.tube.tokens .* got 32',
        ),
        (
            {'model.tube.crop_size': 32, 'model.tube.tokens': None},
            r'stages.spatial: TokenSpatialStage learns from tokens, but model.tube gives crops',
        ),
        ({'model.tube.tokens': None}, r'stages.spatial: .* gives neither crops nor tokens'),
        (
            {'stages.spatial.type': 'SpatialStage'},
            r'stages.spatial: SpatialStage learns from crops, but model.tube gives tokens',
        ),
        (
            {'model.tube.tokens': dict(_delete_=True, grid=3)},
            r"model.tube.tokens.type: missing; expected a transform, such as 'CutTubeTokens'",
        ),
        (
            {'model.spatial.branches.action.backbone': dict(_delete_=True, type='BranchBackbone',
             token_dim=128)},
            r'branches.action.backbone: takes crops, but model.tube gives tokens',
        ),
        ({'model.tube.tokens.grid': 0}, r'CutTubeTokens.grid: expected a whole number >= 1, got 0'),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused_before_any_work(options, words):
    cfg = token_config('data', 'work', 'none.pth', **options)
    with DefaultScope.overwrite_default_scope('mmvad'), pytest.raises(ValueError, match=words):
        for stage in build_stages(cfg):
            stage.check(cfg)


@pytest.mark.parametrize(
    ('tube', 'words'),
    [
        (dict(crop_size=32), 'action.backbone: takes tokens, but model.tube gives crops'),
        (dict(), 'action.backbone: takes tokens, but model.tube gives neither'),
    ],
)
def test_a_model_says_what_its_branches_lack(tube, words):
    cfg = token_config('data', 'work', 'none.pth').model
    with DefaultScope.overwrite_default_scope('mmvad'), pytest.raises(ValueError, match=words):
        LocalVAD(tube, cfg.spatial)


def test_a_run_without_the_stage_that_stores_tokens(plaza, weights, tmp_path):
    cfg = token_config(plaza, tmp_path, weights)
    del cfg.stages['tokens']
    with pytest.raises(ValueError, match="stages.spatial: needs 'tokens', which no stage leaves"):
        StagedRunner(cfg)


class TestRun:
    def test_it_goes_from_frames_to_scores(self, run):
        work_dir, _, figures = run
        assert figures['frames'] == 80 and 0 <= figures['auc/micro'] <= 100
        terms = ('action', 'appearance', 'smm', 'speed', 'motion', 'tokens')
        assert {f'auc_{term}/micro' for term in terms} <= set(figures)
        assert (work_dir / 'calibrate/self_check.json').is_file()
        patterns = np.load(work_dir / 'features/testing/patterns/00.npy', mmap_mode='r')
        count = len(ObjectTubes.load(work_dir / 'proposals/testing/00.npz'))
        assert patterns.shape == (count, 6, 2, 8, 64) and patterns.dtype == np.float16
        assert count > 0 and np.isfinite(patterns).all()

    def test_tokens_are_stored_once_and_flow_at_every_stride(self, run):
        work_dir, _, _ = run
        count = len(ObjectTubes.load(work_dir / 'proposals/training/00.npz'))
        shapes = dict.fromkeys(token_names((1, 2, 3), flow=True), (count, 16, 2))
        shapes['tokens'] = (count, 16, 256)
        assert {path.name for path in (work_dir / 'tokens').iterdir() if path.is_dir()} == set(
            shapes
        )
        for name, shape in shapes.items():
            stored = np.load(measurement_path(work_dir / 'tokens', name, '00'))
            assert stored.shape == shape and stored.dtype == np.float16
        assert token_names((1, 3), flow=False) == ('tokens',)

    def test_training_sees_what_inference_sees(self, run, plaza):
        """Of the last step, at each stride as a video is that is fast-forwarded."""
        work_dir, cfg, _ = run
        spec = TubeSpec.of(cfg.model.tube)
        tubes = ObjectTubes.load(work_dir / 'proposals/training/00.npz')
        source = [
            cv2.imread(str(path)) for path in sorted((plaza / 'training/frames/00').iterdir())
        ]
        with DefaultScope.overwrite_default_scope('mmvad'):
            videos = VideoDataset(str(plaza), data_prefix=dict(img='training/frames'))
            for stride in spec.strides:
                dataset = TokenDataset(
                    videos,
                    work_dir / 'proposals/training',
                    work_dir / 'tokens',
                    [dict(type='PackTubeInputs', single=True)],
                    (stride,),
                    flow=True,
                )
                for frame in np.unique(tubes.frames)[::4]:
                    rows = tubes.at(frame)
                    fast = source[frame % stride : frame + 1 : stride]
                    part = ObjectTubes(
                        boxes=tubes.boxes[rows],
                        objects=tubes.objects[rows],
                        frames=np.full(rows.stop - rows.start, len(fast) - 1),
                        num_frames=len(fast),
                        frame_shape=tubes.frame_shape,
                    )
                    (item,) = TubeSweep(fast, part, spec.steps, inference_pipeline(spec), '00')
                    stored = [dataset[row]['inputs'] for row in range(rows.start, rows.stop)]
                    seen, expected = torch.stack(stored), item['inputs'][:, -1:]
                    assert seen.shape == (rows.stop - rows.start, 1, 16, 258)
                    assert seen[..., :256].equal(expected[..., :256])
                    # At its start, a video that is fast-forwarded may lack the very first frame.
                    if frame >= 2 * stride:
                        assert seen.equal(expected)

    def test_the_inferencer_gives_the_same_scores(self, run, plaza):
        work_dir, _, _ = run
        results = VADInferencer(work_dir / 'localvad.pth')(
            plaza / 'testing/frames', show_progress=False
        )
        assert [result.video for result in results] == ['00', '01']
        for result in results:
            stored = np.load(work_dir / f'scores/{result.video}.npy')
            np.testing.assert_allclose(result.scores, stored, rtol=1e-4, atol=1e-4)

    def test_it_is_complete_and_made_again_where_settings_differ(self, run):
        _, cfg, _ = run
        stages = ('tubes', 'captions', 'tokens', 'spatial', 'features', 'temporal', 'calibrate')

        def stale(**options) -> list[str]:
            other = cfg.copy()
            other.merge_from_dict({key.replace('__', '.'): v for key, v in options.items()})
            runner = RUNNERS.build(other)
            found = []
            for step in runner.flow.steps.values():
                if step.stage.name in stages and not runner._folder(step).complete:
                    found.append(step.name)
                    break  # the rest needs it
            return found

        assert stale() == []
        assert stale(model__tube__tokens__device=None, proposer__device=None) == []
        assert stale(model__tube__tokens__levels=('neck.0',)) == ['tokens']
        assert stale(model__tube__flow__pairs=1) == ['tokens']
        assert stale(model__tube__measure__attributes__quantities=('speed',)) == [
            'features/training'
        ]
        assert stale(model__spatial__branches__action__normalize=False) == ['spatial']


def test_levels_that_the_detector_has_not(run, plaza, weights, tmp_path):
    work_dir = shutil.copytree(run[0], tmp_path / 'run')
    cfg = token_config(plaza, work_dir, weights, **{'model.tube.tokens.levels': ('neck.7',)})
    cfg.stage = 'tokens'
    with pytest.raises(ValueError, match=r"CutTubeTokens.levels: .* gives no \['neck.7'\]"):
        RUNNERS.build(cfg).train()


def test_channels_that_are_not_those_of_the_levels(run, plaza, weights, tmp_path):
    work_dir = shutil.copytree(run[0], tmp_path / 'run')
    options = {'model.spatial.branches.action.in_channels': 200}
    cfg = token_config(plaza, work_dir, weights, **options)
    cfg.stage = 'spatial'
    words = r'TokenBackbone: grid and in_channels mean tokens \(B, 16, 200, .*got \(8, 16, 258\)'
    with pytest.raises(ValueError, match=words):
        RUNNERS.build(cfg).train()


def test_the_copy_for_inference_gives_the_same():
    cfg = token_config('data', 'work', 'none.pth')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvad'):
        model: LocalVAD = MODELS.build(cfg.model).eval()
    item = dict(inputs=torch.randn(3, 6, 16, 258).half())
    plain = model.extract(item)['patterns']
    assert plain.shape == (3, 6, 2, 8, 64) and plain.dtype == torch.float16
    torch.testing.assert_close(model.optimize_for_inference().extract(item)['patterns'], plain)
