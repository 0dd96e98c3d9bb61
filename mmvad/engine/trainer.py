"""Training a model in a stage, by an ordinary MMEngine runner."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import worker_init_fn
from mmengine.dist import master_only
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict
from torch import nn
from torch.utils.data import Dataset

from mmvad.registry import OPTIM_WRAPPERS, OPTIMIZERS, RUNNERS
from mmvad.structures import StageFolder, atomic_path, load_fitting_weights, read_checkpoint
from mmvad.structures.downloads import is_url

from .batch_norm import shared_batch_norm
from .guard import file_handlers, refuse_lost_lines
from .hooks import build_buffers
from .processes import Processes
from .stage import BaseStage, Job, plain

# What MMEngine's runner reads of a checkpoint when it goes on.
_TRAINING = dict(
    meta=('epoch', 'iter'),
    message_hub=('log_scalars', 'runtime_info', 'resumed_keys'),
    optimizer=(),
)


@RUNNERS.register_module()
class WholeCheckpointRunner(Runner):
    """MMEngine's runner, whose checkpoints are written whole or not at all and read without running
    code from them, whatever runner left them, and whose log files refuse to lose a line."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        refuse_lost_lines(logger)
        return logger

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        with atomic_path(Path(out_dir) / filename) as tmp:
            super().save_checkpoint(out_dir, tmp.name, *args, **kwargs)

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = ((r'^module\.', ''),),
    ) -> dict[str, Any]:
        """See MMEngine's, which refuses on torch >= 2.6 what its own runner writes.

        Raises:
            OSError: If there is no such file, or nothing to download.
            ValueError: If it is no checkpoint, or holds more than plain values.
        """
        if '://' in filename and not is_url(filename):
            # MMEngine's own names, such as torchvision://resnet18.
            return super().load_checkpoint(filename, map_location, strict, list(revise_keys))
        checkpoint = read_checkpoint(filename)
        build_buffers(checkpoint)
        # MMEngine would run what stands there as a Python config.
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        state = checkpoint['state_dict']
        for pattern, put in revise_keys:
            state = {re.sub(pattern, put, key): value for key, value in state.items()}
        model = self.model.module if is_model_wrapper(self.model) else self.model
        load_state_dict(model, state, strict, self.logger)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint


