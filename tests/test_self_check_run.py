"""The self-check as part of a run: what it leaves, and that no label has a say in it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import REPO, tiny_config
from runs import begin

from mmvad.datasets import FrameSource
from mmvad.methods.objects import AlteredMoments
from mmvad.methods.objects.model_file import normal_scores_of
from mmvad.registry import RUNNERS

KINDS = dict(faster=dict(type='Faster'), vehicle=dict(type='Vehicle'), lying=dict(type='Lying'))


def checked_config(plaza: Path, work_dir: Path, method: str = 'attributes', **options):
    stage = 'LocalVADAnomaliesStage' if method == 'localvad' else 'AnomaliesStage'
    cfg = tiny_config(plaza, work_dir, method=method, **options)
    cfg.stages.anomalies = dict(type=stage, kinds=KINDS, moments=6)
    cfg.stages.calibrate.self_check = True
    cfg.stages.tubes.train_stride = 2
    return cfg


@pytest.fixture(scope='module')
def checked(plaza, tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp('checked') / 'run'
    RUNNERS.build(checked_config(plaza, work_dir)).train()
    return work_dir


def test_what_a_run_leaves(checked, plaza):
    found = json.loads((checked / 'calibrate/self_check.json').read_text())
    assert set(found['kinds']) == set(KINDS)
    assert found['weights'] == dict(attributes=1.0) and 0 <= found['auc'] <= 100
    for row in found['kinds'].values():
        assert row['auc_low'] <= row['auc'] <= row['auc_high']
    # An example a kind, as tall as wanted.
    for kind in KINDS:
        assert cv2.imread(str(checked / f'anomalies/examples/{kind}.jpg')).shape[0] == 240
    for video in ('00', '01'):
        moments = AlteredMoments.load(checked / f'anomalies/{video}.npz', ['attributes'])
        assert len(moments.kinds) and set(moments.kinds) <= {'none', *KINDS}
        assert np.isfinite(moments.measurements['attributes']).all()
    metrics = json.loads((checked / 'metrics.json').read_text())
    assert metrics['protocol']['self_check'] == found
    # Two videos of 40 frames, 25 a second: too short for a threshold.
    assert 'alarms' not in metrics['protocol'] and 'alarms' not in metrics
    normal = normal_scores_of(checked / 'attributes.pth')
    assert normal.step == 2 and set(normal.scores) == {'attributes', 'all'}


def test_settings_by_the_check_and_by_labels(checked, plaza, tmp_path):
    """The tool's own table holds what it says of it."""
    cfg = checked_config(plaza, checked)
    cfg.model.scorer.terms.common = dict(type='NearestDistance', of='attributes', neighbours=20)
    cfg.dump(tmp_path / 'two_terms.py')
    tool = REPO / 'tools/analysis_tools/compare_settings.py'
    command = [sys.executable, tool, tmp_path / 'two_terms.py', checked, '--settings', '5']
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr
    *rows, said = [
        line for line in done.stdout.splitlines() if line[:5] not in ('', '| set', '| ---')
    ]
    figures, aucs = zip(*(map(float, row.split('|')[2:4]) for row in rows), strict=True)
    assert len(rows) == 5 and len({row.split('|')[1] for row in rows}) == 5
    assert list(figures) == sorted(figures, reverse=True)
    correlation, _, *named = map(float, re.findall(r'-?\d+\.?\d*(?= |,|\.?$)', said))
    assert named == pytest.approx([aucs[0], np.median(aucs), max(aucs), min(aucs)], abs=0.11)
    assert -1 <= correlation <= 1


def test_alarms_are_by_normal_video(plaza, tmp_path, monkeypatch):
    """At 5 frames a second there are 8 and 8 of it; the threshold is the test's own policy's."""
    monkeypatch.setattr(FrameSource, 'fps', 5.0)
    told = {}
    checked = tmp_path / 'checked'
    RUNNERS.build(checked_config(plaza, checked)).train()
    for name, sigma in (('as it is', 3), ('smoother', 6)):
        shutil.copytree(checked, tmp_path / name)
        cfg = checked_config(plaza, tmp_path / name)
        cfg.stages.test.evaluator.smoothing.sigma = sigma
        RUNNERS.build(cfg).train()
        told[name] = json.loads((tmp_path / name / 'metrics.json').read_text())
    for metrics in told.values():
        alarms = metrics['protocol']['alarms']
        assert alarms['threshold'] > 0 and alarms['false_an_hour'] == 1
        assert alarms['normal_seconds'] == 16
        assert 0 <= metrics['alarms_false'] <= metrics['alarms'] <= 8
        assert [row['one_in'] for row in alarms['left_out_in_turn']] == []
        assert alarms['frame_rates'] == [5.0] and alarms['one_frame_in'] == 2
    assert len({metrics['protocol']['alarms']['threshold'] for metrics in told.values()}) == 2
    cfg = checked_config(plaza, checked)
    cfg.stages.test.evaluator.per_video_min_max = True
    RUNNERS.build(cfg).train()
    assert 'alarms' not in json.loads((checked / 'metrics.json').read_text())['protocol']
    check_damaged_normal_scores(checked / 'attributes.pth', tmp_path / 'damaged.pth')


