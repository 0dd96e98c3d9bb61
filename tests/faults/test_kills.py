"""Runs that are killed over and over: the same command ends with an undisturbed run's figures.

``MMVAD_KILLS`` says how often (100), ``MMVAD_SEED`` when (0).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import runpy
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path

from conftest import REPO, tiny_config
from runs import temporaries
from test_staged_runner import figures

KILLS = int(os.environ.get('MMVAD_KILLS', 100))
SEED = int(os.environ.get('MMVAD_SEED', 0))
METHODS = ('localvad', 'attributes')
# Loaded once: every start is a fork of a process that holds them, not 10 s of imports.
LOADED = ['mmvad.apis', 'mmvad.methods', 'mmvad.cli', 'mmvad.visualization', 'mmdet.registry']
_STAGE = re.compile(r'Stage ([\w/]+): (.*)')


def command(folder: str, *more: str) -> None:
    """``tools/train.py CONFIG MORE``, in a session of its own; what it says goes to a file."""
    os.setsid()
    said = os.open(f'{folder}/said', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    sys.argv = [str(REPO / 'tools/train.py'), f'{folder}/config.py', *more]
    runpy.run_path(sys.argv[0], run_name='__main__')


class Run:
    """The one command of a method, in a work dir of its own."""

    def __init__(self, folder: Path, plaza: Path, method: str) -> None:
        folder.mkdir()
        self.folder, self.work_dir = folder, folder / 'run'
        tiny_config(plaza, self.work_dir, method=method).dump(folder / 'config.py')
        self.context = multiprocessing.get_context('forkserver')
        self.context.set_forkserver_preload(LOADED)

    def begin(self, *more: str) -> BaseProcess:
        """Start it, and wait until it is at work: being loaded, there is nothing to damage."""
        before = len(self.lines())
        process = self.context.Process(target=command, args=[str(self.folder), *more])
        process.start()
        deadline = time.monotonic() + 240
        while len(self.lines()) == before and process.exitcode is None:
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.005)
        return process

    def end(self, process: BaseProcess) -> None:
        """Wait for its end, which must be a good one."""
        process.join(240)
        assert process.exitcode == 0, self.said()

    def kill(self, process: BaseProcess) -> bool:
        """Kill it with all its workers; whether it was still there."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return process.exitcode == -signal.SIGKILL

    def said(self) -> str:
        return (self.folder / 'said').read_text()

    def lines(self) -> list[str]:
        """What all runs so far logged."""
        logs = sorted(self.work_dir.glob('*.log'))
        return [line for log in logs for line in log.read_text().splitlines()]

    def stages(self) -> list[tuple[str, str]]:
        """Name, and what is said of it, of all stages so far."""
        return [found.groups() for line in self.lines() if (found := _STAGE.search(line))]

    def place(self) -> str:
        """Where the last run is, or was."""
        name, text = (self.stages() or [('none', 'complete, skipped')])[-1]
        return f'after {name}' if text.startswith(('done in', 'complete, skipped')) else name

    def manifest(self, stage: str) -> Path:
        return self.work_dir / f'{stage}/'.replace('tubes/', 'proposals/') / 'manifest.json'

    def record(self, stage: str) -> dict:
        """What the manifest of a stage says; empty before it began."""
        path = self.manifest(stage)
        return json.loads(path.read_text()) if path.exists() else {}


def test_killed_again_and_again(plaza, tmp_path, capsys, monkeypatch):
    """Within what the stage takes that a run goes on with, or half as long: so all are hit."""
    monkeypatch.setenv('OMP_NUM_THREADS', '1')  # more do not help what is so small
    draw = random.Random(SEED)
    expected, seconds = {}, {}
    for method in METHODS:
        run = Run(tmp_path / method, plaza, method)
        run.end(run.begin())
        expected[method] = figures(run.work_dir)
        names = dict.fromkeys(name for name, _ in run.stages())
        seconds[method] = {name: run.record(name)['seconds'] for name in names}
    hits: dict[str, Counter] = {method: Counter() for method in METHODS}
    killed, start = 0, time.monotonic()
    for number in count():
        method = METHODS[number % len(METHODS)]
        run = Run(tmp_path / f'{method}_{number}', plaza, method)
        process = None
        while process is None or process.exitcode:
            takes = next(
                (s for name, s in seconds[method].items() if not run.record(name).get('complete')),
                seconds[method]['test'],
            )
            process = run.begin()
            if killed < KILLS:
                process.join(draw.uniform(0, 1.5 * takes + 0.2))
                if run.kill(process):
                    killed += 1
                    hits[method][run.place()] += 1
                    continue
            run.end(process)
        assert figures(run.work_dir) == expected[method], run.folder
        assert not temporaries(run.work_dir)
        with capsys.disabled():
            print(f'\n{killed} kills, {time.monotonic() - start:.0f} s: {run.folder.name} is done')
        if killed >= KILLS:
            break
    with capsys.disabled():
        for method, stages in hits.items():
            print(f'{method}: {sum(stages.values())} kills')
            for stage, times in sorted(stages.items()):
                print(f'  {times:4d} {stage}')
