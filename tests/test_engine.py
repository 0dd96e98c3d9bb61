"""The parts of the engine, and a method of another kind that it runs without an edit.

The whole flow of the methods that are here is in test_staged_runner.py and
test_settings_and_stages.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPO, TINY_PLAZA, tiny_config
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from mmvad import __version__
from mmvad.engine import BaseStage, EvaluationStage, Job, StagedRunner, read_config
from mmvad.engine.flow import Flow
from mmvad.methods.objects import read_model_file
from mmvad.registry import RUNNERS, STAGES
from mmvad.structures import FileDigests, ObjectTubes, StageFolder, files, write_json


def train(cfg: Config) -> dict:
    return RUNNERS.build(cfg).train()


# -------------------------------------------------------------------- the order of stages


def stage(
    name: str, needs: tuple[str, ...] = (), splits: tuple[str, ...] = (), **more
) -> BaseStage:
    """A stage that does nothing."""
    body = dict(needs=needs, splits=splits, run=lambda self, job: None, **more)
    return type('Stage', (BaseStage,), body)(name)


BOTH = ('training', 'testing')


def order(*stages: BaseStage, splits: tuple[str, ...] = BOTH) -> list[str]:
    return list(Flow(stages, splits).steps)


class TestFlow:
    def test_each_step_comes_after_what_it_needs(self):
        stages = [
            stage('test', ('fit', 'cut/testing')),
            stage('fit', ('cut/training',)),
            stage('cut', splits=BOTH),
        ]
        assert order(*stages) == ['cut/training', 'fit', 'cut/testing', 'test']

    def test_where_needs_leave_it_open_the_config_decides(self):
        a, b, c = stage('a'), stage('b'), stage('c', ('b',))
        assert order(a, b, c) == ['a', 'b', 'c']
        assert order(b, c, a) == ['b', 'c', 'a']
        assert order(c, b, a) == ['b', 'c', 'a']

    def test_a_need_of_the_same_split(self):
        steps = Flow([stage('a', splits=BOTH), stage('b', ('a/{split}',), BOTH)], BOTH).steps
        assert steps['b/testing'].needs == ('a/testing',)
        assert steps['b/training'].needs == ('a/training',)

    def test_a_circle_is_named(self):
        circle = [stage('a', ('c',)), stage('b', ('a',)), stage('c', ('b',)), stage('d', ('a',))]
        with pytest.raises(ValueError, match='in a circle: (a needs c needs b needs a|b.*|c.*)'):
            order(*circle)
        with pytest.raises(ValueError, match='a needs a'):
            order(stage('a', ('a',)))

    def test_two_of_one_name_or_folder(self):
        with pytest.raises(ValueError, match="two are named 'a'"):
            order(stage('a'), stage('a'))
        # The second would move the first one's output aside, and the first the second's.
        with pytest.raises(
            ValueError, match="stages.b: writes to the folder 'x', as stages.a does"
        ):
            order(stage('a', folder='x'), stage('b', folder='x'))
        with pytest.raises(ValueError, match="stages.b: writes to the folder 'a'"):
            order(stage('a'), stage('b', folder='a'))

    def test_an_unknown_need_is_named_with_what_there_is(self):
        with pytest.raises(ValueError, match=r"stages.b: needs 'tubs', .* are \['b', 'tubes'\]"):
            order(stage('tubes'), stage('b', ('tubs',)))
        # A stage of several splits has no output of its own name.
        with pytest.raises(ValueError, match=r"needs 'tubes', .*'tubes/testing', 'tubes/training'"):
            order(stage('tubes', splits=BOTH), stage('b', ('tubes',)))

    def test_without_a_test_split_what_needs_it_is_left_out(self):
        stages = [
            stage('cut', splits=BOTH),
            stage('fit', ('cut/training',)),
            stage('test', ('fit', 'cut/testing')),
            stage('summary', ('test',)),
        ]
        flow = Flow(stages, ('training',))
        assert list(flow.steps) == ['cut/training', 'fit']
        assert list(flow.left_out) == ['cut/testing', 'test', 'summary']

    def test_what_is_behind_a_step(self):
        stages = [
            stage('cut', splits=BOTH),
            stage('fit', ('cut/training',)),
            stage('other', ('cut/training',)),
            stage('test', ('fit', 'cut/testing')),
        ]
        flow = Flow(stages, BOTH)
        names = [step.name for step in flow.behind(['test'])]
        assert names == ['cut/training', 'cut/testing', 'fit', 'test']
        # Something stands in for the fit: what only that needs is not needed either.
        assert [s.name for s in flow.behind(['test'], cut=['fit'])] == ['cut/testing', 'test']

    def test_a_stage_by_name(self):
        flow = Flow([stage('cut', splits=BOTH), stage('fit')], BOTH)
        assert [step.name for step in flow.of('cut')] == ['cut/training', 'cut/testing']
        with pytest.raises(ValueError, match=r"stage: expected one of \('cut', 'fit'\), got 'fti'"):
            flow.of('fti')


# -------------------------------------------------------------------- what a stage leaves


def filled(path: Path, key: str = 'key', **kwargs) -> StageFolder:
    """A finished folder of two files."""
    folder = StageFolder(path, key, **kwargs)
    folder.open()
    (path / 'sub').mkdir(exist_ok=True)
    (path / 'one.txt').write_text('one')
    (path / 'sub/two.txt').write_text('two')
    folder.finish()
    return folder


class TestStageFolder:
    def test_complete_for_its_own_settings_only(self, tmp_path):
        folder = filled(tmp_path / 'a')
        assert folder.complete and folder.finished and not folder.damaged
        assert not StageFolder(tmp_path / 'a', 'other').complete
        assert not StageFolder(tmp_path / 'none', 'key').complete

    def test_not_complete_until_it_is_finished(self, tmp_path):
        folder = StageFolder(tmp_path / 'a', 'key')
        assert folder.open() is None
        (tmp_path / 'a/one.txt').write_text('one')
        assert not folder.complete
        folder.checkpoint()
        assert not folder.complete
        folder.finish()
        assert folder.complete

    @pytest.mark.parametrize('manifest', [None, '', '{"key": "key", "comp', '\x00\xff'])
    def test_not_complete_without_a_whole_manifest(self, tmp_path, manifest):
        folder = filled(tmp_path / 'a')
        path = tmp_path / 'a/manifest.json'
        path.unlink() if manifest is None else path.write_bytes(manifest.encode('latin-1'))
        assert not folder.complete
        # Nothing says which settings these files are of.
        assert folder.open() == tmp_path / 'a.stale'
        assert (tmp_path / 'a.stale/one.txt').is_file() and not (tmp_path / 'a/one.txt').exists()

    def test_output_of_other_settings_is_moved_aside_and_not_lost(self, tmp_path):
        filled(tmp_path / 'a')
        other = StageFolder(tmp_path / 'a', 'other')
        assert other.open() == tmp_path / 'a.stale'
        assert (tmp_path / 'a.stale/sub/two.txt').read_text() == 'two'
        assert [path.name for path in (tmp_path / 'a').iterdir()] == ['manifest.json']
        # A third takes the place of what was there.
        (tmp_path / 'a/three.txt').write_text('three')
        StageFolder(tmp_path / 'a', 'third').open()
        assert (tmp_path / 'a.stale/three.txt').is_file()
        assert not (tmp_path / 'a.stale/one.txt').exists()

    def test_what_the_same_settings_left_stays(self, tmp_path):
        """An interrupted stage goes on."""
        folder = StageFolder(tmp_path / 'a', 'key')
        folder.open()
        (tmp_path / 'a/one.txt').write_text('one')
        assert StageFolder(tmp_path / 'a', 'key').open() is None
        assert (tmp_path / 'a/one.txt').read_text() == 'one'

    @pytest.mark.parametrize('how', ['gone', 'cut', 'other'])
    def test_damaged_files_are_found_and_only_they_go(self, tmp_path, how):
        folder = filled(tmp_path / 'a')
        file = tmp_path / 'a/sub/two.txt'
        if how == 'gone':
            file.unlink()
        else:
            file.write_text('tw' if how == 'cut' else 'owt')
        assert folder.damaged == [file] and folder.finished and not folder.complete
        assert folder.open() is None
        assert not file.exists() and (tmp_path / 'a/one.txt').is_file()

    def test_a_file_that_only_looks_newer_is_whole(self, tmp_path):
        folder = filled(tmp_path / 'a')
        content = folder.content
        (tmp_path / 'a/one.txt').touch()
        assert folder.complete and folder.content == content

    def test_not_hashed_it_is_known_by_what_made_it(self, tmp_path):
        folder = filled(tmp_path / 'a', hashed=False)
        assert folder.complete and folder.content == 'key'
        (tmp_path / 'a/one.txt').write_text('eno')
        assert folder.damaged == [tmp_path / 'a/one.txt'] and folder.content == 'key'

    def test_content_is_of_the_files_not_of_what_made_them(self, tmp_path):
        a, b = filled(tmp_path / 'a'), filled(tmp_path / 'b', key='other')
        assert a.content == b.content
        (tmp_path / 'b/one.txt').write_text('eno')
        b.finish()
        assert a.content != b.content

    def test_editable_files_count_as_they_are(self, tmp_path):
        folder = filled(tmp_path / 'a', editable=True)
        content = folder.content
        (tmp_path / 'a/one.txt').write_text('what a person says')
        assert folder.complete and folder.content != content
        (tmp_path / 'a/one.txt').write_text('one')
        assert folder.content == content
        (tmp_path / 'a/one.txt').unlink()
        assert folder.damaged == [tmp_path / 'a/one.txt']

    def test_only_what_it_leaves_counts(self, tmp_path):
        folder = StageFolder(tmp_path / 'a', 'key', leaves=('*.txt', '../beside.txt'))
        folder.open()
        for name in ('one.txt', 'log.json', '.one.txt.1.tmp', '../beside.txt'):
            (tmp_path / 'a' / name).write_text(name)
        folder.finish()
        assert sorted(folder.record['files']) == ['../beside.txt', 'one.txt']
        (tmp_path / 'a/log.json').unlink()
        assert folder.complete
        (tmp_path / 'beside.txt').unlink()
        assert folder.damaged == [tmp_path / 'a' / '../beside.txt']

    def test_it_can_be_moved_and_copied(self, tmp_path):
        content = filled(tmp_path / 'a').content
        shutil.copytree(tmp_path / 'a', tmp_path / 'b', copy_function=shutil.copy)  # new times
        shutil.move(tmp_path / 'a', tmp_path / 'c')
        for name in 'bc':
            folder = StageFolder(tmp_path / name, 'key')
            assert folder.complete and folder.content == content

    def test_seconds_are_those_of_interrupted_runs_too(self, tmp_path, monkeypatch):
        clock = [100.0]
        monkeypatch.setattr(time, 'monotonic', lambda: clock[0])
        folder = StageFolder(tmp_path / 'a', 'key')
        folder.open()
        clock[0] += 5
        folder.checkpoint()  # and killed
        clock[0] += 1000
        folder = StageFolder(tmp_path / 'a', 'key')
        folder.open()
        clock[0] += 2
        assert folder.seconds == pytest.approx(7)
        folder.finish(more='said')
        assert folder.record['seconds'] == 7 and folder.record['more'] == 'said'
        # Those of other settings, now in .stale, are not counted, nor those of what is made again.
        for key in ('other', 'other'):
            again = StageFolder(tmp_path / 'a', key)
            again.open()
            clock[0] += 3
            again.finish()
            assert again.record['seconds'] == 3


# -------------------------------------------------------------------- what files hold


class TestFileDigests:
    @pytest.fixture
    def paths(self, tmp_path) -> list[Path]:
        paths = [tmp_path / f'data/{name}.jpg' for name in 'abc']
        paths[0].parent.mkdir()
        for path in paths:
            path.write_text(path.stem)
        return paths

    def test_it_is_of_the_content_in_its_order(self, paths, tmp_path):
        digests = FileDigests(tmp_path / 'digests.json')
        before = digests.of(paths)
        other = Path(shutil.copytree(paths[0].parent, tmp_path / 'elsewhere'))
        assert digests.of(other / path.name for path in paths) == before
        assert digests.of(reversed(paths)) != before
        assert digests.of(paths[:2]) != before

    def test_same_path_and_size_other_content(self, paths, tmp_path):
        digests = FileDigests(tmp_path / 'digests.json')
        before = digests.of(paths)
        paths[1].write_text('x')
        after = digests.of(paths)
        assert after != before
        assert FileDigests(tmp_path / 'digests.json').of(paths) == after
        paths[1].write_text('b')
        assert digests.of(paths) == before

    def test_files_that_look_the_same_are_read_once(self, paths, tmp_path, monkeypatch):
        read, digest = [], files.file_digest
        monkeypatch.setattr(files, 'file_digest', lambda path: read.append(path) or digest(path))
        before = FileDigests(tmp_path / 'digests.json').of(paths)
        assert read == paths
        assert FileDigests(tmp_path / 'digests.json').of(paths) == before and read == paths
        # A work dir that moved takes what is remembered along.
        shutil.move(tmp_path / 'digests.json', tmp_path / 'moved.json')
        assert FileDigests(tmp_path / 'moved.json').of(paths) == before and read == paths
        assert str(tmp_path) not in (tmp_path / 'moved.json').read_text()

    @pytest.mark.parametrize('text', ['', '{"a": "b', 'null'])
    def test_a_broken_cache_only_costs_time(self, paths, tmp_path, text):
        before = FileDigests(tmp_path / 'digests.json').of(paths)
        (tmp_path / 'digests.json').write_text(text)
        assert FileDigests(tmp_path / 'digests.json').of(paths) == before

    def test_a_missing_file_is_named(self, paths, tmp_path):
        paths[2].unlink()
        with pytest.raises(FileNotFoundError, match='c.jpg'):
            FileDigests(tmp_path / 'digests.json').of(paths)


# -------------------------------------------------------------------- a method without boxes


class FramePairs(BaseDataset):
    """Every frame of the test split, with the one before it."""

    def __init__(self, videos):
        self.source = videos.source
        meta = dict(videos=videos.lengths, labels=videos.labels, first_scored=1)
        super().__init__(metainfo=meta, test_mode=True)

    def load_data_list(self):
        videos = self.metainfo['videos']
        return [dict(video=v, frame=f) for v, count in videos.items() for f in range(1, count)]

    def prepare_data(self, idx):
        where = {key: self.get_data_info(idx)[key] for key in ('video', 'frame')}
        source = self.source(where['video'])
        pair = np.stack([source[where['frame'] - 1], source[where['frame']]])
        return dict(inputs=torch.from_numpy(pair), data_samples=BaseDataElement(metainfo=where))


class FrameDifference(BaseModel):
    """How much a frame changes in places: the change that one pixel in a hundred exceeds."""

    def forward(self, inputs, data_samples, mode):
        for (before, after), sample in zip(inputs, data_samples, strict=True):
            change = (after.float() - before.float()).abs().flatten()
            sample.pred_scores = dict(change=change.quantile(0.99))
        return data_samples


@STAGES.register_module(force=True)
class FrameDifferenceStage(EvaluationStage):
    """All that the method is."""

    of_objects = False

    def scored(self, job):
        return FrameDifference(), FramePairs(job.videos('testing')), None


FRAME_CONFIG = """
_base_ = ['{repo}/configs/_base_/default_runtime.py', '{repo}/configs/_base_/datasets/plaza.py']
stages = dict(
    test=dict(
        type='FrameDifferenceStage',
        evaluator=dict(type='VADMetric', smoothing=dict(type='gaussian', sigma=3)),
    )
)
"""


def frame_config(data: Path, tmp_path: Path) -> Config:
    path = tmp_path / 'difference.py'
    path.write_text(FRAME_CONFIG.format(repo=REPO))
    options = {}
    for split in ('train_dataset', 'test_dataset'):
        options |= {f'{split}.data_root': str(data), f'{split}.plaza': dict(TINY_PLAZA)}
    return read_config(path, options, str(tmp_path / 'work'))


def test_a_method_that_scores_whole_frames(plaza, tmp_path):
    """A stage of its own and a config are all that it takes: no boxes, no model file."""
    figures = train(frame_config(plaza, tmp_path))
    work_dir = tmp_path / 'work'
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    assert metrics['frames'] == 80 and metrics['videos'] == 2
    assert metrics['auc/micro'] == figures['auc/micro'] and 'auc_change/micro_raw' in metrics
    assert list(metrics['seconds']) == ['test']
    # Of boxes there are no figures, though the dataset has pixel masks.
    assert not {'rbdc', 'tbdc', 'auc/micro_tracked'} & set(metrics)
    for video in ('00', '01'):
        for kind in ('', 'raw/'):
            scores = np.load(work_dir / f'scores/{kind}{video}.npy', allow_pickle=False)
            assert scores.shape == (40,) and np.isfinite(scores).all() and np.ptp(scores) > 0
        assert (work_dir / f'plots/{video}.png').stat().st_size > 1000
    assert not (work_dir / 'objects').exists()
    assert len((work_dir / 'videos.csv').read_text().splitlines()) == 3
    assert list((work_dir / 'annotated').glob('*.mp4')) and (work_dir / 'overview.png').is_file()
    assert not list(work_dir.rglob('.*tmp*'))


def test_a_method_that_measures_before_it_scores(plaza, tmp_path):
    """Toy stages of one's own: what each gets, and that it runs but once."""
    seen: dict[str, Job] = {}

    class Measure(BaseStage):
        splits, reads_frames, leaves = BOTH, '{split}', ('*.txt',)

        def run(self, job):
            seen[job.name] = job
            for video, count in job.videos(job.split).lengths.items():
                (job.path / f'{video}.txt').write_text(f'{count}')

    class Sum(BaseStage):
        needs, config, seeded, in_model = ('measure/training',), ('factor',), True, True
        leaves = ('sum.txt',)

        def output(self, folder):
            return folder / 'sum.txt'

        def run(self, job):
            seen[job.name] = job
            counts = [int(p.read_text()) for p in job.inputs['measure/training'].path.glob('*.txt')]
            self.output(job.path).write_text(f'{job.config["factor"] * sum(counts)}')
            return dict(counts=counts)

    class Score(BaseStage):
        needs, always, evaluates = ('sum', 'measure/testing'), True, True

        def run(self, job):
            seen[job.name] = job
            return dict(share=float(job.inputs['sum'].path.read_text()))

    kinds = dict(score=Score, sum=Sum, measure=Measure)
    cfg = frame_config(plaza, tmp_path)
    cfg.stages = {name: dict(type=cls) for name, cls in kinds.items()}
    cfg.factor = 3
    assert train(cfg) == dict(share=240.0)
    assert list(seen) == ['measure/training', 'sum', 'measure/testing', 'score']
    assert seen['sum'].config == dict(factor=3) and seen['sum'].seed == 0
    assert seen['measure/testing'].split == 'testing' and seen['sum'].split is None
    assert set(seen['score'].inputs) == {'sum', 'measure/testing'}
    manifest = json.loads((tmp_path / 'work/sum/manifest.json').read_text())
    assert manifest['counts'] == [40, 40] and list(manifest['files']) == ['sum.txt']

    seen.clear()
    cfg.factor = 4
    assert train(cfg) == dict(share=320.0) and list(seen) == ['sum', 'score']
    # A model file stands in for what it holds, and for what only that needs.
    seen.clear()
    shutil.rmtree(tmp_path / 'work')
    (tmp_path / 'model.txt').write_text('7')
    cfg.load_from = str(tmp_path / 'model.txt')
    assert RUNNERS.build(cfg).test() == dict(share=7.0)
    assert list(seen) == ['measure/testing', 'score']

    cfg.pop('factor')
    with pytest.raises(ValueError, match='factor: missing in the config'):
        StagedRunner(cfg)


