"""Results of other settings, videos or code are never taken, and nothing made by hand is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_config

from mmvad.datasets.annotations import VideoAnnotation, write_annotations
from mmvad.engine import BaseStage, staged_runner
from mmvad.engine.flow import Flow
from mmvad.registry import RUNNERS
from mmvad.structures import StageFolder


def build(*args, **kwargs):
    return RUNNERS.build(tiny_config(*args, **kwargs))


@pytest.fixture(scope='module')
def attributes(plaza, tmp_path_factory) -> Path:
    """The work dir of a finished run of the method that trains nothing."""
    work_dir = tmp_path_factory.mktemp('attributes') / 'run'
    build(plaza, work_dir, method='attributes').train()
    return work_dir


@pytest.fixture
def copied(attributes, tmp_path) -> Path:
    return Path(shutil.copytree(attributes, tmp_path / 'copy'))


def test_names_with_folders_in_them(plaza, tmp_path):
    """Such as an annotation file may give: their files count as all others do."""
    for split in ('training', 'testing'):
        videos = sorted(p.name for p in (plaza / split / 'frames').iterdir())
        write_annotations(
            tmp_path / f'{split}.json',
            dict(dataset='plaza', split=split, ground_truth='drawn'),
            [VideoAnnotation(f'cam/{v}', f'{split}/frames/{v}', 40) for v in videos],
        )
    data = {
        f'{name}_dataset': dict(
            type='VideoDataset', data_root=str(plaza), ann_file=str(tmp_path / f'{split}.json')
        )
        for name, split in (('train', 'training'), ('test', 'testing'))
    }

    def run(work: str, **options) -> dict[str, np.ndarray]:
        cfg = tiny_config(plaza, tmp_path / work, method='attributes', **options)
        cfg.train_dataset, cfg.test_dataset = data.values()
        RUNNERS.build(cfg).train()
        folder = tmp_path / work / 'features/testing/attributes/cam'
        return {p.name: np.load(p, allow_pickle=False) for p in sorted(folder.glob('*.npy'))}

    run('a')
    files = json.loads((tmp_path / 'a/proposals/testing/manifest.json').read_text())['files']
    assert sorted(files) == ['cam/00.npz', 'cam/01.npz']
    again, fresh = run('a', **{'proposer.scale': 1.5}), run('b', **{'proposer.scale': 1.5})
    assert again.keys() == fresh.keys() == {'00.npy', '01.npy'}
    for name in again:
        np.testing.assert_array_equal(again[name], fresh[name])


@pytest.mark.parametrize('name', ['../00', '/tmp/00', 'a/../../b'])
def test_names_that_lead_elsewhere(plaza, tmp_path, name):
    write_annotations(
        tmp_path / 'training.json',
        dict(dataset='plaza', split='training', ground_truth='none'),
        [VideoAnnotation(name, 'training/frames/00', 40)],
    )
    cfg = tiny_config(plaza, tmp_path / 'work', method='attributes')
    cfg.train_dataset = dict(
        type='VideoDataset', data_root=str(plaza), ann_file=str(tmp_path / 'training.json')
    )
    with pytest.raises(ValueError, match='expected a name that leads nowhere else'):
        RUNNERS.build(cfg)


def test_what_other_code_left_is_made_again(copied, plaza, monkeypatch):
    before = json.loads((copied / 'calibrate/manifest.json').read_text())['key']
    monkeypatch.setattr(staged_runner, '__version__', '99.0.0')
    build(plaza, copied, method='attributes').train()
    assert (copied / 'proposals/training.stale').is_dir()
    assert json.loads((copied / 'calibrate/manifest.json').read_text())['key'] != before


def test_pictures_and_figures_are_of_the_last_test(copied, plaza, monkeypatch):
    (copied / 'plots/99.png').write_text('of a video that is gone')
    (copied / 'annotated/99.mp4').write_text('likewise')
    build(plaza, copied, method='attributes', **{'stages.test.annotate': 0}).train()
    assert {p.name for p in (copied / 'plots').iterdir()} == {'00.png', '01.png'}
    assert not list((copied / 'annotated').iterdir()) and not (copied / 'overview.png').exists()

    def stopped(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmvad.engine.evaluation_stage.read_regions', lambda *_: None)
    monkeypatch.setattr('mmengine.runner.Runner.test', stopped)
    with pytest.raises(KeyboardInterrupt):
        build(plaza, copied, method='attributes').train()
    assert not (copied / 'metrics.json').exists()


def test_specks_are_regions_where_the_config_says_so(copied, plaza):
    def counts() -> dict[str, int]:
        return json.loads((copied / 'metrics.json').read_text())['protocol']['regions']

    before = counts()
    build(plaza, copied, method='attributes', **{'stages.test.min_region_area': 0}).train()
    after = counts()
    assert before['specks'] > 0 == after['specks'] == after['min_region_area']
    assert after['regions'] == before['regions'] + before['specks']
    assert after['tracks'] > before['tracks']


def test_what_was_made_by_hand_is_never_replaced(tmp_path):
    path = tmp_path / 'captions'
    for number, key in enumerate('abc'):
        StageFolder(path, key, editable=True).open()
        (path / 'words.jsonl').write_text(f'by hand, {number}')
    assert [
        (tmp_path / f'captions{suffix}/words.jsonl').read_text()
        for suffix in ('.stale', '.stale.1', '')
    ] == ['by hand, 0', 'by hand, 1', 'by hand, 2']


@pytest.mark.parametrize('folder', ['scores', 'objects', 'annotated', 'a.stale', 'features/x'])
def test_folders_that_are_not_for_stages(folder):
    stage = type('Stage', (BaseStage,), dict(run=lambda self, job: None, folder=folder))('mine')
    with pytest.raises(ValueError, match=f"stages.mine: writes to the folder '{folder}'"):
        Flow([stage], ())


def test_a_stage_that_reads_a_split_that_there_is_not():
    body = dict(run=lambda self, job: None, reads_frames='testing')
    stage = type('Stage', (BaseStage,), body)('mine')
    flow = Flow([stage], ('training',))
    assert list(flow.left_out) == ['mine'] and not flow.steps
    with pytest.raises(ValueError, match='stage: mine: the config names no test_dataset'):
        flow.of('mine')


@pytest.mark.parametrize('seed', [-1, 2**32, 1.5, '3'])
def test_seeds_that_no_generator_takes(plaza, tmp_path, seed):
    with pytest.raises(ValueError, match='randomness.seed: expected a whole number from 0'):
        build(plaza, tmp_path, **{'randomness.seed': seed})


class TestModelFile:
    def test_one_that_does_not_fit_is_refused_before_anything_runs(
        self, attributes, plaza, tmp_path
    ):
        cfg = tiny_config(plaza, tmp_path, method='attributes', **{'model.tube.window': 4})
        cfg.load_from = str(attributes / 'attributes.pth')
        with pytest.raises(ValueError, match='made by another config: model.tube.window'):
            RUNNERS.build(cfg).test()
        assert not (tmp_path / 'proposals').exists()


class TestMasks:
    def config(self, plaza, tmp_path, masks):
        return tiny_config(
            plaza, tmp_path, method='attributes', **{'test_dataset.pixel_masks': masks}
        )

    @pytest.mark.parametrize(
        ('shape', 'words'), [((40, 60, 80), r'expected \(40, 120, 160\)'), ((9, 120, 160), '')]
    )
    def test_those_that_do_not_fit_show_before_anything_runs(self, plaza, tmp_path, shape, words):
        for video in ('00', '01'):
            np.save(tmp_path / f'{video}.npy', np.zeros(shape, bool))
        cfg = self.config(plaza, tmp_path / 'work', str(tmp_path / '{video}.npy'))
        with pytest.raises(ValueError, match=rf'00.npy: masks \(F, H, W\) .*{words}'):
            RUNNERS.build(cfg)

    def test_those_that_are_not_there(self, plaza, tmp_path):
        cfg = self.config(plaza, tmp_path / 'work', 'nowhere/{video}.npy')
        with pytest.raises(FileNotFoundError, match=r'nowhere/00.npy: .*pixel_masks=None'):
            RUNNERS.build(cfg)


class TestTraining:
    """Of the branches, for two steps."""

    def run(self, finished, plaza, work_dir: Path, **options) -> dict[str, torch.Tensor]:
        if not work_dir.exists():
            work_dir.mkdir()
            for folder in ('proposals', 'captions'):
                shutil.copytree(finished / folder, work_dir / folder)
        cfg = tiny_config(plaza, work_dir, stage='spatial', **options)
        RUNNERS.build(cfg).train()
        path = work_dir / 'spatial/branches.pth'
        return torch.load(path, weights_only=True)['state_dict']

    def test_averaged_weights_are_the_ones_that_are_kept(self, finished, plaza, tmp_path):
        hook = dict(type='EMAHook', momentum=0.5)
        averaged = self.run(
            finished, plaza, tmp_path / 'a', **{'stages.spatial.custom_hooks': [hook]}
        )
        plain = self.run(finished, plaza, tmp_path / 'b')
        stored = torch.load(tmp_path / 'a/spatial/epoch_2.pth', weights_only=True)['state_dict']
        assert any(not torch.equal(averaged[key], plain[key]) for key in plain)
        assert all(
            torch.equal(value, stored[key.removeprefix('spatial.')])
            for key, value in averaged.items()
        )

    def test_hooks_that_shape_the_weights_count(self, finished, plaza, tmp_path):
        self.run(finished, plaza, tmp_path / 'a')
        first = (tmp_path / 'a/spatial/branches.pth').stat().st_mtime_ns
        self.run(finished, plaza, tmp_path / 'a', **{'default_hooks.logger.interval': 3})
        assert (tmp_path / 'a/spatial/branches.pth').stat().st_mtime_ns == first
        self.run(finished, plaza, tmp_path / 'a', **{'default_hooks.param_scheduler': None})
        assert (tmp_path / 'a/spatial/branches.pth').stat().st_mtime_ns != first

    def test_a_checkpoint_of_its_own_folder_is_gone_on_from(self, finished, plaza, tmp_path):
        self.run(finished, plaza, tmp_path / 'a')
        self.run(
            finished, plaza, tmp_path / 'a', resume=True,
            load_from=str(tmp_path / 'a/spatial/epoch_2.pth'),
            **{'stages.spatial.train_cfg.max_epochs': 3},
        )  # fmt: skip
        assert (tmp_path / 'a/spatial/epoch_3.pth').is_file()
        record = json.loads((tmp_path / 'a/spatial/manifest.json').read_text())
        assert record['resumed_from'].endswith('epoch_2.pth') and record['seconds'] > 0

    def test_a_large_seed(self, finished, plaza, tmp_path):
        assert self.run(finished, plaza, tmp_path / 'a', **{'randomness.seed': 2**32 - 1})


def test_given_captions_are_looked_at_first(finished, plaza, tmp_path):
    shutil.copytree(finished / 'proposals', tmp_path / 'proposals')
    cfg = tiny_config(plaza, tmp_path, captioner=None)
    with pytest.raises(FileNotFoundError, match=r'captions/00.jsonl: no such caption file'):
        RUNNERS.build(cfg).train()
    assert not (tmp_path / 'spatial').exists()


def test_a_stage_must_be_a_stage(tmp_path, plaza):
    with pytest.raises((ValueError, KeyError), match='VADMetric'):
        build(plaza, tmp_path, **{'stages.test.type': 'VADMetric'})
