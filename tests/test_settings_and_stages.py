"""What runs again when a setting, a file or a place changes: the table of docs/architecture.md.

Each line of the table is tried on a finished tiny run. The stages do not work there but put back
what the finished run left, changed a bit, as other settings would have; so a line takes a second
where a run takes a minute. Three lines run in earnest as well.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import REPO, tiny_config
from mmengine.config import Config

from mmvad.engine import BaseStage, Job, StagedRunner, build_stages
from mmvad.registry import RUNNERS
from mmvad.structures import SENTENCES, read_weights

EVERYTHING = (
    'tubes/training',
    'tubes/testing',
    'captions',
    'spatial',
    'features/training',
    'features/testing',
    'temporal',
    'calibrate',
    'test',
)
FROM_CAPTIONS = EVERYTHING[2:]
FROM_SPATIAL = EVERYTHING[3:]
FROM_FEATURES = EVERYTHING[4:]
FROM_TEMPORAL = EVERYTHING[6:]
FROM_CALIBRATE = EVERYTHING[7:]
TEST = EVERYTHING[8:]


@dataclass
class Scene:
    """A copy of the finished run, and the config that is run on it next."""

    finished: Path
    work_dir: Path
    data: Path
    cfg: Config

    def own_data(self) -> Path:
        """A copy of the dataset, which the config reads from now on."""
        data = Path(shutil.copytree(self.data, self.work_dir.parent / 'data', symlinks=True))
        for split in ('train_dataset', 'test_dataset'):
            self.cfg[split].data_root = str(data)
        return data


Change = Callable[[Scene], None]
TEMPLATES = {name: f'Of its {name}: {{words}}' for name in SENTENCES}


def options(**settings: Any) -> Change:
    """Other settings; ``__`` stands for the dot."""
    dotted = {key.replace('__', '.'): value for key, value in settings.items()}

    def change(scene: Scene) -> None:
        scene.cfg.merge_from_dict(dotted)

    return change


def redraw(frame: Path) -> None:
    """Other bytes in a frame of the same name."""
    image = cv2.imread(str(frame))
    image[:8, :8] = 255 - image[:8, :8]
    cv2.imwrite(str(frame), image)


def frame(split: str) -> Change:
    def change(scene: Scene) -> None:
        redraw(sorted((scene.own_data() / split / 'frames/00').iterdir())[20])

    return change


def other_videos(scene: Scene) -> None:
    """As many frames of the same names, which show something else."""
    data = scene.own_data()
    for path in sorted(data.glob('*/frames/*/*')):
        redraw(path)


def same_videos_elsewhere(scene: Scene) -> None:
    scene.own_data()


def newer_frames(scene: Scene) -> None:
    for path in scene.own_data().glob('*/frames/*/*'):
        path.touch()


def moved(scene: Scene) -> None:
    scene.work_dir = Path(shutil.move(scene.work_dir, scene.work_dir.with_name('moved')))
    scene.cfg.work_dir = str(scene.work_dir)


def copied(scene: Scene) -> None:
    """The original is gone, so that nothing of it can be read."""
    original, scene.work_dir = scene.work_dir, scene.work_dir.with_name('another')
    shutil.copytree(original, scene.work_dir)
    shutil.rmtree(original)
    scene.cfg.work_dir = str(scene.work_dir)


def edited_caption(scene: Scene) -> None:
    path = scene.work_dir / 'captions/00.jsonl'
    text = path.read_text()
    first = json.loads(text.splitlines()[0])
    sentence = next(value for value in first.values() if isinstance(value, str) and ' ' in value)
    path.write_text(text.replace(sentence, 'somebody rides a bicycle', 1))


def deleted(name: str) -> Change:
    return lambda scene: (scene.work_dir / name).unlink()


def cut(name: str) -> Change:
    def change(scene: Scene) -> None:
        path = scene.work_dir / name
        path.write_bytes(path.read_bytes()[:1000])

    return change


def dumped(scene: Scene) -> None:
    """As MMEngine dumps it: every dict in alphabetical order."""
    path = scene.work_dir.parent / 'dumped.py'
    scene.cfg.dump(path)
    assert list(scene.cfg.model.scorer.terms) != sorted(scene.cfg.model.scorer.terms)
    scene.cfg = Config.fromfile(path)
    assert list(scene.cfg.model.scorer.terms) == sorted(scene.cfg.model.scorer.terms)


def full_names(scene: Scene) -> None:
    scene.cfg.model.type = 'mmvad.LocalVAD'
    scene.cfg.stages.tubes.type = 'mmvad.methods.objects.tubes.TubesStage'


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        setting: What changes, in Markdown.
        steps: What runs again.
        cases: Name to a change of the kind.
        same: What runs again leaves what it left before.
        note: Said behind the stages.
        says: In the log.
    """

    setting: str
    steps: tuple[str, ...]
    cases: Mapping[str, Change] = field(compare=False)
    same: bool = False
    note: str = ''
    says: str = ''

    @property
    def stages(self) -> str:
        """Names of the stages, in Markdown."""
        if self.steps == EVERYTHING:
            return 'everything' + self.note
        if self.steps == TEST:
            return 'only `test`' + self.note
        names = []
        for step in self.steps:
            stage = step.split('/')[0]
            whole = {name for name in EVERYTHING if name.split('/')[0] == stage} <= set(self.steps)
            name = f'`{stage if whole else step}`'
            if name not in names:
                names.append(name)
        return ', '.join(names) + self.note


