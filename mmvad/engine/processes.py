"""The processes of a run: who they are, what each does, how they wait for one another and end.

Nothing else of mmvad asks for ranks, but for what MMEngine shares out itself: batches of training
and of the metric. All processes must see the same files below the work dir.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from mmengine.dist import init_dist

from mmvad.cli import describe

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
#: Seconds after which a process that gives no sign of life is taken for gone.
SILENCE = 120.0
# Of an operation among all: in training, of one step.
_TIMEOUT = 3600
_BEAT, _LOOK = 2.0, 0.05
# A process that failed waits so long for the others to hear of it.
_HEARD = 5.0
# What ends with one line, and no traceback; see mmvad.cli.
_OF_INPUT = (ValueError, OSError)
_FAILED = 'failed'

Item = TypeVar('Item')


class ProcessError(ValueError):
    """Another process of the run failed or is gone."""


class Processes:
    """The processes of one run, seen from one of them.

    They meet at points that all of them come to in the same order, as of collective operations:
    each call of :meth:`wait`, :meth:`from_main` and :meth:`share_out`.

    Args:
        rank: Number of this one; 0 is the main process, which alone writes what is not shared out.
        count: How many there are.
        store: What they tell each other by; None for one process.
    """

    def __init__(self, rank: int = 0, count: int = 1, store: dist.Store | None = None) -> None:
        self.rank, self.count = rank, count
        self._store = store
        self._turns = 0
        #: Rank to its last sign of life and when that was seen.
        self._alive: dict[int, tuple[int, float]] = {}
        self._looked = 0.0
        if store is not None:
            _start_beating(store, rank)

    @property
    def main(self) -> bool:
        """Whether this is the main process."""
        return self.rank == 0

    def wait(self) -> None:
        """Come back when all processes are here.

        Raises:
            ProcessError: If one has failed, or given no sign of life for :data:`SILENCE`.
        """
        if self.count == 1:
            return
        key = self._turn()
        with _store_of_main():
            self._store.add(key, 1)
            self._until(lambda: self._store.add(key, 0) >= self.count)

    def from_main(self, value: Callable[[], Any]) -> Any:
        """What ``value`` gives in the main process, which alone calls it: something that JSON can
        hold. Raises as :meth:`wait`."""
        if self.count == 1:
            return value()
        key = self._turn()
        if self.main:
            found = value()
            self._store.set(key, json.dumps(found))
            return found
        with _store_of_main():
            self._until(lambda: self._store.check([key]))
            return json.loads(self._store.get(key))

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """A block that the others enter when the main process has left it, and find what it wrote.
        Raises as :meth:`wait`."""
        if not self.main:
            self.from_main(lambda: None)
        yield
        if self.main:
            self.from_main(lambda: None)

    def share_out(self, items: Sequence[Item]) -> Iterator[Item]:
        """Those of the items that fall to this process: each takes the next one that none has.

        Args:
            items: The same ones in all processes, such as the videos of a split.

        Raises:
            ProcessError: Between two items, if another process has failed.
        """
        if self.count == 1:
            return iter(items)
        return self._taken(items, self._turn())

    def _taken(self, items: Sequence[Item], key: str) -> Iterator[Item]:
        with _store_of_main():
            while (number := self._store.add(key, 1) - 1) < len(items):
                self._refuse_failed()
                yield items[number]

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that all processes come to the end of, or none.

        Raises:
            ProcessError: In the main process, where another one failed; it says which, and why.
            SystemExit: In others, where the main process says what is to be said.
        """
        if self.count == 1:
            yield
            return
        try:
            yield
            self.wait()
        except Exception as error:
            self._end(error)

    def _end(self, error: Exception) -> None:
        """Tell the others of an error, or take theirs for it, and raise it."""
        mine = dict(rank=self.rank, text=describe(error))
        try:
            # The first one is the cause: others follow from it.
            told = self._store.compare_set(_FAILED, '', json.dumps(mine))
        except RuntimeError:
            raise error from None
        first = json.loads(told)
        self._store.add('heard', 1)
        if first == mine:
            self._hear()
        own = first['rank'] == self.rank or first['text'] == mine['text']
        if self.main:
            if own:
                raise error
            raise _failure(first) from error
        if own and not isinstance(error, _OF_INPUT):
            raise error
        raise SystemExit(1) from error

    def _hear(self) -> None:
        """Let the others notice before this process is gone: a launcher ends them at once then."""
        end = time.monotonic() + _HEARD
        with suppress(RuntimeError):
            while self._store.add('heard', 0) < self.count and time.monotonic() < end:
                time.sleep(_LOOK)

    def leave(self) -> None:
        """The end of a run that went well: the main process, whose store it is, goes last."""
        if self.count == 1:
            return
        key = self._turn()
        with suppress(RuntimeError, ProcessError):
            self._store.add(key, 1)
            if self.main:
                self._until(lambda: self._store.add(key, 0) >= self.count)

    def _turn(self) -> str:
        self._turns += 1
        return f'turn/{self._turns}'

    def _until(self, there: Callable[[], bool]) -> None:
        while not there():
            self._refuse_failed()
            time.sleep(_LOOK)

    def _refuse_failed(self) -> None:
        if self._store.check([_FAILED]):
            raise _failure(json.loads(self._store.get(_FAILED)))
        now = time.monotonic()
        if now - self._looked < _BEAT:
            return
        # Where this process itself was stopped, the others were not silent.
        late, self._looked = now - self._looked > 2 * _BEAT, now
        for rank in range(self.count):
            beats = self._store.add(f'beat/{rank}', 0)
            before, since = self._alive.get(rank, (-1, now))
            if beats != before or late:
                self._alive[rank] = beats, now
            elif now - since > SILENCE:
                raise ProcessError(f'process {rank} has given no sign of life for {SILENCE:.0f} s')


