"""What a model of this camera would find, and what not, before anything has happened: anomalies of
known kinds are made of the training videos. No label is read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
from mmengine.config import DictAction

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import cli
from mmvad.engine import read_config
from mmvad.registry import RUNNERS, STAGES
from mmvad.structures import WorkDir
from mmvad.visualization import plot_self_check


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file; its stages must name AnomaliesStage')
    parser.add_argument('--work-dir', help='where stages go; what is complete there is taken')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    return parser


def markdown(checked: dict, texts: dict[str, str]) -> str:
    """The table of a self-check; ``texts`` say what each kind is."""
    hour = f'{checked["false_alarms_an_hour"]:g} false alarms an hour'
    lines = [
        f'| made to go wrong | frames | AUC | found at 1 % false alarms | found at {hour} |',
        '| --- | --- | --- | --- | --- |',
    ]
    for kind, row in checked['kinds'].items():
        auc, common, rare = (
            f'{row[key]:.1f} ({row[f"{key}_low"]:.0f} to {row[f"{key}_high"]:.0f})'
            for key in ('auc', 'found_1_percent', 'found')
        )
        lines.append(f'| {kind}: {texts[kind]} | {row["frames"]} | {auc} | {common} | {rare} |')
    terms = ', '.join(f'{name} {auc:.1f}' for name, auc in checked['auc_of_terms'].items())
    weights = ', '.join(f'{name} {weight:g}' for name, weight in checked['weights'].items())
    return '\n'.join(
        [
            *lines,
            '',
            f'Mean AUC {checked["auc"]:.1f} % with the weights that were chosen ({weights}), '
            f'{checked["auc_as_given"]:.1f} % with those of the config; of single terms: {terms}.',
        ]
    )


def main(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options, args.work_dir)
    names = {
        kind: [name for name, stage in cfg.stages.items() if _is(stage, kind)]
        for kind in ('AnomaliesStage', 'CalibrateStage')
    }
    for kind, found in names.items():
        if len(found) != 1:
            raise ValueError(f'stages: expected one {kind}, got {found}')
    (anomalies,), (calibrate,) = names.values()
    if not cfg.stages[calibrate].get('self_check'):
        raise ValueError(f'stages.{calibrate}.self_check: expected True')
    # Nothing of the test split is looked at.
    cfg.test_dataset = None
    RUNNERS.build(cfg).train()
    place = WorkDir(Path(cfg.work_dir))
    checked = json.loads((place.stage(calibrate) / 'self_check.json').read_text())
    examples = {
        file.stem: cv2.imread(str(file))
        for file in (place.stage(anomalies) / 'examples').glob('*.jpg')
    }
    kinds = STAGES.build(dict(cfg.stages[anomalies], name=anomalies)).kinds
    picture = place.root / 'self_check.png'
    plot_self_check(checked['kinds'], examples, picture)
    print(markdown(checked, {name: kind.text for name, kind in kinds.items()}))
    print(f'\nExamples: {picture}')


def _is(stage: dict, kind: str) -> bool:
    """Whether a stage of a config is of a class."""
    return issubclass(STAGES.get(stage['type']), STAGES.get(kind))


if __name__ == '__main__':
    cli.run(main, make_parser())