ROWS = (
    Row('nothing', TEST, dict(none=lambda scene: None)),
    Row(
        '`stages.test`: `evaluator`, `annotate`, `explain`, `false_alarms`, `batch_size`, '
        '`min_region_area`; the labels',
        TEST,
        dict(
            smoothing=options(stages__test__evaluator__smoothing__sigma=7),
            tracking=options(stages__test__evaluator__tracking__prior=1.0),
            score=options(stages__test__evaluator__score='smm'),
            annotate=options(stages__test__annotate=0),
            explain=options(stages__test__explain=0),
            alarms=options(stages__test__false_alarms=5.0),
            batch=options(stages__test__batch_size=3),
            area=options(stages__test__min_region_area=0),
            labels=options(test_dataset__labels=None, test_dataset__pixel_masks=None),
        ),
    ),
    Row(
        '`model.scorer`: `terms`, their weights, `channels`; `stages.calibrate.num_tubes`',
        FROM_CALIBRATE,
        dict(
            weight=options(model__scorer__terms__attributes__weight=2.5),
            neighbours=options(model__scorer__terms__action__neighbours=7),
            term=options(
                model__scorer__terms__common=dict(
                    type='NearestDistance', of='attributes', neighbours=9
                )
            ),
            channels=options(model__scorer__channels__learned=('smm', 'action')),
            tubes=options(stages__calibrate__num_tubes=9),
        ),
    ),
    Row(
        '`model.temporal`, `stages.temporal`, `stages.calibrate.held_out`',
        FROM_TEMPORAL,
        dict(
            drive=options(model__temporal__smm__drive='per_component'),
            steps=options(model__temporal__loss_steps='all'),
            epochs=options(stages__temporal__train_cfg__max_epochs=3),
            lr=options(stages__temporal__optim_wrapper__optimizer__lr=1e-3),
            batch=options(stages__temporal__train_dataloader__batch_size=4),
            held_out=options(stages__calibrate__held_out=0.3),
        ),
    ),
    Row(
        '`model.tube.measure`, `stages.features.batch_size`',
        FROM_FEATURES,
        dict(
            quantities=options(model__tube__measure__attributes__quantities=('speed', 'width')),
            another=options(model__tube__measure__slow=dict(type='MeasureAttributes')),
            batch=options(stages__features__batch_size=8),
        ),
        note='; `temporal` comes out as it was, where the patterns do',
    ),
    Row(
        '`model.spatial`, `model.tube.crop_size`, `model.tube.flow`, `stages.spatial`, '
        '`randomness.seed`',
        FROM_SPATIAL,
        dict(
            brightness=options(model__spatial__data_preprocessor__brightness=1.0),
            crop_size=options(model__tube__crop_size=(40, 32)),
            flow=options(model__tube__flow__pairs=1),
            epochs=options(stages__spatial__train_cfg__max_epochs=3),
            batch=options(stages__spatial__train_dataloader__batch_size=4),
            seed=options(randomness__seed=1),
        ),
    ),
    Row(
        '`captioner`, `model.tube.strides`, `stages.captions`',
        FROM_CAPTIONS,
        dict(
            templates=options(captioner__templates=TEMPLATES),
            strides=options(model__tube__strides=(1, 2)),
            fit_frames=options(stages__captions__fit_frames=10),
        ),
    ),
    Row(
        '`proposer`, `model.tube.window`, `model.tube.horizon`, `stages.tubes.train_stride`',
        EVERYTHING,
        dict(
            threshold=options(proposer__threshold=23),
            min_side=options(proposer__min_side=6),
            window=options(model__tube__window=4),
            horizon=options(model__tube__horizon=2),
            stride=options(stages__tubes__train_stride=7),
        ),
    ),
    Row(
        'what only changes speed or logs: `stages.features.num_workers`, '
        '`stages.spatial.cache_mb`, `model.tube.flow.keep_mb`, '
        '`default_hooks.logger`, `visualizer`, `log_level`',
        TEST,
        dict(
            features_workers=options(stages__features__num_workers=3),
            cache=options(stages__spatial__cache_mb=7),
            keep=options(model__tube__flow__keep_mb=3),
            hooks=options(default_hooks__logger__interval=7),
            visualizer=options(visualizer__name='another'),
            level=options(log_level='WARNING'),
        ),
    ),
    Row(
        'the order of keys in the config; a `type` by its full name',
        TEST,
        dict(dumped=dumped, names=full_names),
    ),
    Row(
        'a training frame, its name as before',
        tuple(step for step in EVERYTHING if step != 'tubes/testing'),
        dict(frame=frame('training')),
    ),
    Row(
        'a test frame, its name as before',
        ('tubes/testing', 'features/testing', 'test'),
        dict(frame=frame('testing')),
    ),
    Row(
        'the data, for other videos of the same names and lengths',
        EVERYTHING,
        dict(data_root=other_videos),
    ),
    Row(
        'the place of the data; the time of change of frames',
        TEST,
        dict(place=same_videos_elsewhere, time=newer_frames),
    ),
    Row(
        'the place of the work dir, moved or copied',
        TEST,
        dict(moved=moved, copied=copied),
    ),
    Row('a caption, by hand', FROM_SPATIAL, dict(edited=edited_caption)),
    Row(
        'a caption, by hand, and the same weights come out',
        ('spatial', 'test'),
        dict(edited=edited_caption),
        same=True,
    ),
    Row(
        "a stage's file is gone or cut short",
        ('spatial', 'test'),
        dict(gone=deleted('spatial/branches.pth'), cut=cut('spatial/branches.pth')),
        same=True,
        note=' (here `spatial/branches.pth`): that stage, said in the log, then what its output '
        'changes',
        says='branches.pth and 0 other files are gone or not what they were; made again',
    ),
    Row(
        'the model file is gone or cut short',
        ('calibrate', 'test'),
        dict(gone=deleted('localvad.pth'), cut=cut('localvad.pth')),
        same=True,
        says='localvad.pth and 0 other files are gone or not what they were; made again',
    ),
    Row(
        'a manifest is gone',
        ('temporal', 'test'),
        dict(gone=deleted('temporal/manifest.json')),
        same=True,
        note=': the stage, from its start',
        says='output of other settings moved to',
    ),
)