def _failure(told: dict[str, Any]) -> ProcessError:
    return ProcessError(f'process {told["rank"]}: {told["text"]}')


def _start_beating(store: dist.Store, rank: int) -> None:
    """Signs of life of this process, until it ends."""
    ending = threading.Event()

    def beat() -> None:
        with suppress(RuntimeError):
            store.add(f'beat/{rank}', 1)
            while not ending.wait(_BEAT):
                store.add(f'beat/{rank}', 1)

    thread = threading.Thread(target=beat, name='beat', daemon=True)
    thread.start()

    def end() -> None:
        # A thread that comes back from the store while Python shuts down aborts the process.
        ending.set()
        thread.join(2 * _BEAT)

    atexit.register(end)


@contextmanager
def _store_of_main() -> Iterator[None]:
    """Says what it means that the store cannot be reached."""
    try:
        yield
    except dist.DistError as error:
        raise ProcessError('process 0, the main one, is gone') from error


# ---------------------------------------------------------------- joining


_JOINED: list[Processes] = []


def join(launcher: str = 'none') -> Processes:
    """The processes that a launcher started this one among; once in the life of a process.

    Args:
        launcher: ``'none'``; ``'pytorch'``, that is ``torchrun``; ``'slurm'``, ``srun``; ``'mpi'``,
            ``mpirun`` of Open MPI with ``MASTER_ADDR`` set. GPUs, one a process, talk by NCCL,
            CPUs by gloo.

    Raises:
        ValueError: If there is no such launcher, or it did not start this process.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f'launcher: expected one of {LAUNCHERS}, got {launcher!r}')
    if launcher == 'none':
        return Processes()
    if not _JOINED:
        if not dist.is_initialized():
            _join_group(launcher)
            atexit.register(_leave_group)
        rank, count = dist.get_rank(), dist.get_world_size()
        _JOINED.append(Processes(rank, count, _new_store(rank)) if count > 1 else Processes())
    return _JOINED[0]


def _join_group(launcher: str) -> None:
    if torch.cuda.is_available():
        _environment(launcher)
        init_dist(launcher, backend='nccl', timeout=_TIMEOUT)
        return
    # MMEngine's own way looks for GPUs.
    found = _environment(launcher)
    os.environ.update({name: value for name, value in found.items() if value is not None})
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        if launcher != 'slurm':
            raise ValueError(f'launcher: {launcher}: MASTER_ADDR is not set')
        names = ['scontrol', 'show', 'hostnames', os.environ.get('SLURM_JOB_NODELIST', '')]
        try:
            hosts = subprocess.run(names, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise ValueError(
                'launcher: slurm: MASTER_ADDR is not set, and scontrol does not tell the first host'
            ) from error
        os.environ['MASTER_ADDR'] = hosts.split()[0]
    dist.init_process_group('gloo', timeout=timedelta(seconds=_TIMEOUT))


# What torch reads, and what each launcher calls it.
_NAMES = dict(
    pytorch=dict(RANK='RANK', WORLD_SIZE='WORLD_SIZE', LOCAL_RANK='LOCAL_RANK'),
    slurm=dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'),
    mpi=dict(
        RANK='OMPI_COMM_WORLD_RANK',
        WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
        LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK',
    ),
)
_STARTS = dict(pytorch='torchrun', slurm='srun', mpi='mpirun')


def _environment(launcher: str) -> dict[str, str | None]:
    """Rank, number of processes and rank on this machine, as torch wants them named."""
    found = {name: os.environ.get(other) for name, other in _NAMES[launcher].items()}
    if missing := [_NAMES[launcher][n] for n in ('RANK', 'WORLD_SIZE') if found[n] is None]:
        raise ValueError(
            f'launcher: {launcher}: {missing[0]} is not set; start the command with '
            f'{_STARTS[launcher]}'
        )
    return found


def _new_store(rank: int) -> dist.TCPStore:
    """A store of this run's own, in the main process."""
    host, port = os.environ['MASTER_ADDR'], [0]
    if rank == 0:
        store = dist.TCPStore(host, 0, is_master=True, wait_for_workers=False)
        port = [store.port]
    dist.broadcast_object_list(port, src=0)
    return store if rank == 0 else dist.TCPStore(host, port[0], is_master=False)


def _leave_group() -> None:
    # Where others are gone this may fail, and the process is at its end.
    with suppress(Exception):
        dist.destroy_process_group()