def test_a_stage_that_always_runs_is_not_in_a_model():
    with pytest.raises(TypeError, match='cannot be in the model'):
        stage('a', always=True, in_model=True)


# -------------------------------------------------------------------- the second method


@pytest.fixture(scope='module')
def attributes(plaza, tmp_path_factory) -> Path:
    """The work dir of a finished run of configs/attributes/plaza.py."""
    work_dir = tmp_path_factory.mktemp('attributes') / 'run'
    train(tiny_config(plaza, work_dir, method='attributes'))
    return work_dir


def figures(work_dir: Path) -> dict:
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    return {name: value for name, value in metrics.items() if name not in ('seconds', 'protocol')}


class TestAttributes:
    def test_leaves_what_it_promises(self, attributes):
        metrics = json.loads((attributes / 'metrics.json').read_text())
        assert set(metrics['seconds']) == {'tubes', 'features', 'calibrate', 'test'}
        assert {'auc_attributes/micro', 'auc/micro_tracked', 'rbdc'} <= set(metrics)
        tubes = ObjectTubes.load(attributes / 'proposals/testing/00.npz')
        measured = np.load(attributes / 'features/testing/attributes/00.npy', allow_pickle=False)
        assert measured.shape == (len(tubes), 5)
        assert not (attributes / 'features/testing/patterns').exists()
        assert not (attributes / 'captions').exists() and not list(attributes.rglob('epoch_*'))

    def test_the_model_file_alone_gives_the_same_figures(self, attributes, plaza, tmp_path):
        model = str(attributes / 'attributes.pth')
        cfg = tiny_config(plaza, tmp_path, method='attributes', load_from=model)
        RUNNERS.build(cfg).test()
        assert figures(tmp_path) == figures(attributes)

    def test_both_methods_find_the_same_tubes(self, attributes, finished):
        """They share the stage; only what comes after it differs."""
        for name in ('training/00', 'testing/01'):
            found = [(d / f'proposals/{name}.npz').read_bytes() for d in (attributes, finished)]
            assert found[0] == found[1]

    def test_a_training_video_without_objects(self, attributes, plaza, tmp_path):
        shutil.copytree(attributes / 'proposals', tmp_path / 'proposals')
        empty = ObjectTubes.from_frames({}, 40, (120, 160))
        empty.save(tmp_path / 'proposals/training/01.npz')
        figures = train(tiny_config(plaza, tmp_path, method='attributes', proposer=None))
        assert figures['videos_without_objects'] == 0 and 'auc/micro' in figures


