"""What the State Machine Module predicts and detects for several horizons, drives, steps, targets.

Trains the temporal part anew for each setting, on the patterns that a complete run has stored, so
that everything else is the same: a run of ``model.tube.horizon=3`` holds what horizons 1 to 3 need.
Prints a table: the error on held-out training tubes over that of repeating the last step and over
that of predicting the mean, the spread of the fused features, and frame-level AUC in per cent: of
SMM alone, of all that is learned with it and without, and of the whole score with it and without.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, set_random_seed
from torch import Tensor
from torch.utils.data import Dataset

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import MeasurementDataset
from mmvad.methods.objects import read_model_file, stored_measurements
from mmvad.models import LocalVAD
from mmvad.registry import METRICS, MODELS


class Windows(Dataset):
    """The last ``steps`` steps of patterns (n, T, 2, N_q, E_d)."""

    def __init__(self, patterns: Tensor, steps: int) -> None:
        self.patterns = patterns[:, -steps:]

    def __len__(self) -> int:
        return len(self.patterns)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return dict(inputs=self.patterns[index])


def train(model: LocalVAD, patterns: Tensor, held_out: Tensor, stage: Config, seed: int) -> None:
    """Train the temporal part as the stage ``temporal`` does."""
    temporal = model.temporal
    windows = Windows(patterns[~held_out], model.tube.steps)
    temporal.fit_statistics(windows.patterns)
    loader = dict(stage.train_dataloader.to_dict(), num_workers=0, persistent_workers=False)
    loader['sampler']['seed'] = seed
    with tempfile.TemporaryDirectory() as folder:
        Runner(
            temporal,
            folder,
            train_dataloader=dict(loader, dataset=windows),
            train_cfg=stage.train_cfg.to_dict(),
            optim_wrapper=stage.optim_wrapper.to_dict(),
            param_scheduler=stage.get('param_scheduler'),
            default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=10**6)),
            default_scope='mmvad',
            randomness=dict(seed=seed),
            experiment_name=Path(folder).name,
            log_level='WARNING',
        ).train()


def figures(
    model: LocalVAD, test: MeasurementDataset, evaluator: dict, batch_size: int = 64
) -> dict[str, float]:
    """The metric's figures for stored measurements of the test split."""
    metric = METRICS.build(dict(evaluator, floors=model.scorer.floors))
    metric.dataset_meta = test.metainfo
    for start in range(0, len(test), batch_size):
        batch = pseudo_collate([test[i] for i in range(start, min(start + batch_size, len(test)))])
        steps = model.tube.steps
        batch['inputs']['patterns'] = [p[:, -steps:] for p in batch['inputs']['patterns']]
        with torch.no_grad():
            samples = model(**batch, mode='predict')
        metric.process(None, [sample.to_dict() for sample in samples])
    return metric.evaluate(len(test))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', type=Path, help='of a complete run')
    parser.add_argument('--model-file', default='localvad.pth', help='its name (localvad.pth)')
    parser.add_argument('--horizons', type=int, nargs='+', default=[1, 2, 3])
    parser.add_argument('--drives', nargs='+', default=['sum', 'per_component'])
    parser.add_argument('--steps', nargs='+', default=['unseen', 'all'], help='of loss and score')
    parser.add_argument('--targets', nargs='+', default=['branches'])
    parser.add_argument('--num-tubes', type=int, default=10000, help='training tubes to learn from')
    parser.add_argument('--seed', type=int, default=0)
    return parser


def main(args: argparse.Namespace) -> None:
    DefaultScope.get_instance('compare_horizons', scope_name='mmvad')
    cfg, _ = read_model_file(args.work_dir / args.model_file)
    longest = cfg.model.tube.horizon
    if max(args.horizons) > longest:
        raise ValueError(
            f'--horizons: {max(args.horizons)}: {args.work_dir} was run with model.tube.horizon='
            f'{longest}, expected at most that'
        )
    names = ('patterns', *cfg.model.tube.measure)
    first_scored = cfg.model.tube.window + longest - 1
    train_set, test_set = stored_measurements(cfg, args.work_dir, names, first_scored)
    measured, videos, held_out = train_set.subset(
        args.num_tubes, cfg.stages.calibrate.get('held_out', 0.2)
    )
    evaluator = cfg.stages.test.evaluator.to_dict()
    print(
        '| horizon | drive | steps | target | over copy | over mean | fused std | SMM | unsmoothed '
        '| learned | without SMM | all | without SMM |'
    )
    print('| --- ' * 13 + '|')
    for horizon, drive, steps, target in product(
        args.horizons, args.drives, args.steps, args.targets
    ):
        settings = cfg.model.to_dict()
        settings['tube']['horizon'] = horizon
        settings['temporal']['smm']['drive'] = drive
        settings['temporal'].update(loss_steps=steps, score_steps=steps, target=target)
        learned = [name for name in settings['scorer']['terms'] if name != 'attributes']
        settings['scorer']['channels'] = dict(
            both=learned,
            spatial=[name for name in learned if name != 'smm'],
            no_smm=[name for name in settings['scorer']['terms'] if name != 'smm'],
        )
        set_random_seed(args.seed)
        model = MODELS.build(settings)
        train(model, measured['patterns'], held_out, cfg.stages.temporal, args.seed)
        model.eval()
        windows = measured['patterns'][:, -model.tube.steps :]
        told = model.temporal.diagnostics(windows[held_out])
        model.calibrate(dict(measured, patterns=windows), videos, held_out)
        found = figures(model, test_set, evaluator)
        cells = [
            *(f'{float(told[k]):.2f}' for k in ('err_over_copy', 'err_over_mean', 'fused_std')),
            f'{found["auc_smm/micro"]:.1f}',
            f'{found["auc_smm/micro_raw"]:.1f}',
            *(f'{found[f"auc_{c}/micro"]:.1f}' for c in ('both', 'spatial', 'all', 'no_smm')),
        ]
        print(f'| {horizon} | {drive} | {steps} | {target} | {" | ".join(cells)} |', flush=True)


if __name__ == '__main__':
    cli.run(main, make_parser())
