"""How well the self-check chooses: scorers of many settings, each by the check's figure, which
reads no label, and by the AUC of the test split.

A setting is a sum of some of the config's terms with weights of 1/2, 1 or 2, by place or not, with
a stratum or not. Prints a table, the rank correlation of both figures over the settings, and the
AUC of the one that the check likes best, of the median, of the best and of the worst. Nothing is
chosen by it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.registry import DefaultScope
from scipy.stats import spearmanr
from torch import Tensor
from tqdm import tqdm

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.datasets import MeasurementDataset
from mmvad.engine import read_config
from mmvad.methods.objects import (
    check_scorer,
    looked_at,
    stored_altered,
    stored_measurements,
    unseen_scores,
)
from mmvad.models.scoring import StratifiedTail, damped
from mmvad.registry import METRICS, MODELS
from mmvad.structures import WorkDir

WEIGHTS = (0.5, 1.0, 2.0)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='staged config file with a self-check')
    parser.add_argument('work_dir', type=Path, help='work dir of its complete run')
    parser.add_argument('--settings', type=int, default=60, help='how many to draw (60)')
    parser.add_argument('--seed', type=int, default=0, help='of the draw (0)')
    parser.add_argument('--every', type=int, default=1, help='score every so many test frames (1)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    return parser


def drawn(terms: Sequence[str], count: int, seed: int) -> list[dict[str, float]]:
    """Weights of the terms that a setting sums, each sum at most once."""
    rng = np.random.default_rng(seed)
    found: dict[tuple, dict[str, float]] = {}
    # A single term has one setting, whatever its weight.
    most = (len(WEIGHTS) + 1) ** len(terms) - 1 - len(terms) * (len(WEIGHTS) - 1)
    while len(found) < min(count, most):
        some = rng.permutation(len(terms))[: rng.integers(1, len(terms) + 1)]
        weights = {terms[i]: float(rng.choice(WEIGHTS)) for i in sorted(some)}
        if len(weights) == 1:
            weights = dict.fromkeys(weights, 1.0)
        found.setdefault(tuple(weights.items()), weights)
    return list(found.values())


def variants(scorer: dict) -> Iterator[tuple[str, dict]]:
    """The scorer with and without place and stratum, and what to call it."""
    for place in (True, False) if scorer.get('context') else (False,):
        for strata in (True, False) if scorer.get('stratum') else (False,):
            changed = dict(scorer, channels=None)
            if not place:
                changed.update(context=None)
            if not strata:
                changed.update(stratum=None)
            yield f'{"by" if place else "no"} place, {"" if strata else "no "}stratum', changed


class _Frames:
    """Frames of the test split, with what their objects score."""

    def __init__(self, test: MeasurementDataset, every: int) -> None:
        self.metainfo = test.metainfo
        self.items = [test[index] for index in range(0, len(test), every)]
        self.sizes = [len(item['data_samples'].pred_instances) for item in self.items]

    def measurements(self) -> dict[str, Tensor]:
        names = self.items[0]['inputs']
        return {name: torch.cat([item['inputs'][name] for item in self.items]) for name in names}

    def auc(self, evaluator: dict, scores: Tensor, floor: float) -> float:
        metric = METRICS.build(
            dict(evaluator, score='all', channels=('all',), floors=dict(all=floor))
        )
        metric.dataset_meta = self.metainfo
        for item, values in zip(self.items, scores.split(self.sizes), strict=True):
            sample = item['data_samples'].clone()
            sample.pred_instances.all = values
            metric.process(None, [sample.to_dict()])
        return metric.evaluate(len(self.items))['auc/micro']


def _strata(scorer: dict, values: Mapping[str, Tensor]) -> Tensor:
    """(n,) which stratum each object is of, the first without one."""
    if scorer.get('stratum'):
        return values[scorer['stratum']].long()
    return torch.zeros(len(next(iter(values.values()))), dtype=torch.int64)


def main(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options)
    DefaultScope.get_instance('compare_settings', scope_name='mmvad')
    stage = cfg.stages.calibrate
    model = MODELS.build(cfg.model).eval()
    names, first = model.measurements, model.tube.first_scored
    train, test = stored_measurements(cfg, args.work_dir, names, first)
    spread = stage.get('num_tubes', 10000), stage.get('held_out', 0.2)
    normal = looked_at(model, train.whole_frames(*spread))
    altered, kinds = stored_altered(WorkDir(args.work_dir).stage('anomalies'), train, names)
    altered = looked_at(model, altered)
    measured, videos, held_out = train.subset(*spread)
    known = model.all_quantities(measured)
    frames = _Frames(test, args.every)
    new = model.all_quantities(frames.measurements())

    settings = drawn(list(cfg.model.scorer.terms), args.settings, args.seed)
    rows: list[tuple[float, float, str]] = []
    several = list(variants(cfg.model.scorer.to_dict()))
    # Each setting with one of the variants, in turn.
    with tqdm(total=len(settings), unit=' settings') as bar, torch.no_grad():
        for number, (name, changed) in enumerate(several):
            scorer = MODELS.build(changed)
            check = check_scorer(scorer, normal, altered, kinds)
            scorer.fit(known, videos, held_out)
            counts = {term: damped(values) for term, values in scorer(new).items()}
            unseen = {
                term: damped(torch.from_numpy(values))
                for term, values in unseen_scores(scorer, normal).items()
            }
            strata = _strata(changed, normal.measurements), _strata(changed, new)
            for weights in settings[number :: len(several)]:
                tail = StratifiedTail(2)
                sums, theirs = (
                    sum(weight * each[term] for term, weight in weights.items())
                    for each in (unseen, counts)
                )
                tail.fit(sums, strata[0])
                floor = float(tail(sums, strata[0]).min())
                auc = frames.auc(cfg.stages.test.evaluator, tail(theirs, strata[1]), floor)
                said = ', '.join(f'{w:g} {t}' for t, w in weights.items())
                rows.append((100 * check.figure(weights), auc, f'{said}; {name}'))
                bar.update()
    rows.sort()
    figures, aucs = (np.array(values) for values in list(zip(*rows, strict=True))[:2])
    print('| setting | check | micro-AUC |\n| --- | --- | --- |')
    for figure, auc, said in rows[::-1]:
        print(f'| {said} | {figure:.1f} | {auc:.1f} |')
    print(
        f'\nRank correlation {spearmanr(figures, aucs).statistic:.2f} over {len(rows)} settings. '
        f'Micro-AUC chosen by the check {aucs[-1]:.1f}, median {np.median(aucs):.1f}, '
        f'best {aucs.max():.1f}, worst {aucs.min():.1f}.'
    )


if __name__ == '__main__':
    cli.run(main, make_parser())
