"""The command ``mmvad``, which runs the tools by name, and what all tools do around their work:
errors of input in one line, an orderly end by a signal."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from mmvad.version import __version__

#: Commands of ``mmvad``, and the scripts behind them, below the folder of the tools.
COMMANDS = {
    'train': 'train.py',
    'learn': 'learn.py',
    'adapt': 'adapt.py',
    'watch': 'watch.py',
    'test': 'test.py',
    'infer': 'infer.py',
    'evaluate': 'evaluate.py',
    'report': 'report.py',
    'doctor': 'dataset_doctor.py',
    'self-check': 'self_check.py',
    'extract-tubes': 'extract_tubes.py',
    'generate-captions': 'generate_captions.py',
    'pseudo-boxes': 'pseudo_boxes.py',
    'browse': 'visualizations/browse_dataset.py',
    'benchmark': 'analysis_tools/benchmark.py',
    'compare-detectors': 'analysis_tools/compare_detectors.py',
    'draw-results': 'analysis_tools/draw_results.py',
    'convert-avenue': 'dataset_converters/avenue.py',
    'convert-shanghaitech': 'dataset_converters/shanghaitech.py',
    'convert-ubnormal': 'dataset_converters/ubnormal.py',
    'convert-ucf-crime': 'dataset_converters/ucf_crime.py',
    'convert-ucsd': 'dataset_converters/ucsd.py',
    'convert-xd-violence': 'dataset_converters/xd_violence.py',
}

# What `mmvad` tells the tool that it becomes: the command that the user gave.
_COMMAND = 'MMVAD_COMMAND'

# `timeout` and some terminals send a signal twice; one that comes later is meant.
_ONCE = 1.0  # seconds


def tools_folder() -> Path:
    """Where the tools lie: beside the package's modules once installed, else in the source tree."""
    package = Path(__file__).resolve().parent
    installed = package / '.mim' / 'tools'
    return installed if installed.is_dir() else package.parent / 'tools'


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """What the command ``mmvad`` runs: the tool that the first argument names, with the others.

    The tool takes the place of this process, as if its script had been called.
    """
    parser = argparse.ArgumentParser(
        prog='mmvad',
        description='Unsupervised video anomaly detection on the OpenMMLab stack.',
        epilog=f'commands: {", ".join(COMMANDS)}. "mmvad COMMAND --help" says more of each.',
    )
    parser.add_argument('--version', action='version', version=f'mmvad {__version__}')
    parser.add_argument('command', choices=COMMANDS, metavar='COMMAND')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='those of the command')
    args = parser.parse_args(arguments)
    if args.command == 'train' and _is_video(args.arguments):
        args.command = 'learn'
    tool = tools_folder() / COMMANDS[args.command]
    os.environ[_COMMAND] = f'mmvad {args.command}'
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(tool), *args.arguments])


def _is_video(arguments: Sequence[str]) -> bool:
    """Whether what is to be trained on is given, and no config."""
    named = any(argument.partition('=')[0] == '--name' for argument in arguments)
    return named or Path((*arguments, '')[0]).is_dir() and bool(arguments)


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end; what libraries do at Ctrl-C is right then too."""


class _Signals:
    """Turns SIGTERM and SIGINT into :class:`Stopped`, so that everything is cleaned up."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._since = 0.0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        # Workers: the main process ends them, whoever else got the terminal's Ctrl-C.
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.received and time.monotonic() - self._since < _ONCE:
            return
        self.received, self._since = signal.Signals(number), time.monotonic()
        # Workers that got it as well are gone, of which torch would complain.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        raise Stopped(self.received.name)

    @staticmethod
    def _leave_to_parent() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(
    main: Callable[[argparse.Namespace], int | None],
    parser: argparse.ArgumentParser,
) -> NoReturn:
    """Run a tool, and end the process.

    - An error of input (ValueError, OSError, a type that no registry knows) is one line on stderr,
      ``error: <file or key>: ...``, and exit code 1; ``--debug`` shows where it came up. Other
      errors are faults of the program and keep their traceback.
    - SIGTERM and SIGINT end it in order, with exit codes 143 and 130.

    Args:
        main: Gets the arguments; returns the exit code, None for 0. What it puts into
            ``args.stopped`` is said after ``stopped by SIGTERM``.
        parser: Of the arguments; ``--debug`` is added.
    """
    parser.add_argument(
        '--debug', action='store_true', help='show where in the program an error came up'
    )
    # Not for the tools that this one starts in turn.
    parser.prog = os.environ.pop(_COMMAND, parser.prog)
    args = _parsed(parser)
    signals = _Signals()
    line = None
    try:
        code = main(args) or 0
    except BaseException as error:
        # Whatever became of it on its way, such as a complaint that workers are gone.
        if signals.received:
            line = f'stopped by {signals.received.name}{getattr(args, "stopped", "")}'
            code = 128 + signals.received
        elif args.debug or not _of_input(error):
            raise
        else:
            line, code = f'error: {describe(error)}', 1
    # After the block: what the error held, such as bars and loaders, is closed by now.
    if line:
        print(line, file=sys.stderr, flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    sys.exit(code)


def _parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    try:
        return parser.parse_args()
    except ValueError as error:  # MMEngine's DictAction, about `--cfg-options key`
        parser.error(f'expected key=value ({error})')


def _of_input(error: BaseException) -> bool:
    if isinstance(error, KeyError):
        return bool(re.match(r'\S+ is not in the \S+ registry', describe(error)))
    return isinstance(error, (ValueError, OSError))


def describe(error: BaseException) -> str:
    """An error in one line, beginning with the file that the system names."""
    if isinstance(error, OSError) and error.filename is not None:
        # An HTTPError has an address, and the reason in words of its own.
        text = f'{error.filename}: {error.strerror or error}'
    elif isinstance(error, KeyError) and error.args:
        # MMEngine's registries go on about how to register; the name is what matters.
        text = str(error.args[0]).partition(' Please check')[0]
    else:
        text = str(error)
    return ' '.join(text.split()) or type(error).__name__