# -------------------------------------------------------------------- bad input


WRONG_KEYS = {
    'proposer.thresold': "proposer.thresold: .*did you mean 'threshold'",
    'train_datset.data_root': "train_datset.*did you mean 'train_dataset'",
    'stages.tubes.train_strid': "stages.tubes.train_strid: .*did you mean 'train_stride'",
    'randomness.sead': "randomness.sead: .*did you mean 'seed'",
    'model.tube.windw': "model.tube.windw: .*did you mean 'window'",
    'model.tube.flow.pairz': "model.tube.flow.pairz: .*did you mean 'pairs'",
    'model.scorer.term': "model.scorer.term: .*did you mean 'terms'",
    'model.scorer.terms.smm.wait': "model.scorer.terms.smm.wait: .*did you mean 'weight'",
    'stages.spatial.train_dataloader.batchsize': "batchsize: .*did you mean 'batch_size'",
    'stages.test.evaluator.smothing': "stages.test.evaluator.smothing: .*'smoothing'",
}


class TestBadInput:
    @pytest.mark.parametrize('key', WRONG_KEYS)
    @pytest.mark.parametrize('by', ['file', 'options'])
    def test_keys_that_nothing_reads(self, plaza, tmp_path, key, by):
        """Refused with the nearest key, before anything is made, however they got there."""
        path = tmp_path / 'own.py'
        path.write_text(f"_base_ = ['{REPO}/configs/localvad/plaza.py']\n")
        if by == 'file':
            nested = '7'
            for name in reversed(key.split('.')):
                nested = f'dict({name}={nested})'
            path.write_text(f'{path.read_text()}{nested.removeprefix("dict(")[:-1]}\n')
        with pytest.raises(ValueError, match=WRONG_KEYS[key]):
            StagedRunner(
                read_config(path, {key: 7} if by == 'options' else {}, str(tmp_path / 'w'))
            )
        assert not (tmp_path / 'w').exists()

    def test_a_need_that_is_missing_says_how_to_make_it(self, attributes, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path, method='attributes', stage='calibrate')
        with pytest.raises(
            ValueError,
            match=r"training: stage 'tubes' is not complete .*\(--stage tubes\).*no --stage",
        ):
            train(cfg)
        shutil.copytree(attributes / 'proposals', tmp_path / 'proposals')
        with pytest.raises(ValueError, match=r"stage 'features' is not .*\(--stage features\)"):
            train(cfg)

    def test_a_stage_that_the_config_does_not_have(self, plaza, tmp_path):
        config = tmp_path / 'tiny.py'
        tiny_config(plaza, tmp_path / 'work', method='attributes').dump(str(config))
        command = [sys.executable, str(REPO / 'tools/train.py'), str(config), '--stage', 'nonsense']
        done = subprocess.run(command, capture_output=True, text=True)
        # In the order of the file, which MMEngine dumped.
        names = "('calibrate', 'features', 'test', 'tubes')"
        assert done.returncode and f"expected one of {names}, got 'nonsense'" in done.stderr

    @pytest.mark.parametrize('cfg', [dict(train_stride=3), 3, dict(type='TubeStage')])
    def test_a_stage_without_a_type(self, plaza, tmp_path, cfg):
        config = tiny_config(plaza, tmp_path, method='attributes')
        config.stages.tubes = cfg
        with pytest.raises((ValueError, KeyError), match='stages.tubes'):
            StagedRunner(config)

    def test_a_part_of_the_config_that_a_stage_needs(self, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path)
        cfg.pop('captioner')
        with pytest.raises(ValueError, match='captioner: missing in the config'):
            StagedRunner(cfg)
        assert not (tmp_path / 'proposals').exists()

    def test_flow_without_a_type(self, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path)
        cfg.model.tube.flow = dict(pairs=2)
        with pytest.raises(ValueError, match='model.tube.flow.type: missing'):
            StagedRunner(cfg)

    def test_a_batch_larger_than_what_is_not_held_out(self, finished, plaza, tmp_path):
        work_dir = tmp_path / 'copy'
        shutil.copytree(finished, work_dir, ignore=shutil.ignore_patterns('epoch_*.pth'))
        options = {'stages.temporal.train_dataloader.batch_size': 500}
        with pytest.raises(
            ValueError,
            match=r'stages.temporal.train_dataloader.batch_size: 500 is more than the \d+',
        ):
            train(tiny_config(plaza, work_dir, stage='temporal', **options))

    def test_weights_that_training_would_not_read(self, plaza, tmp_path):
        with pytest.raises(ValueError, match='load_from: some.pth is of no use to training'):
            RUNNERS.build(tiny_config(plaza, tmp_path, load_from='some.pth')).train()

    def test_there_is_nothing_to_test(self, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path, method='attributes')
        with pytest.raises(FileNotFoundError, match='load_from: .*no such model file'):
            RUNNERS.build(cfg).test()
        cfg.test_dataset = None
        with pytest.raises(ValueError, match='test_dataset: the config names none'):
            RUNNERS.build(cfg).test()


