"""Options of tools/train.py and tools/test.py that mmaction2's have, and the launchers' scripts."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from conftest import REPO, tiny_config

from mmvad.engine import read_config
from mmvad.evaluation.score_files import read_scores


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f'tool_{name}', REPO / f'tools/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def merged(config: str, *options: str):
    train = tool('train')
    args = train.make_parser().parse_args([str(REPO / config), *options])
    return train.merge_args(read_config(args.config), args)


STAGED, ORDINARY = 'configs/attributes/plaza.py', 'configs/recognition/smm.py'


@pytest.mark.parametrize('config', [STAGED, ORDINARY])
def test_seeds_of_training(config: str):
    assert dict(merged(config).randomness) == dict(seed=0)
    cfg = merged(config, '--seed', '3', '--deterministic', '--diff-rank-seed')
    assert dict(cfg.randomness) == dict(seed=3, deterministic=True, diff_rank_seed=True)


def test_training_without_evaluation():
    cfg = merged(ORDINARY, '--no-validate')
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
    assert merged(ORDINARY).val_cfg is not None
    # What makes figures needs a test split.
    assert merged(STAGED, '--no-validate').test_dataset is None


def test_the_learning_rate_scales_where_a_config_says_by_what():
    assert merged(ORDINARY, '--auto-scale-lr').auto_scale_lr.enable is True
    assert merged(ORDINARY).auto_scale_lr.enable is False
    with pytest.raises(ValueError, match='--auto-scale-lr: .*names no auto_scale_lr.base_batch'):
        merged(STAGED, '--auto-scale-lr')


def test_options_of_tests_without_stages():
    test = tool('test')
    cfg = read_config(REPO / ORDINARY)
    args = test.make_parser().parse_args(['c', 'w', '--dump', 'out.pkl'])
    test.merge_args(cfg, args)
    assert cfg.test_evaluator[-1] == dict(type='DumpResults', out_file_path='out.pkl')
    args = test.make_parser().parse_args(['c', 'w', '--show-dir', 'seen', '--interval', '3'])
    with pytest.raises(ValueError, match='names no default_hooks.visualization'):
        test.merge_args(cfg, args)
    cfg.default_hooks.visualization = dict(type='VisualizationHook')
    test.merge_args(cfg, args)
    hook = cfg.default_hooks.visualization
    assert (hook.enable, hook.show, hook.out_dir, hook.interval) == (True, False, 'seen', 3)


@pytest.mark.slow
def test_a_staged_test_dumps_and_shows(undisturbed: Path, plaza: Path, tmp_path: Path):
    tiny_config(plaza, tmp_path / 'run', method='attributes').dump(tmp_path / 'config.py')
    command = [
        sys.executable, REPO / 'tools/test.py', 'config.py', undisturbed / 'attributes.pth',
        '--launcher', 'none', '--local_rank', '0', '--dump', 'scores.npz',
        '--show-dir', 'seen', '--interval', '25',
    ]  # fmt: skip
    env = dict(os.environ, PYTHONPATH=str(REPO))
    run = subprocess.run(map(str, command), cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lengths = {path.name: 40 for path in (plaza / 'testing/frames').iterdir()}
    dumped = read_scores(tmp_path / 'scores.npz', lengths)
    for video in lengths:
        stored = np.load(tmp_path / f'run/scores/{video}.npy')
        np.testing.assert_array_equal(dumped[video], stored)
        drawn = sorted((tmp_path / 'seen' / video).iterdir())
        assert [path.name for path in drawn] == ['000000.jpg', '000025.jpg']
        image = cv2.imread(str(drawn[1]))
        # The frame, and below it the strip of scores.
        assert image.shape[0] > 120 and image.shape[1] == 160
    command[command.index('scores.npz')] = 'scores.pkl'
    run = subprocess.run(map(str, command), cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == 'error: --dump: scores.pkl, expected the name of a .npz file\n'


@pytest.mark.parametrize(
    ('script', 'words', 'tail'),
    [
        (
            'dist_train',
            ['c.py', '2', '--seed', '1'],
            ['c.py', '--launcher', 'pytorch', '--seed', '1'],
        ),
        ('dist_test', ['c.py', 'w.pth', '2'], ['c.py', 'w.pth', '--launcher', 'pytorch']),
        ('slurm_train', ['part', 'job', 'c.py', '--amp'], ['c.py', '--launcher', 'slurm', '--amp']),
        ('slurm_test', ['part', 'job', 'c.py', 'w.pth'], ['c.py', 'w.pth', '--launcher', 'slurm']),
    ],
)
def test_launchers_call_the_tools(script: str, words: list[str], tail: list[str], tmp_path: Path):
    """The command that each comes to, its options being those that the tool takes."""
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\necho srun "$@"\n')
    srun.chmod(0o755)
    env = dict(os.environ, PYTHON='echo', GPUS='2', SRUN_ARGS='--time=1 --mem=2')
    env['PATH'] = f'{tmp_path}:{env["PATH"]}'
    path = REPO / 'tools' / f'{script}.sh'
    out = subprocess.run([path, *words], env=env, capture_output=True, text=True, check=True).stdout
    said = out.split()
    name = script.partition('_')[2]
    at = said.index(str(REPO / 'tools' / f'{name}.py'))
    assert said[at + 1 :] == tail
    tool(name).make_parser().parse_args(tail)
    if script.startswith('dist'):
        assert '--nproc_per_node=2' in said
    else:
        assert {'--partition=part', '--job-name=job', '--ntasks=2', '--time=1', '--mem=2'} <= set(
            said
        )
    bare = subprocess.run([path], env=env, capture_output=True, text=True)
    assert bare.returncode == 2 and bare.stderr.startswith('usage: ')