def settings_table() -> Iterator[tuple[str, str]]:
    """The lines of the table: what changes, and what runs again."""
    for row in ROWS:
        yield row.setting, row.stages


def table_markdown() -> str:
    """The table as docs/architecture.md has it between its markers."""
    rows = [('changed', 'runs again'), ('---', '---'), *settings_table()]
    return '\n'.join(f'| {setting} | {stages} |' for setting, stages in rows)


@pytest.fixture
def scene(finished, plaza, tmp_path) -> Iterator[Scene]:
    work_dir = tmp_path / 'copy'
    # MMEngine's checkpoints are twenty times all the rest, and no stage reads a complete one's.
    shutil.copytree(finished, work_dir, ignore=shutil.ignore_patterns('epoch_*.pth'))
    yield Scene(finished, work_dir, plaza, tiny_config(plaza, work_dir))
    shutil.rmtree(tmp_path)


def run_again(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[BaseStage, Job], Any] | None = None,
) -> list[str]:
    """Run all stages on what is there.

    Args:
        scene: Where.
        monkeypatch: Of the test.
        work: In place of what the stages do; None: they work in earnest.

    Returns:
        The steps that ran.
    """
    ran = []
    with monkeypatch.context() as patch:
        for cls in {type(stage) for stage in build_stages(scene.cfg)}:

            def run(stage: BaseStage, job: Job, earnest=cls.run) -> Any:
                ran.append(job.name)
                return (work or earnest)(stage, job)

            patch.setattr(cls, 'run', run)
        RUNNERS.build(scene.cfg).train()
    return ran


