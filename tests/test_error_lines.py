"""Errors of input are one line to a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPO, tiny_config


def said(tool: str, *arguments: str | Path) -> tuple[int, list[str]]:
    """Exit code, and all lines on the terminal but a warning of MMEngine's metrics."""
    command = [sys.executable, str(REPO / 'tools' / tool), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    return done.returncode, [line for line in lines if 'The prefix is not set' not in line]


class TestOneLine:
    @pytest.mark.parametrize(
        ('options', 'begins'),
        [
            (['propser.threshold=3'], "propser.threshold: the config has no 'propser'"),
            (['stages.tubes.train_stride=0'], 'stages.tubes.train_stride: expected a whole number'),
            (['stages.tubes.type=Tubs'], "stages.tubes.type: nothing is registered as 'Tubs'"),
            (['train_dataset.data_root=none', 'train_dataset.type=VideoDataset'], ''),
        ],
    )
    def test_options(self, plaza, tmp_path, options, begins):
        config = tmp_path / 'config.py'
        tiny_config(plaza, tmp_path / 'run', method='attributes').dump(config)
        code, lines = said('train.py', config, '--cfg-options', *options)
        assert code == 1 and lines[-1].startswith(f'error: {begins}') and len(lines) == 1, lines

    def test_configs(self, tmp_path):
        config = tmp_path / 'config.py'
        for text, reason in (
            ('model = dict(\n', "SyntaxError: '(' was never closed"),
            ('a = undefined\n', "NameError: name 'undefined' is not defined"),
            (None, 'no such config file'),
        ):
            config.unlink(missing_ok=True)
            if text:
                config.write_text(text)
            code, (line,) = said('train.py', config)
            assert code == 1 and line.startswith(f'error: {config}: ') and reason in line

    def test_checkpoints(self, plaza, tmp_path):
        config, model = tmp_path / 'config.py', tmp_path / 'model.pth'
        tiny_config(plaza, tmp_path / 'run', method='attributes').dump(config)
        code, (line,) = said('test.py', config, model)
        assert code == 1 and line == f'error: load_from: {model}: no such model file'
        model.write_bytes(b'nonsense' * 99)
        code, (line,) = said('test.py', config, model)
        assert code == 1 and 'plain weights (Unsupported operand' in line, line
        assert line.startswith(f'error: {model}: cannot be loaded')

    def test_in_the_midst_of_a_stage(self, plaza, tmp_path):
        """The bar ends first, and the log keeps the traceback."""
        config = tmp_path / 'config.py'
        run = tmp_path / 'run'
        tiny_config(plaza, run, method='attributes').dump(config)
        code, lines = said('train.py', config, '--cfg-options', 'proposer.min_area=99999')
        assert code == 1
        assert lines[-1] == (
            f'error: {run}/proposals/training: no object in any training video; check the proposer '
            'settings'
        )
        assert 'Traceback' not in ''.join(lines)
        (log,) = run.glob('*.log')
        assert 'Traceback' in log.read_text() and 'check the proposer' in log.read_text()

    def test_debug_shows_where(self, tmp_path):
        code, lines = said('train.py', tmp_path / 'none.py', '--debug')
        assert code == 1 and lines[0].startswith('Traceback') and 'no such config' in lines[-1]

    def test_options_without_a_value(self, tmp_path):
        code, lines = said('train.py', tmp_path / 'none.py', '--cfg-options', 'key')
        assert code == 2 and lines[-1].startswith('train.py: error: expected key=value')

    def test_other_tools(self, tmp_path):
        for tool, arguments in (
            ('pseudo_boxes.py', ['none.py']),
            ('extract_tubes.py', ['none.py']),
            ('generate_captions.py', ['none.py']),
            ('analysis_tools/benchmark.py', ['none.py']),
            ('analysis_tools/compare_predictors.py', ['none.py', tmp_path]),
            ('analysis_tools/draw_results.py', ['none.py', tmp_path, tmp_path / 'x']),
        ):
            assert said(tool, *arguments) == (1, ['error: none.py: no such config file']), tool
        code, (line,) = said('analysis_tools/compare_horizons.py', tmp_path)
        assert (code, line) == (1, f'error: {tmp_path}/localvad.pth: no such checkpoint')


FAULTS = """
import argparse, sys
from urllib.error import HTTPError
from mmvad import cli
from mmengine.registry import Registry

def main(args):
    if args.what == 'code':
        return 3
    if args.what == 'registry':
        Registry('thing', scope='mmengine').build(dict(type='Nothing'))
    raise dict(
        key=KeyError('a'), type=TypeError('a bug'), lines=ValueError('one\\n  two'),
        system=FileNotFoundError(2, 'No such file', 'x.npy'), empty=ValueError(),
        address=HTTPError('https://a/b.pth', 404, 'Not Found', None, None),
    )[args.what]

parser = argparse.ArgumentParser()
parser.add_argument('what')
cli.run(main, parser)
"""


@pytest.mark.parametrize(
    ('what', 'code', 'last', 'lines'),
    [
        ('code', 3, '', 0),
        ('registry', 1, 'error: Nothing is not in the mmengine::thing registry.', 1),
        ('key', 1, "KeyError: 'a'", None),
        ('type', 1, 'TypeError: a bug', None),
        ('lines', 1, 'error: one two', 1),
        ('system', 1, 'error: x.npy: No such file', 1),
        ('empty', 1, 'error: ValueError', 1),
        ('address', 1, 'error: https://a/b.pth: HTTP Error 404: Not Found', 1),
    ],
)
def test_what_counts_as_input(what, code, last, lines):
    """Faults of the program keep their traceback."""
    done = subprocess.run([sys.executable, '-c', FAULTS, what], capture_output=True, text=True)
    found = done.stderr.splitlines()
    assert (done.returncode, (found or [''])[-1]) == (code, last)
    assert len(found) == lines if lines is not None else found[0].startswith('Traceback')
