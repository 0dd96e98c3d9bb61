"""The command ``mmvad``: the tools by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO

from mmvad import __version__, cli


def said(*command: str | Path) -> tuple[int, str, str]:
    env = dict(os.environ, PYTHONPATH=str(REPO))
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=env, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def test_every_command_has_its_script():
    missing = [tool for tool in cli.COMMANDS.values() if not (cli.tools_folder() / tool).is_file()]
    assert missing == []


def test_a_command_is_its_script(tmp_path: Path):
    """Words, errors and exit codes are those of the script; only the name in the usage differs."""
    (tmp_path / 'ann.json').write_text('{')
    by_name = said('-m', 'mmvad', 'doctor', tmp_path / 'ann.json')
    assert by_name == said(REPO / 'tools/dataset_doctor.py', tmp_path / 'ann.json')
    assert by_name[0] == 2 and 'cannot be examined' in by_name[2]
    code, _, error = said('-m', 'mmvad', 'doctor')
    assert code == 2 and error.startswith('usage: mmvad doctor [-h]')


def test_options_that_look_like_the_commands_own_reach_the_tool():
    code, out, _ = said('-m', 'mmvad', 'doctor', '--help')
    assert code == 0 and '--fast' in out


@pytest.mark.parametrize(
    ('arguments', 'tool'),
    [
        (['config.py'], 'train.py'),
        (['{}', '--name', 'yard'], 'learn.py'),
        (['--device', 'cpu', 'one.mp4', '--name=yard'], 'learn.py'),
        (['{}'], 'learn.py'),
        (['config.py', '--work-dir', '{}'], 'train.py'),
        ([], 'train.py'),
    ],
)
def test_train_takes_configs_and_folders_of_video(monkeypatch, tmp_path, arguments, tool):
    run = []
    monkeypatch.setattr(os, 'execv', lambda _, command: run.append(Path(command[1]).name))
    cli.main(['train', *(argument.format(tmp_path) for argument in arguments)])
    assert run == [tool]


def test_names_that_are_no_commands_and_the_version():
    code, _, error = said('-m', 'mmvad', 'fly')
    assert code == 2 and "invalid choice: 'fly'" in error and 'doctor' in error
    assert said('-m', 'mmvad', '--version')[:2] == (0, f'mmvad {__version__}\n')
    assert said('-m', 'mmvad')[0] == 2


@pytest.mark.slow
def test_infer_writes_what_a_test_writes(undisturbed: Path, plaza: Path, tmp_path: Path):
    videos = sorted((plaza / 'testing/frames').iterdir())
    code, out, error = said(
        '-m', 'mmvad', 'infer', undisturbed / 'attributes.pth', *videos, '--out-dir', tmp_path
    )
    assert code == 0, error
    for line, video in zip(out.splitlines(), videos, strict=True):
        expected = np.load(undisturbed / 'scores' / f'{video.name}.npy')
        np.testing.assert_allclose(
            np.load(tmp_path / 'scores' / f'{video.name}.npy'), expected, rtol=1e-5
        )
        assert line == (
            f'{video.name}: 40 frames, highest score {expected.max():.3f} at frame '
            f'{expected.argmax()}'
        )


def test_infer_says_what_was_left_out(tmp_path: Path):
    code, _, error = said('-m', 'mmvad', 'infer', tmp_path / 'no.pth', tmp_path)
    assert (code, error) == (1, f'error: {tmp_path}/no.pth: no such checkpoint\n')