def put_back(finished: Path, same: bool) -> Callable[[BaseStage, Job], None]:
    """Work of a stage that leaves what it left in the finished run, or something like it."""

    def work(stage: BaseStage, job: Job) -> None:
        before = finished / job.path.relative_to(job.work_dir.root)
        for file in sorted({f for pattern in stage.leaves for f in before.glob(pattern)}):
            if not file.is_file() or file.name == 'manifest.json':
                continue
            target = job.path / file.relative_to(before)
            target.parent.mkdir(parents=True, exist_ok=True)
            if same:
                shutil.copy(file, target)
            elif file.suffix == '.pth':
                weights = {name: value + 1 for name, value in read_weights(file).items()}
                torch.save(dict(state_dict=weights), target)
            else:
                target.write_bytes(file.read_bytes() + b'\n')

    return work


@pytest.mark.parametrize(
    ('row', 'case'),
    [
        pytest.param(row, case, id=f'{number}-{case}')
        for number, row in enumerate(ROWS)
        for case in row.cases
    ],
)
def test_a_change_runs_what_depends_on_it(scene, monkeypatch, row, case):
    row.cases[case](scene)
    ran = run_again(scene, monkeypatch, put_back(scene.finished, row.same))
    assert sorted(ran) == sorted(row.steps)
    # In an order in which every stage found what it needs, and all is complete now.
    assert run_again(scene, monkeypatch, put_back(scene.finished, row.same)) == ['test']
    log = '\n'.join(path.read_text() for path in scene.work_dir.glob('*.log'))
    assert row.says in log
    assert ('.stale' in log) == any(scene.work_dir.rglob('*.stale'))


@pytest.mark.parametrize(
    ('case', 'steps', 'change'),
    [
        ('terms', FROM_CALIBRATE, options(model__scorer__terms__attributes__weight=2.5)),
        ('temporal', FROM_TEMPORAL, options(model__temporal__smm__drive='per_component')),
        (
            'measure',
            FROM_FEATURES,
            options(model__tube__measure__attributes__quantities=('speed', 'width')),
        ),
    ],
)
def test_it_does_so_in_earnest(scene, monkeypatch, case, steps, change):
    """As above with the stages' own work; the scores move, and what the note says is so."""
    before = np.load(scene.work_dir / 'scores/raw/01.npy', allow_pickle=False)
    weights = read_weights(scene.work_dir / 'temporal/temporal.pth')
    change(scene)
    scene.cfg.stages.test.annotate = 0
    assert sorted(run_again(scene, monkeypatch)) == sorted(steps)
    after = np.load(scene.work_dir / 'scores/raw/01.npy', allow_pickle=False)
    assert np.abs(after - before).max() > 1e-4
    again = read_weights(scene.work_dir / 'temporal/temporal.pth')
    same = again.keys() == weights.keys() and all(torch.equal(again[k], weights[k]) for k in again)
    assert same == (case != 'temporal')


def test_a_caption_that_was_edited_stays(scene, monkeypatch):
    """A person's words are not overwritten, whatever runs again behind them."""
    path = scene.work_dir / 'captions/00.jsonl'
    edited_caption(scene)
    text = path.read_text()
    assert 'somebody rides a bicycle' in text
    run_again(scene, monkeypatch, put_back(scene.finished, same=False))
    assert path.read_text() == text


def test_one_stage_alone_does_not_run_what_it_needs(scene):
    """With --stage, what was changed before it is named, and how to make it."""
    options(captioner__templates=TEMPLATES, stage='spatial')(scene)
    with pytest.raises(ValueError, match="'captions' is not complete.*--stage captions"):
        StagedRunner(scene.cfg).train()


def test_the_table_in_the_documentation_is_this_one():
    path = REPO / 'docs/architecture.md'
    if not path.is_file():
        pytest.skip('there is no docs/architecture.md')
    found = re.search(
        r'<!-- settings table -->\n(.*?)<!-- /settings table -->', path.read_text(), re.DOTALL
    )
    assert found, f'{path}: no markers of the settings table'
    assert found[1].strip() == table_markdown(), 'put the output of table_markdown() there'
