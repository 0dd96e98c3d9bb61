"""Runs the stages of a method in order, each only where its output is not there already."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from mmvad import __version__, release
from mmvad.datasets import VideoDataset
from mmvad.registry import DATASETS, RUNNERS, STAGES
from mmvad.structures import (
    FileDigests,
    NoSpaceError,
    StageFolder,
    WorkDir,
    atomic_path,
    digest,
    file_digest,
)

from .broken_videos import leave_out_broken, told
from .by_video import remember_from, take_over
from .components import shaping_settings
from .config_check import check_config
from .configs import RUNTIME, known_keys, resolve_references, with_names
from .flow import Flow, Step
from .guard import guarded, make_work_dir, refuse_lost_lines
from .processes import join
from .stage import SPLITS, BaseStage, Job, Output, part_of, plain
from .trainer import check_resumable

# Default hooks that leave the weights alone.
_LOOKING_ON = ('runtime_info', 'timer', 'logger', 'checkpoint', 'visualization')


def build_stages(cfg: Config | ConfigDict) -> list[BaseStage]:
    """The stages that a config names.

    Raises:
        ValueError: If one has no type, or none that is registered.
    """
    stages = []
    for name, settings in part_of(cfg, 'stages').items():
        if not isinstance(settings, dict) or 'type' not in settings:
            raise ValueError(f'stages.{name}: expected a dict with the type of a stage')
        stages.append(STAGES.build(dict(settings, name=name)))
    return stages


def _refuse_other_depths(datasets: Mapping[str, VideoDataset]) -> None:
    """Refuse splits whose images are scaled by different rules, each by its own first images."""
    ranges = {split: videos.value_range_found for split, videos in datasets.items()}
    found = any(videos.value_range is None for videos in datasets.values())
    if found and len(set(ranges.values())) > 1:
        words = [
            f'{split} video {next(iter(videos.lengths))!r} from {ranges[split] or "8 bits"}'
            for split, videos in datasets.items()
        ]
        raise ValueError(
            f'train_dataset, test_dataset: images differ in depth: values of {", ".join(words)} '
            'are scaled; give both the value_range that becomes 0 to 255'
        )


@RUNNERS.register_module()
class StagedRunner:
    """Run the stages that the config names, in the order that their needs give.

    A stage writes to a folder of its own below ``work_dir``, with a manifest that holds a hash of
    what shaped its output: its settings, what it needs, and what the frames it reads hold. A
    complete stage of the same hash is skipped, an interrupted one goes on where it stopped, one of
    another hash is moved aside to ``<folder>.stale`` and made anew.

    Args:
        cfg: Config with ``train_dataset``, ``test_dataset`` (or None), ``model``, ``stages``,
            ``work_dir``, ``randomness``, ``default_hooks`` and what the stages name; ``stage`` to
            run a single one, ``load_from`` and ``resume`` to start it from a checkpoint,
            ``reuse_from``, another work dir, whose output is taken video by video where it was
            made by the same settings of the same frames.

    Raises:
        ValueError: If the config has keys or values that do not fit.
        OSError: If the work dir cannot be written to.
    """

    def __init__(self, cfg: Config | ConfigDict) -> None:
        self.processes = join(cfg.get('launcher') or 'none')
        with self.processes.together():
            self._set_up(cfg)

    def _set_up(self, cfg: Config | ConfigDict) -> None:
        # MMEngine keeps loggers and the like by name, for the life of the process.
        self.name = f'{Path(getattr(cfg, "filename", None) or "staged").stem}_{time.time_ns()}'
        # Bare type names in the config are mmvad's.
        DefaultScope.get_instance(self.name, scope_name='mmvad')
        # Before the stages are built: it names the nearest key, where a constructor just refuses.
        check_config(cfg, known_keys(cfg))
        resolve_references(cfg)
        stages = build_stages(cfg)
        self.cfg = cfg
        self.work_dir = WorkDir(Path(cfg.work_dir))
        self.splits = [split for split in SPLITS if split == 'training' or cfg.get('test_dataset')]
        self.flow = Flow(stages, self.splits)
        self.seed = part_of(cfg, 'randomness.seed')
        if not (isinstance(self.seed, int) and 0 <= self.seed < 2**32):
            raise ValueError(
                f'randomness.seed: expected a whole number from 0 to 2**32 - 1, got {self.seed!r}'
            )
        checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
        if checkpoint.get('max_keep_ckpts') == 1:
            # MMEngine removes the oldest first: a run that is killed then would have none.
            raise ValueError(
                'default_hooks.checkpoint.max_keep_ckpts: 1 leaves no checkpoint while the next is '
                'written; expected 2 or more, or -1 for all'
            )
        self._datasets: dict[str, VideoDataset] = {}
        self._inputs: dict[str, str] = {}
        self._outputs: dict[str, Output] = {}
        # Given output that was found to be what it should be.
        self._checked: set[str] = set()
        # Bad input shows before hours of work, not after.
        for stage in stages:
            self._config(stage)
            stage.check(cfg)
        if cfg.get('reuse_from'):
            if not Path(cfg.reuse_from).is_dir():
                raise FileNotFoundError(f'reuse_from: {cfg.reuse_from}: no such work dir')
            if self.processes.main:
                remember_from(self.work_dir, WorkDir(Path(cfg.reuse_from)))
        self.digests = FileDigests(self.work_dir.digests)
        with self.processes.main_first():
            datasets = {split: self.videos(split) for split in self.splits}
            for videos in datasets.values():
                leave_out_broken(videos, self.work_dir, self.digests)
                videos.labels  # noqa: B018
        remarks = [
            (split, *item) for split in datasets for item in datasets[split].remarks().items()
        ]
        _refuse_other_depths(datasets)
        for stage in stages:
            stage.check_videos(cfg, datasets)
        make_work_dir(self.work_dir)
        self.logger = MMLogger.get_instance(
            self.name,
            log_file=str(self.work_dir.log(time.strftime('%Y%m%d_%H%M%S'))),
            log_level=cfg.get('log_level', 'INFO'),
            file_mode='a',  # a run that begins in the same second has a file of the same name
        )
        refuse_lost_lines(self.logger)
        for split, video, found in remarks:
            self.logger.warning(f'{split} video {video!r}: {"; ".join(found)}')

    @classmethod
    def from_cfg(cls, cfg: Config) -> StagedRunner:
        """What ``runner_type`` in a config calls."""
        return cls(cfg)

    # ---------------------------------------------------------------- entry points

    def train(self) -> dict[str, float]:
        """Run all stages, or the one that ``cfg.stage`` names.

        Returns:
            The figures; empty where no stage that makes any was run.

        Raises:
            BlockingIOError: If another run is at work in the work dir.
        """
        only, resume_from = self.cfg.get('stage'), None
        if self.cfg.get('load_from') and not self.cfg.get('resume'):
            raise ValueError(
                f'load_from: {self.cfg.load_from} is of no use to training without resume '
                '(--resume FILE --stage NAME)'
            )
        steps = list(self.flow.steps.values()) if only is None else self.flow.of(only)
        if self.cfg.get('resume') and self.cfg.get('load_from'):
            resume_from = self.cfg.load_from
            trained = [stage.name for stage in self.flow.stages if stage.trains]
            if only not in trained:
                raise ValueError(
                    f'resume: {resume_from} needs the stage it belongs to '
                    f'({", ".join(f"--stage {name}" for name in trained)}), got {only!r}'
                )
            if not Path(resume_from).is_file():
                raise FileNotFoundError(f'resume: {resume_from}: no such checkpoint')
            check_resumable(resume_from)
        for name in self.flow.left_out if only is None else ():
            self.logger.info(f'Stage {name}: the config names no test_dataset, skipped')
        with self._at_work():
            return self._run(steps, resume_from)

    def test(self) -> dict[str, float]:
        """Score the test split with the model file ``cfg.load_from``.

        Returns:
            The figures.

        Raises:
            BlockingIOError: If another run is at work in the work dir.
        """
        if 'testing' not in self.splits:
            raise ValueError('test_dataset: the config names none to test on')
        path = Path(self.cfg.get('load_from') or '')
        if not path.is_file():
            raise FileNotFoundError(f'load_from: {path}: no such model file')
        finals = [step.name for step in self.flow.steps.values() if step.stage.evaluates]
        if not finals:
            raise ValueError('stages: none makes figures, so there is nothing to test')
        held = [stage for stage in self.flow.stages if stage.in_model]
        with self._at_work():
            for stage in held:
                stage.check_model(self._config(stage), path)
                content = stage.content(path) or self.digests.of([path])
                self._outputs[stage.name] = Output(path, content)
            return self._run(self.flow.behind(finals, cut=[stage.name for stage in held]))

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Others are kept out of the work dir, and all processes come to the end or none."""
        own = guarded(self.work_dir, self.logger) if self.processes.main else nullcontext()
        with own, self.processes.together():
            # The lock is held, and what a killed run left is removed.
            self.processes.wait()
            if self.processes.main:
                self._dump_config()
            yield
        self.processes.leave()

    # ---------------------------------------------------------------- steps

    def _dump_config(self) -> None:
        """Leave the whole config in the work dir, as MMEngine's runner does."""
        path = self.work_dir.config(Path(getattr(self.cfg, 'filename', None) or 'config').stem)
        with atomic_path(path) as tmp:
            tmp.write_text(Config(with_names(self.cfg.to_dict())).pretty_text)

    def _run(self, steps: Iterable[Step], resume_from: str | None = None) -> dict[str, float]:
        steps = list(steps)
        with self.processes.main_first():
            self._prepare(steps, resume_from)
        figures: dict[str, float] = {}
        for step in steps:
            result = self._run_step(step, resume_from)
            if step.stage.evaluates:
                figures.update(result or {})
        for text in told(self._datasets):
            self.logger.warning(text)
        return figures

    def _prepare(self, steps: Iterable[Step], resume_from: str | None) -> None:
        """Let those that are going to run get ready: missing weights show now, not after hours."""
        to_run: set[str] = set()
        ready: set[str] = set()
        for step in steps:
            stage, config = step.stage, self._config(step.stage)
            open_needs = any(need in to_run for need in step.needs)
            if stage.given(config):
                self._check_given(step, open_needs)
                continue
            again = stage.always or resume_from is not None
            if again or open_needs or not self._folder(step).complete:
                to_run.add(step.name)
                if stage.name not in ready and (stage.shared or self.processes.main):
                    stage.prepare(config)
                    ready.add(stage.name)

    def _check_given(self, step: Step, open_needs: bool) -> None:
        """Refuse given output that is not there at all or, as far as can be told by now, is not
        what it should be."""
        path = self.work_dir.stage(step.stage.folder, step.split)
        folder = StageFolder(path, '', step.stage.leaves)
        if not open_needs:
            step.stage.check_given(self._job(step, folder, None))
            self._checked.add(step.name)
        elif not folder.files:
            raise FileNotFoundError(
                f'{path}: holds no output of the stage {step.name}, which the config says is given'
            )

    def _run_step(self, step: Step, resume_from: str | None) -> dict[str, Any] | None:
        with self.processes.main_first():
            # What files hold is read once, and remembered.
            folder, stage = self._folder(step), step.stage
        if stage.given(self._config(stage)):
            if step.name not in self._checked:
                stage.check_given(self._job(step, folder, resume_from))
            self.logger.info(f'Stage {step.name}: given ({folder.path})')
            return None
        complete = self.processes.from_main(lambda: folder.complete)
        if not stage.always and complete and resume_from is None:
            self.logger.info(f'Stage {step.name}: complete, skipped ({folder.path})')
            return None
        if damaged := self.processes.from_main(
            lambda: [str(path) for path in folder.damaged] if folder.finished else []
        ):
            self.logger.warning(
                f'Stage {step.name}: {damaged[0]} and {len(damaged) - 1} other files are gone or '
                'not what they were; made again'
            )
        self.logger.info(f'Stage {step.name}: {folder.path}')
        resumed = {}
        if resume_from is not None:
            resumed = dict(resumed_from=resume_from, resumed_content=file_digest(Path(resume_from)))
            self.logger.warning(
                f'Stage {step.name}: goes on from {resume_from}; what comes out counts as made by '
                'the present settings'
            )
        if stale := self.processes.from_main(lambda: str(folder.open() or '')):
            self.logger.warning(f'Stage {step.name}: output of other settings moved to {stale}')
            if resume_from is not None and Path(resume_from).is_relative_to(folder.path):
                resume_from = str(Path(stale) / Path(resume_from).relative_to(folder.path))
        keys: dict[str, str] = {}
        taken: list[Path] = []
        try:
            if self.processes.main:
                keys = self._video_keys(step)
                taken = self._take_over(step, folder, keys, stale)
            self.processes.wait()
            result = None
            if stage.shared or self.processes.main:
                result = stage.run(self._job(step, folder, resume_from))
            self.processes.wait()
        except BaseException as error:
            if self.processes.main and stale and folder.put_back(Path(stale), taken):
                self.logger.warning(f'Stage {step.name}: did not start; {stale} is back in place')
            # MMEngine's own files: the system names none of them.
            if isinstance(error, OSError) and (full := NoSpaceError.of(error, folder.path)):
                raise full from error
            raise
        if self.processes.main:
            more = dict(videos=keys) if keys else {}
            folder.finish(**resumed, **more, **({} if stage.evaluates else result or {}))
        self.processes.wait()
        self._outputs.pop(step.name, None)
        self.logger.info(f'Stage {step.name}: done in {folder.seconds:.0f} s')
        return result

    def _job(self, step: Step, folder: StageFolder, resume_from: str | None) -> Job:
        return Job(
            name=step.name,
            split=step.split,
            inputs={need: self._output(need) for need in step.needs},
            folder=folder,
            work_dir=self.work_dir,
            videos=self.videos,
            config=self._config(step.stage),
            runtime={key: plain(self.cfg[key]) for key in RUNTIME if key in self.cfg},
            seed=self.seed,
            logger=self.logger,
            run_name=self.name,
            resume_from=resume_from,
            seconds=self._seconds,
            whole_config=self._whole_config(),
            processes=self.processes,
        )

    def _config(self, stage: BaseStage) -> dict[str, Any]:
        parts = {}
        for key in stage.config:
            try:
                parts[key] = part_of(self.cfg, key)
            except ValueError:
                if key not in stage.optional:
                    raise
        return parts

    def _folder(self, step: Step) -> StageFolder:
        """The folder of a step; its needs must be complete."""
        stage = step.stage
        frames = stage.reads_frames and stage.reads_frames.format(split=step.split)
        key = digest(
            shaping_settings(self.cfg.stages[stage.name], self._digest),
            shaping_settings(self._config(stage), self._digest),
            {need: self._output(need).content for need in step.needs},
            self._frames(frames) if frames else None,
            dict(self.cfg.randomness) if stage.seeded else None,
            self._training_hooks() if stage.trains else None,
            # What other code left may be something else.
            release(__version__),
        )
        path = self.work_dir.stage(stage.folder, step.split)
        # What is made every time is never of other settings.
        key = stage.name if stage.always else key
        main = self.processes.main
        return StageFolder(path, key, stage.leaves, stage.hashed, stage.editable, notes=main)

    def _video_keys(self, step: Step) -> dict[str, str]:
        """Video to a hash of what shapes what a step leaves of it; empty where that depends on
        other videos too."""
        stage, config = step.stage, self._config(step.stage)
        if step.split is None or not stage.apart(config):
            return {}
        shape = digest(
            shaping_settings(self.cfg.stages[stage.name], self._digest),
            shaping_settings(config, self._digest),
            dict(self.cfg.randomness) if stage.seeded else None,
            release(__version__),
        )
        videos, keys = self.videos(step.split), {}
        for video in videos.lengths:
            held = [shape, self.digests.of(videos.files(video))]
            for need in step.needs:
                left = self._output(need)
                files = self.flow.steps[need].stage.files_of(left.path, video)
                held.append(self.digests.of(files) if files else left.content)
            keys[video] = digest(held, videos.value_range, videos.frame_rate)
        return keys

    def _take_over(
        self, step: Step, folder: StageFolder, keys: dict[str, str], stale: str
    ) -> list[Path]:
        """Take what was made before of videos that are the same; ``keys`` as
        :meth:`_video_keys` gives them."""
        if not keys:
            return []
        sources = [Path(stale)] if stale else []
        if self.cfg.get('reuse_from'):
            other = WorkDir(Path(self.cfg.reuse_from))
            sources.append(other.stage(step.stage.folder, step.split))
        taken = take_over(step.stage, folder, keys, sources)
        if taken:
            self.logger.info(f'Stage {step.name}: {len(taken)} files of videos as before, kept')
        return taken

    def _training_hooks(self) -> dict[str, Any]:
        hooks = plain(self.cfg.get('default_hooks')) or {}
        kept = {name: hook for name, hook in hooks.items() if name not in _LOOKING_ON}
        return shaping_settings(kept, self._digest)

    def _digest(self, path: Path) -> str:
        return self.digests.of([path])

    def _frames(self, split: str) -> str:
        """A hash of what the frames of a split hold, video by video."""
        if split not in self._inputs:
            videos = self.videos(split)
            # In their order, which says whose turn it is in training, and who is held out.
            held = [(video, self.digests.of(videos.files(video))) for video in videos.lengths]
            self._inputs[split] = digest(held, videos.value_range, videos.frame_rate)
        return self._inputs[split]

    def _output(self, name: str) -> Output:
        """What a step left.

        Raises:
            ValueError: If it is not complete.
        """
        if name not in self._outputs:
            step = self.flow.steps[name]
            folder, stage = self._folder(step), step.stage
            path = stage.output(folder.path)
            if stage.given(self._config(stage)):
                content = stage.content(path) or self.digests.of(folder.files)
            elif folder.complete:
                content = stage.content(path) or folder.content
            else:
                raise ValueError(
                    f'{folder.path}: stage {stage.name!r} is not complete for these settings; run '
                    f'it first (--stage {stage.name}), or all stages (no --stage)'
                )
            self._outputs[name] = Output(path, content)
        return self._outputs[name]

    # ---------------------------------------------------------------- what stages share

    def videos(self, split: str) -> VideoDataset:
        """The videos of a split."""
        if split not in self._datasets:
            cfg = self.cfg.train_dataset if split == 'training' else self.cfg.test_dataset
            self._datasets[split] = DATASETS.build(cfg)
        return self._datasets[split]

    def _whole_config(self) -> Config:
        """The config, with how the images of training were scaled, as others must be then."""
        cfg = copy.deepcopy(self.cfg)
        for key in ('train_dataset', 'test_dataset'):
            if cfg.get(key) and cfg[key].get('value_range') is None:
                cfg[key].value_range = self.videos('training').value_range_found
        return cfg

    def _seconds(self) -> dict[str, float]:
        """Seconds that each stage has taken so far, over its splits."""
        seconds: dict[str, float] = {}
        for step in self.flow.steps.values():
            path = self.work_dir.stage(step.stage.folder, step.split)
            spent = StageFolder(path, '').record.get('seconds', 0.0)
            seconds[step.stage.name] = round(seconds.get(step.stage.name, 0.0) + spent, 1)
        return seconds
