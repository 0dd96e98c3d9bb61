"""What keeps a work dir whole: one run at a time, nothing left behind, errors in its log."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from filelock import FileLock, Timeout

from mmvad.structures import NoSpaceError, WorkDir, remembered, remove_temporaries, write_json

from .progress import close_bars


def make_work_dir(work_dir: WorkDir) -> None:
    """Make the folder, where it is not there.

    Raises:
        OSError: If it cannot be made, or not be written to.
    """
    try:
        work_dir.root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=work_dir.root).close()
    except OSError as error:
        text = f'cannot be written to ({error.strerror}); --work-dir names another folder'
        raise OSError(error.errno, text, str(work_dir.root)) from error


@contextmanager
def guarded(work_dir: WorkDir, logger: logging.Logger) -> Iterator[None]:
    """Keep other runs out of the work dir while this one is at work.

    What a killed run left half-written is removed first; errors are :func:`logged`.

    Raises:
        BlockingIOError: If another run is at work there; the message says which.
    """
    with ExitStack() as stack:
        # The kernel's lock: it is free when the process that holds it is gone, however it ended.
        try:
            stack.enter_context(FileLock(work_dir.lock).acquire(blocking=False))
        except Timeout:
            raise BlockingIOError(
                f'{work_dir.root}: another run is at work here ({_holder(work_dir)}); wait for its '
                'end, or name another folder with --work-dir'
            ) from None
        write_json(work_dir.holder, dict(pid=os.getpid(), host=socket.gethostname()))
        stack.callback(work_dir.holder.unlink, missing_ok=True)
        for path in remove_temporaries(work_dir.root):
            logger.info(f'{path}: half-written by a run that was killed; removed')
        with logged(logger):
            yield


@contextmanager
def logged(logger: logging.Logger) -> Iterator[None]:
    """Where the block ends with an error, its traceback goes to the log file, and nowhere else."""
    try:
        yield
    except BaseException:
        close_bars()
        _log_traceback(logger)
        raise


def _holder(work_dir: WorkDir) -> str:
    holder = remembered(work_dir.holder)
    if not {'pid', 'host'} <= holder.keys():
        return 'it has just begun'
    return f'process {holder["pid"]} on {holder["host"]}'


def file_handlers(logger: logging.Logger) -> list[logging.FileHandler]:
    """Those of a logger that write to a file."""
    return [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]


def _log_traceback(logger: logging.Logger) -> None:
    record = logger.makeRecord(
        logger.name, logging.ERROR, __file__, 0, 'Ended by', (), sys.exc_info()
    )
    # The disk may be full, which is what ended the run.
    with suppress(OSError):
        for handler in file_handlers(logger):
            handler.emit(record)


def refuse_lost_lines(logger: logging.Logger) -> None:
    """Let the logger raise :class:`NoSpaceError` where its file cannot grow.

    By itself it prints a traceback for each line that is lost, and goes on.
    """
    for handler in file_handlers(logger):

        def handle(record: logging.LogRecord, handler: logging.FileHandler = handler) -> None:
            error = sys.exc_info()[1]
            file = handler.baseFilename
            if isinstance(error, OSError) and (full := NoSpaceError.of(error, file)):
                raise full from error
            logging.Handler.handleError(handler, record)

        handler.handleError = handle