class TestModelFile:
    """Files that are no model file of this version, said by their names."""

    @staticmethod
    def save(path: Path, **meta) -> Path:
        torch.save(dict(state_dict=dict(a=torch.zeros(1)), **meta), path)
        return path

    def test_reads_what_training_wrote(self, finished, plaza):
        cfg, content = read_model_file(finished / 'localvad.pth')
        assert cfg.model.tube == json.loads(json.dumps(tiny_config(plaza, finished).model.tube))
        assert list(cfg.model.scorer.terms) == ['smm', 'action', 'appearance', 'attributes']
        assert cfg.stages.test.evaluator.score == 'all'
        assert content['meta']['seed'] == 0 and content['meta']['mmvad_version'] == __version__

    @pytest.mark.parametrize('meta', [{}, dict(meta=dict(epoch=3)), dict(meta='text')])
    def test_a_checkpoint_without_its_config(self, tmp_path, meta):
        path = self.save(tmp_path / 'epoch_2.pth', **meta)
        with pytest.raises(
            ValueError, match='epoch_2.pth: a checkpoint without its config.*localvad'
        ):
            read_model_file(path)

    @pytest.mark.parametrize('version', ['0.0.1', '9.9', None, '\u20281\n'])
    def test_of_another_version(self, tmp_path, version):
        meta = dict(config='{}', mmvad_version=version)
        if version is None:
            del meta['mmvad_version']
        path = self.save(tmp_path / 'old.pth', meta=meta)
        said = version or 'of unknown version'
        if not said.isprintable():
            said = r'\\u20281\\n'
        with pytest.raises(
            ValueError, match=f'old.pth: made by mmvad {said}, this is {__version__}'
        ):
            read_model_file(path)

    def test_code_in_the_place_of_a_config_is_not_run(self, tmp_path):
        code = f"open({str(tmp_path / 'ran')!r}, 'w')"
        path = self.save(tmp_path / 'm.pth', meta=dict(config=code, mmvad_version=__version__))
        with pytest.raises(ValueError, match='m.pth: meta.config: not the config of a model'):
            read_model_file(path)
        assert not (tmp_path / 'ran').exists()

    def test_no_file_and_no_checkpoint(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='none.pth: no such checkpoint'):
            read_model_file(tmp_path / 'none.pth')
        write_json(tmp_path / 'text.pth', dict(a=1))
        with pytest.raises(ValueError, match='text.pth: cannot be loaded as plain weights'):
            read_model_file(tmp_path / 'text.pth')