def check_resumable(path: str | Path) -> dict[str, Any]:
    """A checkpoint from which MMEngine's runner can go on training.

    Raises:
        OSError: If there is no such file, or nothing to download.
        ValueError: If it cannot be read safely, or holds weights only.
    """
    checkpoint = read_checkpoint(path)
    for key, parts in _TRAINING.items():
        held = checkpoint.get(key)
        missing = [part for part in parts if not (isinstance(held, dict) and part in held)]
        if missing or held is None:
            lacks = f'{key}.{missing[0]}' if missing else key
            raise ValueError(
                f'{path}: cannot be gone on from: it has no {lacks}; expected a checkpoint that '
                "MMEngine's runner left while training, with its optimizer"
            )
    return checkpoint


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint that MMEngine left in a folder.

    MMEngine notes its path when it is whole; only the name counts here, so that a work dir that was
    moved goes on, and a copied one never reads the original's.
    """
    note = folder / 'last_checkpoint'
    name = Path(note.read_text(errors='replace').strip() if note.is_file() else '').name
    path = next((path for path in folder.glob('*.pth') if path.name == name), None)
    if path is not None:
        return path
    # A run that ended before the note was written, or while: where the disk was full it is empty.
    numbered = [
        (int(found[1]), path)
        for path in folder.glob('*.pth')
        if (found := re.fullmatch(r'(?:epoch|iter)_(\d+)', path.stem))
    ]
    return max(numbered, default=(0, None))[1]


def build_runner(
    job: Job, model: BaseModel, training: Processes | None = None, **kwargs: Any
) -> Runner:
    """A runner in the job's folder, with what the config says of runners in general.

    What it logs also stands in the log of the whole run.

    Args:
        job: Of the stage.
        model: To train or to test.
        training: The processes that train it together.
        kwargs: Of MMEngine's runner.
    """
    runtime, own = job.runtime, dict(stage=job.name)
    if training is not None and training.count > 1:
        # What MMEngine makes of a launcher: the model is wrapped. The processes are joined already.
        kwargs['launcher'] = 'pytorch'
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else None
        # Batch norm, the only buffers that change, is the same in all.
        wrapper = dict(type='MMDistributedDataParallel', device_ids=devices)
        own['model_wrapper_cfg'] = dict(wrapper, broadcast_buffers=False)
    runner = WholeCheckpointRunner(
        model=model,
        work_dir=str(job.path),
        default_scope='mmvad',
        default_hooks=runtime.get('default_hooks'),
        env_cfg=runtime.get('env_cfg') or dict(dist_cfg=dict(backend='nccl')),
        randomness=dict(runtime.get('randomness') or {}, seed=job.seed),
        visualizer=runtime.get('visualizer'),
        log_processor=runtime.get('log_processor'),
        log_level=runtime.get('log_level', 'INFO'),
        experiment_name=f'{job.run_name}_{job.name.replace("/", "_")}',
        cfg=Config(own),
        **kwargs,
    )
    for handler in file_handlers(job.logger):
        runner.logger.addHandler(handler)
    return runner


def as_it_is(dataset: Dataset) -> dict[str, Any]:
    """A built dataset as a config that MMEngine's runner builds a loader from.

    The runner copies such configs to the last value. It would open every decoder anew and read
    arrays that are mapped from disk into memory, all of them; a function it leaves as it is.
    """
    return dict(type=lambda: dataset)


class NoteSeconds(Hook):
    """Note the time spent in the stage's manifest, so that a killed run's is not lost."""

    def __init__(self, folder: StageFolder) -> None:
        self.folder = folder

    def after_train_epoch(self, runner: Runner) -> None:
        self.folder.checkpoint()


def share_batches(loader: dict[str, Any], count: int, where: str, samples: int, seed: int) -> None:
    """Change a loader's config so that ``count`` processes have its batches together, the same ones
    as one process.

    Args:
        loader: Of the config; its ``batch_size`` is that of all processes.
        count: Processes.
        where: Key of the stage, for the message.
        samples: Of the dataset.
        seed: Of the run.

    Raises:
        ValueError: If a batch does not part evenly.
    """
    if count == 1:
        return
    size = loader['batch_size']
    if size % count:
        raise ValueError(
            f'{where}.train_dataloader.batch_size: {size} is what all processes have together; '
            f'expected a multiple of their number, {count}'
        )
    loader['batch_size'] = size // count
    # A loader's workers draw the same numbers in all processes; an item takes its own of them.
    loader['worker_init_fn'] = dict(
        type=worker_init_fn, num_workers=loader.get('num_workers', 0), rank=0, seed=seed
    )
    sampler = loader['sampler']
    plain_shuffle = sampler.get('type') == 'DefaultSampler' and sampler.get('shuffle', True)
    if plain_shuffle and loader.get('drop_last') and samples >= size:
        # The same order; MMEngine's would fill up what is left of the last batch, which is dropped.
        whole = dict(type='EpochSubsetSampler', num_samples=samples // size * size)
        loader['sampler'] = dict(whole, seed=sampler.get('seed', seed))


class TrainingStage(BaseStage):
    """A stage that trains a model: a subclass gives model and dataset to :meth:`train`.

    Args:
        name: Of the stage.
        train_dataloader, train_cfg, optim_wrapper, param_scheduler, custom_hooks: As for MMEngine's
            runner; the loader's ``dataset`` is what :meth:`train` is given, and its ``batch_size``
            that of all processes together.
    """

    seeded = True
    trains = True
    shared = True

    def __init__(
        self,
        name: str,
        train_dataloader: Mapping[str, Any],
        train_cfg: Mapping[str, Any],
        optim_wrapper: Mapping[str, Any],
        param_scheduler: list | None = None,
        custom_hooks: list | None = None,
    ) -> None:
        super().__init__(name)
        self.train_dataloader = plain(train_dataloader)
        self.settings: dict[str, Any] = dict(
            train_cfg=plain(train_cfg),
            optim_wrapper=plain(optim_wrapper),
            param_scheduler=plain(param_scheduler),
        )
        self.custom_hooks = list(custom_hooks or [])

    def prepare(self, config: Mapping[str, Any]) -> None:
        # Of a single weight: what cannot be had here, such as mixed precision, is refused.
        settings = copy.deepcopy(self.settings['optim_wrapper'])
        wrapper = dict(dict(type='OptimWrapper'), **settings)
        for key in ('constructor', 'paramwise_cfg'):
            wrapper.pop(key, None)
        if 'optimizer' not in wrapper:  # several, by name
            return
        try:
            with DefaultScope.overwrite_default_scope('mmvad'):
                optimizer = dict(wrapper['optimizer'], params=nn.Linear(1, 1).parameters())
                wrapper['optimizer'] = OPTIMIZERS.build(optimizer)
                OPTIM_WRAPPERS.build(wrapper)
        except (AssertionError, TypeError, ValueError, RuntimeError) as error:
            kind = wrapper['type']
            hint = '; --amp needs a GPU' if kind == 'AmpOptimWrapper' else ''
            raise ValueError(
                f'stages.{self.name}.optim_wrapper: no {kind} can be built here ({error}){hint}'
            ) from error

    def train(
        self, job: Job, model: BaseModel, dataset: Dataset, hooks: Sequence[Hook] = ()
    ) -> None:
        """Train, or go on from the last checkpoint in the job's folder.

        Args:
            job: The stage's.
            model: To train.
            dataset: To train on.
            hooks: Besides those of the config.

        Raises:
            ValueError: If an epoch would have no step, or a checkpoint that the user names does not
                fit the model.
        """
        if job.resume_from:
            state = check_resumable(job.resume_from)['state_dict']
            load_fitting_weights(model, state, job.resume_from)
        loader = dict(self.train_dataloader, dataset=as_it_is(dataset))
        loader['sampler'] = dict(loader.get('sampler') or dict(type='DefaultSampler', shuffle=True))
        loader['sampler'].setdefault('seed', job.seed)
        share_batches(loader, job.processes.count, f'stages.{self.name}', len(dataset), job.seed)
        resume_from = job.resume_from or latest_checkpoint(job.path)
        job.processes.wait()
        runner = build_runner(
            job,
            model,
            job.processes,
            train_dataloader=loader,
            custom_hooks=[
                dict(type='SafeCheckpointHook'),
                dict(type='EpochSeedHook', seed=job.seed),
                NoteSeconds(job.folder),
                *hooks,
                *map(plain, self.custom_hooks),
            ],
            resume=resume_from is not None,
            load_from=None if resume_from is None else str(resume_from),
            **self.settings,
        )
        if not len(runner.train_loop.dataloader):
            raise ValueError(
                f'stages.{self.name}.train_dataloader.batch_size: {loader["batch_size"]} is more '
                f'than the {len(dataset)} samples there are, and drop_last leaves no batch; '
                'expected a smaller one'
            )
        with shared_batch_norm(model) if job.processes.count > 1 else nullcontext():
            runner.train()
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                # The weights that such a run is for, and that its checkpoints hold.
                model.load_state_dict(hook.ema_model.module.state_dict())
