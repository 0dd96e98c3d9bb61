"""The whole job of LocalVAD in stages, each of which is skipped when its output is complete."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, find_latest_checkpoint, set_random_seed

from mmvad import __version__
from mmvad.datasets import VideoDataset
from mmvad.datasets.ground_truth.regions import read_regions
from mmvad.models import LocalVAD
from mmvad.registry import CAPTIONERS, DATASETS, MODELS, PROPOSERS, RUNNERS
from mmvad.structures import (
    ObjectTubes,
    StageFolder,
    atomic_path,
    load_fitting_weights,
    read_weights,
    write_json,
)

from .folders import StageFolders
from .stages import extract_features, extract_tubes, generate_captions, load_tubes, write_report

STAGES = ('tubes', 'captions', 'spatial', 'features', 'temporal', 'test')


@RUNNERS.register_module()
class StagedRunner:
    """Run boxes, captions, spatial training, features, temporal training and test in order.

    A stage writes to a folder of its own below ``work_dir``, with a manifest that holds a hash of
    the settings and inputs that shaped it. A complete stage of the same hash is skipped, an
    interrupted one goes on where it stopped, one of other settings is moved aside to
    ``<folder>.stale`` and made anew.

    Args:
        cfg: Config with ``train_dataset``, ``test_dataset`` (or None), ``proposer`` (or None: the
            proposals are already in the work dir), ``captioner`` (likewise), ``model``, ``stages``,
            ``work_dir``, ``randomness``, ``default_hooks``; ``stage`` to run a single one.
    """

    def __init__(self, cfg: ConfigDict) -> None:
        if cfg.get('launcher', 'none') != 'none':
            raise ValueError(
                f'launcher: staged configs run in one process, got {cfg.launcher!r}; '
                'train the models of a single stage with an ordinary MMEngine config instead'
            )
        self.cfg = cfg
        self.work_dir = Path(cfg.work_dir)
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self.seed = int(cfg.randomness.seed)
        stamp = time.strftime('%Y%m%d_%H%M%S')
        # MMEngine keeps loggers and the like by name, for the life of the process.
        self.name = f'{Path(cfg.get("filename") or "localvad").stem}_{time.time_ns()}'
        # Bare type names in the config are mmvad's.
        DefaultScope.get_instance(self.name, scope_name='mmvad')
        self.logger = MMLogger.get_instance(
            self.name, log_file=str(self.work_dir / f'{stamp}.log'), log_level=cfg.log_level
        )
        smm = cfg.model.temporal.smm
        self.window, self.horizon = smm.window, smm.horizon
        self._videos: dict[str, VideoDataset] = {}
        self._model: LocalVAD | None = None
        self.folders = StageFolders(cfg, self.work_dir, self.videos)

    @classmethod
    def from_cfg(cls, cfg: Config) -> StagedRunner:
        """What ``runner_type`` in a config calls."""
        return cls(cfg)

    # ---------------------------------------------------------------- entry points

    def train(self) -> dict[str, float]:
        """Run all stages, or the one that ``cfg.stage`` names.

        Returns:
            The metrics, empty where the last stage was not run or has no test split.
        """
        # Bad input shows before hours of work, not after.
        for split in self.splits:
            self.videos(split).labels  # noqa: B018
        self._check_settings()
        stage = self.cfg.get('stage')
        if stage is not None and stage not in STAGES:
            raise ValueError(f'stage: expected one of {STAGES}, got {stage!r}')
        if self._resume_from and stage not in ('spatial', 'temporal'):
            raise ValueError(
                f'resume: {self._resume_from} needs the stage it belongs to '
                f'(--stage spatial or --stage temporal), got {stage!r}'
            )
        metrics = {}
        for name in [stage] if stage else STAGES:
            metrics = getattr(self, f'run_{name}')() or {}
        return metrics

    def _check_settings(self) -> None:
        """Refuse parts of the config that do not fit each other."""
        stages, model = self.cfg.stages, self.cfg.model
        pipelines = {
            'spatial.train_dataloader.dataset': stages.spatial.train_dataloader.dataset.pipeline,
            'features': stages.features.pipeline,
        }
        types = {name: {t['type'] for t in pipeline} for name, pipeline in pipelines.items()}
        if 'attributes' in model.scorer.weights and 'MeasureAttributes' not in types['features']:
            raise ValueError(
                'model.scorer.weights: attributes have a weight, but stages.features.pipeline has '
                'no MeasureAttributes'
            )
        for branch, settings in model.spatial.branches.items():
            for name, seen in types.items():
                if settings.get('in_channels', 3) > 3 and 'ComputeTubeFlow' not in seen:
                    raise ValueError(
                        f'model.spatial.branches.{branch}.in_channels: {settings.in_channels} '
                        f'channels hold flow, but stages.{name}.pipeline has no ComputeTubeFlow'
                    )
        channels = MODELS.build(model.scorer).channels
        asked = stages.test.evaluator.get('channels', ())
        if lacking := [name for name in asked if name not in channels]:
            raise ValueError(
                f'stages.test.evaluator.channels: the scorer has no {lacking} with the weights of '
                f'model.scorer.weights; it has {list(channels)}'
            )

    def test(self) -> dict[str, float]:
        """Score the test split with ``cfg.load_from``, or with what training left."""
        if 'testing' not in self.splits:
            raise ValueError('test_dataset: the config names none to test on')
        self.videos('testing').labels  # noqa: B018
        self.run_tubes(['testing'])
        path = Path(self.cfg.get('load_from') or self.work_dir / 'localvad.pth')
        model = self._localvad(path)
        self.run_features(['testing'], model)
        return self._evaluate(model)

    # ---------------------------------------------------------------- what stages share

    @property
    def _resume_from(self) -> str | None:
        """A checkpoint that the user names in place of the stage's own latest one."""
        return self.cfg.get('load_from') if self.cfg.get('resume') else None

    @property
    def splits(self) -> list[str]:
        """``['training', 'testing']``, or the first alone."""
        return ['training'] + (['testing'] if self.cfg.get('test_dataset') else [])

    def videos_cfg(self, split: str) -> dict:
        """Config of a split's videos, with the shortest length that can be scored."""
        cfg = self.cfg.train_dataset if split == 'training' else self.cfg.test_dataset
        return dict(cfg, min_frames=self.window + self.horizon)

    def videos(self, split: str) -> VideoDataset:
        """The videos of a split."""
        if split not in self._videos:
            self._videos[split] = DATASETS.build(self.videos_cfg(split))
        return self._videos[split]

    def tubes(self, split: str) -> dict[str, ObjectTubes]:
        """The stored tubes of a split."""
        return load_tubes(self.videos(split), self.folders.tubes(split).path)

    def _begin(self, stage: str, folder: StageFolder) -> bool:
        """Whether there is work to do; readies the folder if so."""
        if folder.complete:
            self.logger.info(f'Stage {stage}: complete, skipped ({folder.path})')
            return False
        self.logger.info(f'Stage {stage}: {folder.path}')
        stale = folder.open()
        if stale:
            self.logger.warning(f'Stage {stage}: output of other settings moved to {stale}')
        return True

    def _finish(self, stage: str, folder: StageFolder, **record: Any) -> None:
        folder.finish(**record)
        self.logger.info(f'Stage {stage}: done in {folder.seconds:.0f} s')

    def _require(self, stage: str, folder: StageFolder) -> StageFolder:
        if not folder.complete:
            raise ValueError(
                f'{folder.path}: stage {stage!r} is not complete for these settings; run it first '
                f'(--stage {stage}), or all stages (no --stage)'
            )
        return folder

    # ---------------------------------------------------------------- stages

    def run_tubes(self, splits: list[str] | None = None) -> None:
        """Boxes of every frame: ``proposals/<split>/<video>.npz``."""
        for split in splits or self.splits:
            folder = self.folders.tubes(split)
            name = f'tubes/{split}'
            if self.cfg.proposer is None:
                if not folder.complete:
                    folder.path.mkdir(parents=True, exist_ok=True)
                    write_json(folder.path / 'manifest.json', dict(key=folder.key, complete=True))
            elif self._begin(name, folder):
                extract_tubes(
                    self.videos(split),
                    PROPOSERS.build(self.cfg.proposer),
                    folder,
                    first=self.window + self.horizon - 1,
                    stride=self.cfg.stages.tubes.train_stride if split == 'training' else 1,
                    logger=self.logger,
                )
                self._finish(name, folder)
            tubes = self.tubes(split)
            count = sum(map(len, tubes.values()))
            self.logger.info(f'Stage {name}: {count} tubes in {len(tubes)} videos')
            if split == 'training' and not count:
                raise ValueError(
                    f'{folder.path}: no object in any training video; check the proposer settings'
                )

    def run_captions(self) -> None:
        """Sentences of every training tube: ``captions/<video>.jsonl``."""
        self._require('tubes', self.folders.tubes('training'))
        folder = self.folders.captions()
        if self.cfg.captioner is None:
            self.logger.info(f'Stage captions: given ({folder.path})')
        elif self._begin('captions', folder):
            generate_captions(
                self.videos('training'),
                CAPTIONERS.build(self.cfg.captioner),
                self.tubes('training'),
                folder,
                depth=self.window + self.horizon,
                **self.cfg.stages.captions,
            )
            self._finish('captions', folder)

    def run_spatial(self) -> None:
        """Train the branches: ``spatial/epoch_<n>.pth``."""
        if self.cfg.captioner is not None:
            self._require('captions', self.folders.captions())
        folder = self.folders.spatial()
        if not self._begin('spatial', folder):
            return
        stage = self.cfg.stages.spatial
        loader = self._dataloader(
            stage.train_dataloader,
            videos=self.videos_cfg('training'),
            proposals=str(self.folders.tubes('training').path),
        )
        set_random_seed(self.seed)
        # The layout in which a CPU trains convolutions half as fast again.
        model = MODELS.build(self.cfg.model.spatial).to(memory_format=torch.channels_last)
        for transform in loader['dataset']['pipeline']:
            if transform['type'] == 'LoadTubeFrames':
                transform['strides'] = self.cfg.stages.captions.strides
            elif transform['type'] == 'LoadTubeCaptions':
                transform['folder'] = str(self.folders.captions().path)
        self._runner('spatial', stage, model=model, train_dataloader=loader).train()
        self._finish(
            'spatial', folder, checkpoint=Path(find_latest_checkpoint(str(folder.path))).name
        )

    def _spatially_trained(self) -> LocalVAD:
        """The model with the trained branches."""
        folder = self._require('spatial', self.folders.spatial())
        if self._model is None:
            path = folder.path / folder.record['checkpoint']
            set_random_seed(self.seed)
            self._model = MODELS.build(self.cfg.model)
            load_fitting_weights(
                self._model.spatial,
                read_weights(path),
                path,
                ignored=('.itam.text.', '.loss_module.'),
            )
        return self._model.to(self._device)

    @property
    def _device(self) -> torch.device:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')

    def run_features(self, splits: list[str] | None = None, model: LocalVAD | None = None) -> None:
        """Features of every tube: ``features/<split>/<video>.npy``."""
        model = model or self._spatially_trained()
        stage = self.cfg.stages.features
        for split in splits or self.splits:
            self._require('tubes', self.folders.tubes(split))
            folder = self.folders.features(split, model)
            if self._begin(f'features/{split}', folder):
                extract_features(
                    self.videos(split),
                    model,
                    self.tubes(split),
                    folder,
                    pipeline=stage.pipeline,
                    batch_size=stage.batch_size,
                    num_workers=stage.num_workers,
                )
                self._finish(f'features/{split}', folder)

    def run_temporal(self) -> None:
        """Train the temporal part and fit the scorer: ``temporal/*.pth``, ``localvad.pth``."""
        model = self._spatially_trained()
        for split in self.splits:
            self._require('features', self.folders.features(split, model))
        folder = self.folders.temporal(model)
        target = self.work_dir / 'localvad.pth'
        if not self._begin('temporal', folder):
            return
        stage = self.cfg.stages.temporal
        loader = self._dataloader(stage.train_dataloader, **self._features_cfg('training', model))
        runner_args = dict(model=model, train_dataloader=loader)
        if 'testing' in self.splits:
            runner_args.update(
                val_dataloader=self._test_dataloader(model),
                val_cfg=dict(),
                val_evaluator=self.cfg.stages.test.evaluator,
            )
        runner = self._runner('temporal', stage, **runner_args)
        dataset = runner.train_loop.dataloader.dataset
        inputs, *_ = dataset.subset(stage.statistics_tubes)
        # One statistic a feature, over tubes and steps.
        flat = inputs.flatten(0, 1).float()
        model.temporal.set_statistics(flat.mean(dim=0), flat.std(dim=0))
        del inputs, flat
        runner.train()
        meta = dict(
            mmvad_version=__version__,
            config=Config(self.cfg.to_dict()).pretty_text,
            seed=self.seed,
        )
        with atomic_path(target) as tmp:
            torch.save(dict(state_dict=model.cpu().state_dict(), meta=meta), tmp)
        self._finish('temporal', folder)
        self.logger.info(f'Self-contained model: {target}')

    def run_test(self) -> dict[str, float]:
        """Score the test split: ``scores``, ``plots``, ``metrics.json``."""
        if 'testing' not in self.splits:
            self.logger.info('Stage test: the config names no test_dataset, skipped')
            return {}
        model = self._spatially_trained()
        self._require('temporal', self.folders.temporal(model))
        self._require('features', self.folders.features('testing', model))
        return self._evaluate(self._localvad(self.work_dir / 'localvad.pth'))

    def _localvad(self, path: Path) -> LocalVAD:
        return MODELS.build(self.cfg.model).load_trained(path).to(self._device)

    def _evaluate(self, model: LocalVAD) -> dict[str, float]:
        start = time.monotonic()
        stage = self.cfg.stages.test
        videos = self.videos('testing')
        # Without labels there are no figures, and a config may have inherited the place of masks.
        regions = read_regions(videos) if videos.labels else None
        evaluator = dict(stage.evaluator, out_dir=str(self.work_dir), regions=regions)
        runner = self._runner(
            'test',
            {},
            model=model,
            test_dataloader=self._test_dataloader(model),
            test_cfg=dict(),
            test_evaluator=evaluator,
        )
        metrics = runner.test()
        write_report(videos, self.work_dir, stage.annotate, stage.evaluator.score)
        seconds = {}
        for name in ('proposals', 'captions', 'spatial', 'features', 'temporal'):
            manifests = sorted((self.work_dir / name).rglob('manifest.json'))
            records = [StageFolder(file.parent, '').record for file in manifests]
            seconds[name] = round(sum(record.get('seconds', 0) for record in records), 1)
        seconds['test'] = round(time.monotonic() - start, 1)
        protocol = dict(stage.evaluator.to_dict(), ground_truth=videos.ground_truth)
        write_json(
            self.work_dir / 'metrics.json', dict(metrics, seconds=seconds, protocol=protocol)
        )
        if 'auc/micro' in metrics:
            self.logger.info(
                f'micro-AUC {metrics["auc/micro"]:.2f} % (without smoothing '
                f'{metrics["auc/micro_raw"]:.2f} %), macro-AUC {metrics["auc/macro"]:.2f} %, '
                f'{metrics["frames"]} frames, {metrics["abnormal_frames"]} abnormal'
            )
        self.logger.info(f'Scores, plots and metrics.json: {self.work_dir}')
        return metrics

    # ---------------------------------------------------------------- MMEngine's side

    def _features_cfg(self, split: str, model: LocalVAD) -> dict[str, Any]:
        return dict(
            videos=self.videos_cfg(split),
            proposals=str(self.folders.tubes(split).path),
            features=str(self.folders.features(split, model).path),
            window=self.window + self.horizon - 1,
        )

    def _dataloader(self, cfg: dict, **dataset: Any) -> dict:
        cfg = cfg.to_dict() if isinstance(cfg, ConfigDict) else dict(cfg)
        cfg['dataset'].update(dataset)
        cfg['sampler'].setdefault('seed', self.seed)
        return cfg

    def _test_dataloader(self, model: LocalVAD) -> dict:
        dataset = dict(
            type='FeatureDataset', test_mode=True, **self._features_cfg('testing', model)
        )
        return dict(
            batch_size=self.cfg.stages.test.batch_size,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=pseudo_collate,
            dataset=dataset,
        )

    def _runner(self, stage: str, settings: dict, model: Any, **kwargs: Any) -> Runner:
        """An ordinary runner in the stage's folder, which goes on from its last checkpoint."""
        cfg = self.cfg
        train = 'train_dataloader' in kwargs
        if train:
            kwargs.update(
                train_cfg=settings['train_cfg'],
                optim_wrapper=settings['optim_wrapper'],
                param_scheduler=settings.get('param_scheduler'),
                custom_hooks=[
                    dict(type='SafeCheckpointHook'),
                    dict(type='EpochSeedHook', seed=self.seed),
                    *settings.get('custom_hooks', []),
                ],
            )
        return Runner(
            model=model,
            work_dir=str(self.work_dir / stage),
            default_scope='mmvad',
            default_hooks=cfg.default_hooks.to_dict(),
            env_cfg=cfg.env_cfg.to_dict(),
            randomness=cfg.randomness.to_dict(),
            visualizer=cfg.get('visualizer'),
            log_processor=cfg.get('log_processor'),
            log_level=cfg.log_level,
            resume=train,
            load_from=self._resume_from if train else None,
            experiment_name=f'{self.name}_{stage}',
            cfg=Config(dict(stage=stage, settings=dict(settings))),
            **kwargs,
        )
