"""Put simple predictors in SMM's place, on the patterns that a staged run has stored.

Prints a table: frame-level AUC in per cent of each predictor's error on the steps that the window
does not hold, over both branches' patterns and over each one's, and the mean error on training
tubes over that of predicting the mean. What is fitted here sees the tubes that SMM was trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import DictAction
from mmengine.registry import DefaultScope
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from torch import Tensor

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.engine import read_config
from mmvad.methods.objects import build_model, stored_measurements
from mmvad.models import LocalVAD, ObjectScorer
from mmvad.registry import METRICS

# (n, T, 2, N_q, E_d) standardised patterns to the prediction of the s unseen steps,
# (n, s, 2, N_q, E_d), or of one for all of them, (n, 1, 2, N_q, E_d)
Predictor = Callable[[Tensor], Tensor]


def linear_predictor(patterns: Tensor, components: int, window: int, unseen: int) -> Predictor:
    """A free linear map fitted in closed form: what SMM's fixed motion components compete with.

    Args:
        patterns: (n, T, 2, N_q, E_d), standardised, of training tubes.
        components: Principal components of a step that the map sees, as many as SMM has.
        window: L, input steps.
        unseen: s, steps at the tube's end that are predicted.
    """

    def encode(values: Tensor) -> Tensor:
        steps = values[:, :window].flatten(2)
        encoded = pca.transform(steps.flatten(0, 1).numpy())
        return torch.from_numpy(encoded).unflatten(0, steps.shape[:2]).flatten(1).numpy()

    flat = patterns.flatten(0, 1).flatten(1).numpy()
    pca = PCA(min(components, *flat.shape), svd_solver='randomized', random_state=0).fit(flat)
    ridge = Ridge(alpha=10.0).fit(encode(patterns), patterns[:, -unseen:].flatten(1).numpy())
    shape = (unseen, *patterns.shape[2:])
    return lambda values: torch.from_numpy(ridge.predict(encode(values))).unflatten(1, shape)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='staged config file')
    parser.add_argument('work_dir', type=Path, help='work dir of its complete run')
    parser.add_argument(
        '--num-tubes', type=int, help='training tubes to fit on; default: those of stage calibrate'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    return parser


def main(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options)
    DefaultScope.get_instance('compare_predictors', scope_name='mmvad')

    stage = cfg.stages.calibrate
    model: LocalVAD = build_model(cfg, args.work_dir / stage.model_file).eval()
    temporal = model.temporal
    if temporal.target != 'branches':
        raise ValueError(f"model.temporal.target: expected 'branches', got {temporal.target!r}")
    train, test = stored_measurements(cfg, args.work_dir, ('patterns',), model.tube.first_scored)
    measured, videos, held_out = train.subset(
        args.num_tubes or stage.get('num_tubes', 10000), stage.get('held_out', 0.2)
    )
    known = temporal.standardize(measured['patterns'])
    frames = [test[index] for index in range(len(test))]
    new = temporal.standardize(torch.cat([frame['inputs']['patterns'] for frame in frames]))
    sizes = [len(frame['data_samples'].pred_instances) for frame in frames]
    window, unseen = model.tube.window, temporal.smm.unseen

    def smm(values: Tensor) -> Tensor:
        return temporal.predict_encoded(temporal.encode(values[:, :window]))[:, -unseen:]

    predictors: dict[str, Predictor] = {
        f'SMM, {temporal.smm.drive}': smm,
        'free linear map': linear_predictor(
            known[~held_out], temporal.smm.num_components, window, unseen
        ),
        'copy the last step': lambda values: values[:, window - 1 : window],
        'training mean': lambda values: torch.zeros_like(values[:, :1]),
    }
    branches = {'both': slice(None)} | {
        name: slice(index, index + 1) for index, name in enumerate(model.spatial.branches)
    }
    evaluator = dict(cfg.stages.test.evaluator, score='smm', channels=('smm',))
    print('| predictor | branch | error over that of the mean | micro-AUC | unsmoothed |')
    print('| --- | --- | --- | --- | --- |')
    for name, predict in predictors.items():
        with torch.no_grad():
            # (n, 2) squared error of each branch, over the unseen steps, N_q and E_d
            fitted, scored = (
                torch.cat(
                    [
                        (predict(part) - part[:, -unseen:]).square().mean(dim=(1, 3, 4))
                        for part in values.split(512)
                    ]
                )
                for values in (known, new)
            )
        for branch, chosen in branches.items():
            scorer = ObjectScorer(dict(smm=dict(type='PredictionError')))
            errors = fitted[:, chosen].mean(dim=1)
            scorer.fit(dict(prediction_error=errors), videos, held_out)
            scores = scorer(dict(prediction_error=scored[:, chosen].mean(dim=1)))['smm']
            metric = METRICS.build(dict(evaluator, floors=scorer.floors))
            metric.dataset_meta = test.metainfo
            for frame, values in zip(frames, scores.split(sizes), strict=True):
                sample = frame['data_samples'].clone()
                sample.pred_instances.smm = values
                metric.process(None, [sample.to_dict()])
            figures = metric.evaluate(len(frames))
            share = fitted[:, chosen].mean() / known[:, -unseen:, chosen].square().mean()
            cells = f'{share:.2f} | {figures["auc/micro"]:.1f} | {figures["auc/micro_raw"]:.1f}'
            print(f'| {name} | {branch} | {cells} |', flush=True)


if __name__ == '__main__':
    cli.run(main, make_parser())
