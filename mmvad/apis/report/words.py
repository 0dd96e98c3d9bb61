"""Reasons and figures in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmvad.visualization.page import Reason, Row, Table

# Measured values that a sentence names, and of how much of the difference at least.
_NAMED = 2
_WORTH = 0.1

# Figures that a page explains: key, name, unit and meaning, in their order.
_FIGURES = (
    ('auc/micro', 'Micro-AUC', ' %', 'One ROC over the frames of all videos; 50 % is chance.'),
    ('auc/macro', 'Macro-AUC', ' %', "Mean of the videos' own AUC."),
    ('auc/micro_raw', 'Micro-AUC without smoothing', ' %', ''),
    ('auc/eer', 'Equal error rate', ' %', 'Where misses and false alarms are as frequent.'),
    ('ap/step', 'Average precision', ' %', ''),
    ('rbdc', 'RBDC', ' %', 'Abnormal regions found, over false regions a frame.'),
    ('tbdc', 'TBDC', ' %', 'Abnormal tracks found, over false regions a frame.'),
    ('frames', 'Frames', '', ''),
    ('abnormal_frames', 'Frames labelled abnormal', '', ''),
    ('alarms', 'Alarms', '', 'Runs of seconds with a frame above the threshold.'),
    ('alarms_false', 'False alarms', '', 'Those without a frame labelled abnormal.'),
    ('alarms_false_an_hour', 'False alarms an hour', '', 'Of video labelled normal.'),
)


def figure_rows(metrics: Mapping[str, Any]) -> list[Row]:
    """The figures of a test against labels; none where there were no labels."""
    if 'auc/micro' not in metrics and not metrics.get('abnormal_frames'):
        return []
    rows = []
    for key, name, unit, meaning in _FIGURES:
        value = metrics.get(key)
        if isinstance(value, (int, float)):
            text = f'{value:,}' if isinstance(value, int) else f'{value:.2f}'
            rows.append(Row(name, f'{text}{unit}', meaning))
    return rows


def self_check_table(checked: Mapping[str, Any]) -> list[Table]:
    """The self-check, a row a kind of made anomaly; none without one."""
    kinds = checked.get('kinds')
    if not isinstance(kinds, Mapping) or not kinds:
        return []
    rows = []
    for kind, row in kinds.items():
        spread = ''
        if 'auc_low' in row and 'auc_high' in row:
            spread = f'{row["auc_low"]:.1f} to {row["auc_high"]:.1f}'
        found = row.get('found_1_percent')
        rows.append((kind, f'{row["auc"]:.1f}', spread, '' if found is None else f'{found:.1f}'))
    caption = (
        'Self-check: how well anomalies made of normal training video are told from it, without '
        'any label'
    )
    columns = ('Kind', 'AUC, %', 'Interval, %', 'Found when 1 % of normal frames are, %')
    return [Table(caption, columns, rows)]


def reason_of_record(record: Mapping[str, Any], picture: str | None) -> Reason:
    """Of an object in ``why.json``."""
    terms = dict(sorted(record['terms'].items(), key=lambda item: -item[1]['share']))
    shares = {name: float(term['share']) for name, term in terms.items() if term['share'] > 0}
    values = [value for term in terms.values() for value in term.get('values', ())]
    heats = [term['heat'] for term in terms.values() if term.get('heat')]
    nearest = next((term['nearest'] for term in terms.values() if term.get('nearest')), ())
    return Reason(
        sentence=sentence(shares, values),
        shares=shares,
        values=[value_cells(value) for value in values],
        heat=heats[0] if heats else (),
        nearest=[nearest_line(found) for found in nearest],
        picture=picture,
    )


def sentence(shares: Mapping[str, float], values: Sequence[Mapping[str, Any]]) -> str:
    """Why, in one or two sentences."""
    if not shares:
        return ''
    (first, share), *_ = shares.items()
    text = f'Mostly by {first}: {share:.0%} of the score.'
    parts = []
    for value in sorted(values, key=lambda v: -v.get('share', 0.0)):
        if value.get('share', 0.0) < _WORTH or 'usual' not in value or len(parts) == _NAMED:
            continue
        low, high = value['usual']
        if not low <= value['value'] <= high:
            parts.append(
                f'{value["name"]} is {value["value"]:.3g} {value["unit"]}, where {low:.3g} to '
                f'{high:.3g} is usual'.replace('  ', ' ')
            )
    if not parts:
        return text
    told = '; '.join(parts)
    return f'{text} {told[0].upper()}{told[1:]}.'


def value_cells(value: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """A measured value as cells: name, value, what is usual, share of the difference."""
    usual, share = value.get('usual'), value.get('share')
    return (
        str(value.get('name', '')),
        f'{value["value"]:.3g} {value.get("unit", "")}'.strip(),
        '' if usual is None else f'{usual[0]:.3g} to {usual[1]:.3g}',
        '' if share is None else f'{share:.0%}',
    )


def nearest_line(found: Mapping[str, Any]) -> str:
    """A training object in words."""
    return f'video {found["video"]}, frame {found["frame"]}, distance {found["distance"]:.3g}'