def check_damaged_normal_scores(whole: Path, damaged: Path) -> None:
    content = torch.load(whole, weights_only=True)
    normal = content['meta']['normal']
    large = torch.zeros(1, dtype=torch.int32).expand(10**9)
    for change in (
        dict(scores={}),
        dict(step='a'),
        dict(rates=normal['rates'] * 1e30),
        dict(lengths=normal['lengths'] * 0 + 2**31 - 1),
        dict(owners=large),
        dict(boxes=None),
    ):
        meta = dict(content['meta'], normal=dict(normal, **change))
        torch.save(dict(content, meta=meta), damaged)
        with pytest.raises(ValueError, match='damaged.pth: meta.normal: not scores of normal'):
            normal_scores_of(damaged)


def test_labels_have_no_say(checked, plaza, tmp_path):
    """With every test label turned round, all that is chosen stays; the figures do not."""
    data = tmp_path / 'plaza'
    shutil.copytree(plaza, data)
    for file in (data / 'testing/test_frame_mask').glob('*.npy'):
        np.save(file, 1 - np.load(file, allow_pickle=False))
    cfg = checked_config(plaza, tmp_path / 'run')
    cfg.test_dataset.labels.path = str(data / 'testing/test_frame_mask')
    cfg.test_dataset.pixel_masks = None
    RUNNERS.build(cfg).train()
    for name in ('calibrate/self_check.json', 'anomalies/00.npz'):
        assert (tmp_path / 'run' / name).read_bytes() == (checked / name).read_bytes()
    weights = [
        torch.load(folder / 'attributes.pth', weights_only=True)['state_dict']
        for folder in (tmp_path / 'run', checked)
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])
    one, other = (
        json.loads((folder / 'metrics.json').read_text()) for folder in (tmp_path / 'run', checked)
    )
    assert one['auc/micro'] == pytest.approx(100 - other['auc/micro'], abs=0.01)


def test_boxes_that_were_given_do(checked, plaza, tmp_path):
    shutil.copytree(checked / 'proposals', tmp_path / 'proposals')
    RUNNERS.build(checked_config(plaza, tmp_path, proposer=None)).train()
    found = json.loads((tmp_path / 'calibrate/self_check.json').read_text())
    assert set(found['kinds']) == set(KINDS)


def test_learned_terms_are_checked_as_well(plaza, tmp_path):
    RUNNERS.build(checked_config(plaza, tmp_path, method='localvad')).train()
    found = json.loads((tmp_path / 'calibrate/self_check.json').read_text())
    assert set(found['weights']) == {'smm', 'action', 'appearance', 'attributes'}
    assert set(found['auc_of_terms']) == set(found['weights'])
    # What trains the branches has seen the first of two videos.
    normal = normal_scores_of(tmp_path / 'localvad.pth')
    assert len(normal.lengths) == 1 and len(normal.frames)


def test_of_a_single_video_only_what_is_held_out_is_normal_time(plaza, tmp_path):
    """What trains branches has seen the rest of it."""
    data = tmp_path / 'plaza'
    shutil.copytree(plaza, data)
    shutil.rmtree(data / 'training/frames/01')
    cfg = checked_config(data, tmp_path / 'run', method='localvad')
    RUNNERS.build(cfg).train()
    normal = normal_scores_of(tmp_path / 'run/localvad.pth')
    assert normal.frames.min() == 0 and normal.lengths.tolist() == [normal.frames.max() + 1]
    assert normal.lengths[0] < 20


def test_the_tool_tells_without_a_test_split(checked, plaza, tmp_path):
    cfg = checked_config(plaza, checked)
    cfg.dump(tmp_path / 'config.py')
    process = begin(tmp_path / 'config.py', '--work-dir', checked, tool='self_check')
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    for kind in KINDS:
        assert f'| {kind}: ' in out
    assert 'found at 1 false alarms an hour' in out and (checked / 'self_check.png').exists()


def test_a_config_without_the_stage_is_told(tmp_path):
    process = begin(REPO / 'configs/attributes/plaza.py', tool='self_check')
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1 and 'expected one AnomaliesStage' in errors


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'stages.anomalies.moments': 0}, 'stages.anomalies.moments: expected a whole number'),
        ({'stages.anomalies.kinds': {}}, 'stages.anomalies.kinds: expected names'),
        ({'stages.anomalies.kinds.none': dict(type='Lying')}, "none of them 'none'"),
        ({'stages.anomalies.kinds.faster.times': 1}, 'Faster.times'),
        ({'stages.calibrate.false_alarms': 0}, 'false_alarms: expected above 0 an hour'),
    ],
)
def test_bad_settings_are_refused_at_once(plaza, tmp_path, options, message):
    cfg = checked_config(plaza, tmp_path)
    if '{}' in str(options):
        cfg.stages.anomalies.kinds = {}
    else:
        cfg.merge_from_dict(options)
    with pytest.raises(ValueError, match=message):
        RUNNERS.build(cfg)


def test_videos_too_short_to_alter_are_told(plaza, tmp_path):
    cfg = checked_config(plaza, tmp_path)
    cfg.stages.anomalies.kinds = dict(faster=dict(type='Faster', times=6))
    with pytest.raises(ValueError, match='no training video has an object with 36 frames before'):
        RUNNERS.build(cfg).train()
