"""Build environments other than the tested one, and run a small job in each.

    python tests/stacks/run.py            # all
    python tests/stacks/run.py py312 lowest
    python tests/stacks/run.py --list

Each environment is made anew below build/stacks and removed when its job is done (--keep leaves
it). The job scores a few seconds of the built-in dataset from video to figures, and evaluates the
scores. A log a stack stands beside them. Exit code 1 when a stack fails; one whose Python is not on
this machine is left out, and said so. Plain Python and pip are all that this script needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from stacks import REPO, STACKS, Stack, constraints, mmcv, requirements

JOB = """
_base_ = {base!r}
data = dict(train_videos=2, train_frames=40, test_videos=2, test_frames=40, size=(120, 160), seed=0)
train_dataset = dict(data_root='data/small', plaza=data)
test_dataset = dict(data_root='data/small', plaza=data)
"""


class Failed(Exception):
    """A step of a stack did not work; the message says which."""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [stack.name for stack in STACKS]
    parser.add_argument('names', nargs='*', help=f'which stacks (default: all): {", ".join(names)}')
    parser.add_argument('--list', action='store_true', help='only say which there are')
    parser.add_argument('--ops', action='store_true', help="compile mmcv's operators: slow")
    parser.add_argument('--keep', action='store_true', help='leave the environments')
    parser.add_argument(
        '--folder', type=Path, default=REPO / 'build/stacks', help='where (default: build/stacks)'
    )
    return parser


def find_python(version: str) -> Path | None:
    """An interpreter of this version: on the PATH, or installed by pyenv."""
    pyenv = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv')) / 'versions'
    found = shutil.which(f'python{version}')
    for path in [*([found] if found else []), *sorted(pyenv.glob(f'{version}*/bin/python'))]:
        # A shim may be there without the version behind it.
        code = 'import sys; print("%d.%d" % sys.version_info[:2])'
        done = subprocess.run([path, '-c', code], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == version:
            return Path(path)
    return None


class Environment:
    """One stack's environment: commands run in it, and their output goes to its log."""

    def __init__(self, stack: Stack, folder: Path, ops: bool) -> None:
        self.stack, self.folder, self.ops = stack, folder / stack.name, ops
        self.log = folder / f'{stack.name}.log'
        self.python = self.folder / 'venv/bin/python'

    def run(self, what: str, *command: str | Path, **variables: str) -> None:
        with open(self.log, 'a') as log:
            log.write(f'\n== {what}: {" ".join(map(str, command))}\n')
            log.flush()
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Python packages that this process sees are none of the stack's.
                env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'} | variables,
            )
        if done.returncode:
            last = [line for line in self.log.read_text().splitlines() if line.strip()][-1]
            raise Failed(f'{what}: {last[:200]}')

    def pip(self, what: str, *arguments: str | Path, **variables: str) -> None:
        file = self.folder / 'constraints.txt'
        self.run(
            what, self.python, '-m', 'pip', 'install', '--quiet', '--constraint', file, *arguments,
            **variables,
        )  # fmt: skip

    def build(self, python: Path) -> None:
        """Makes the environment; mmcv comes last but mmvad, since it looks at torch and cv2."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.log.unlink(missing_ok=True)
        (self.folder / 'constraints.txt').write_text('\n'.join(constraints(self.stack)) + '\n')
        self.run('environment', python, '-m', 'venv', self.folder / 'venv')
        self.pip('build tools', 'setuptools<81', 'wheel', 'ninja', 'psutil')
        self.pip('packages', *requirements(self.stack))
        variables = dict(MMCV_WITH_OPS=str(int(self.ops)), CUDA_VISIBLE_DEVICES='')
        self.pip('mmcv', '--no-deps', *mmcv(self.stack, self.ops), **variables)
        self.pip('mmvad', '--no-deps', '--no-build-isolation', REPO)

    def smoke(self) -> dict:
        """From video to figures with what was installed, outside of the sources."""
        job, tools = self.folder / 'job', '.mim/tools'
        job.mkdir()
        code = f'import mmvad, pathlib; print(pathlib.Path(mmvad.__file__).parent / {tools!r})'
        done = subprocess.run([self.python, '-c', code], cwd=job, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f'import mmvad: {done.stderr.splitlines()[-1]}')
        tools = Path(done.stdout.strip())
        base = tools.parent / 'configs/attributes/plaza.py'
        (job / 'job.py').write_text(JOB.format(base=str(base)))
        self.run(
            'train', self.python, tools / 'train.py', job / 'job.py', '--work-dir', job / 'work'
        )
        self.run(
            'evaluate', self.python, tools / 'evaluate.py', job / 'work/scores', '--dataset',
            job / 'job.py', '--protocol', 'ai-vad',
        )  # fmt: skip
        return json.loads((job / 'work/metrics.json').read_text())

    def versions(self) -> str:
        """Releases of what matters, as installed."""
        code = (
            'import torch, numpy, mmengine, mmcv\n'
            'print(*[m.__name__ + " " + m.__version__ for m in (torch, numpy, mmengine, mmcv)])'
        )
        done = subprocess.run([self.python, '-c', code], capture_output=True, text=True)
        return done.stdout.strip()


def main(args: argparse.Namespace) -> int:
    known = {stack.name: stack for stack in STACKS}
    if unknown := sorted(set(args.names) - set(known)):
        print(f'no stacks named {unknown}, expected some of {sorted(known)}', file=sys.stderr)
        return 2
    if args.list:
        print('\n'.join(f'{s.name:8} Python {s.python}: {s.about}' for s in STACKS))
        return 0
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in args.names or known:
        stack, start = known[name], time.monotonic()
        python = find_python(stack.python)
        if python is None:
            print(f'{name:8} left out: no Python {stack.python} on this machine')
            continue
        environment = Environment(stack, folder, args.ops)
        try:
            environment.build(python)
            built = time.monotonic() - start
            figures = environment.smoke()
            seconds = time.monotonic() - start - built
            print(
                f'{name:8} fine: built in {built:.0f} s, job in {seconds:.0f} s, micro-AUC '
                f'{figures["auc/micro"]:.2f} %; {environment.versions()}'
            )
        except Failed as error:
            failed += 1
            print(f'{name:8} FAILED: {error} ({environment.log})')
        finally:
            if not args.keep:
                shutil.rmtree(environment.folder, ignore_errors=True)
    return int(failed > 0)


if __name__ == '__main__':
    sys.exit(main(make_parser().parse_args()))
