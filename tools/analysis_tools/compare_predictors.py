"""Put simple predictors in SMM's place, on the features that a staged run has stored.

Prints a table: frame-level AUC in per cent of each predictor's error, over both branches' features
and over each one's, and the mean error on training tubes over that of predicting the mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DefaultScope
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from torch import Tensor

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad.datasets import FeatureDataset
from mmvad.models import LocalVAD, ObjectScorer
from mmvad.registry import METRICS, MODELS

# (n, T, 2, N_q, E_d) standardised features to the prediction of the last step, (n, 2, N_q, E_d)
Predictor = Callable[[Tensor], Tensor]


def linear_predictor(features: Tensor, components: int) -> Predictor:
    """A free linear map fitted in closed form: what SMM's fixed motion components compete with.

    Args:
        features: (n, T, 2, N_q, E_d), standardised, of training tubes.
        components: Principal components of a step that the map sees, as many as SMM has.
    """

    def encode(values: Tensor) -> Tensor:
        steps = values[:, :-1].flatten(2)
        encoded = pca.transform(steps.flatten(0, 1).numpy())
        return torch.from_numpy(encoded).unflatten(0, steps.shape[:2]).flatten(1).numpy()

    flat = features.flatten(0, 1).flatten(1).numpy()
    pca = PCA(min(components, *flat.shape), svd_solver='randomized', random_state=0).fit(flat)
    ridge = Ridge(alpha=10.0).fit(encode(features), features[:, -1].flatten(1).numpy())
    shape = features.shape[2:]
    return lambda values: torch.from_numpy(ridge.predict(encode(values))).unflatten(1, shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='staged config file')
    parser.add_argument('work_dir', type=Path, help='work dir of its complete run')
    parser.add_argument('--num-tubes', type=int, default=10000, help='training tubes to fit on')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    DefaultScope.get_instance('compare_predictors', scope_name='mmvad')

    model: LocalVAD = MODELS.build(cfg.model).load_trained(args.work_dir / 'localvad.pth').eval()
    temporal = model.temporal
    train, test = (
        FeatureDataset(
            videos=videos,
            proposals=str(args.work_dir / 'proposals' / split),
            features=str(args.work_dir / 'features' / split),
            window=temporal.steps - 1,
            test_mode=split == 'testing',
        )
        for split, videos in (('training', cfg.train_dataset), ('testing', cfg.test_dataset))
    )
    inputs, videos, _ = train.subset(args.num_tubes)
    known = temporal.standardize(inputs)
    frames = [test[index] for index in range(len(test))]
    new = temporal.standardize(torch.cat([frame['inputs'] for frame in frames]))
    sizes = [len(frame['inputs']) for frame in frames]

    def smm(values: Tensor) -> Tensor:
        fused = temporal.fusion(values[:, :-1])
        return temporal.predict_encoded(temporal.smm.encode(fused.flatten(2)))

    predictors: dict[str, Predictor] = {
        f'SMM, {temporal.smm.drive}': smm,
        'free linear map': linear_predictor(known, temporal.smm.num_components),
        'copy the last step': lambda values: values[:, -2],
        'training mean': lambda values: torch.zeros_like(values[:, -1]),
    }
    branches = {'both': slice(None)} | {
        name: slice(index, index + 1) for index, name in enumerate(model.spatial.branches)
    }
    evaluator = dict(cfg.stages.test.evaluator, score='smm', channels=('smm',))
    print('| predictor | branch | error over that of the mean | micro-AUC | unsmoothed |')
    print('| --- | --- | --- | --- | --- |')
    for name, predict in predictors.items():
        with torch.no_grad():
            # (n, 2) squared error of each branch, over N_q and E_d
            fitted, scored = (
                torch.cat(
                    [
                        (predict(part) - part[:, -1]).square().mean(dim=(2, 3))
                        for part in values.split(512)
                    ]
                )
                for values in (known, new)
            )
        for branch, chosen in branches.items():
            scorer = ObjectScorer(dict(smm=1.0))
            scorer.fit(dict(smm=fitted[:, chosen].mean(dim=1)), videos)
            scores = scorer(dict(smm=scored[:, chosen].mean(dim=1)))['smm'].split(sizes)
            metric = METRICS.build(evaluator)
            metric.dataset_meta = test.metainfo
            for frame, values in zip(frames, scores, strict=True):
                sample = frame['data_samples']
                instances = dict(bboxes=sample.pred_instances.bboxes, smm=values)
                metric.process(
                    None,
                    [
                        dict(
                            video=sample.video,
                            frame=sample.frame,
                            floor=scorer.floors,
                            pred_instances=instances,
                        )
                    ],
                )
            figures = metric.evaluate(len(frames))
            share = fitted[:, chosen].mean() / known[:, -1, chosen].square().mean()
            cells = f'{share:.2f} | {figures["auc/micro"]:.1f} | {figures["auc/micro_raw"]:.1f}'
            print(f'| {name} | {branch} | {cells} |', flush=True)


if __name__ == '__main__':
    main()
