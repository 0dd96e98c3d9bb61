"""Reading MATLAB files, in an interpreter of its own: on some damaged ones scipy's reader ends the
process that it runs in.
"""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np

# Of memory. A file of 200 bytes may claim an array of many gigabytes, which scipy takes at once.
_MOST_BYTES = 2 << 30
# Of each file it says whether there is the variable (0), as an array (1) or as cells (2), and of
# which shape, then its array or those of its cells. Nothing is imported from the working folder.
_CHILD = """
import sys
sys.path = [folder for folder in sys.path if folder]
import resource
from types import SimpleNamespace
import numpy as np
from scipy.io import loadmat, whosmat

wanted, key, most, *files = sys.argv[1:]
hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
most = int(most) if hard == resource.RLIM_INFINITY else min(int(most), hard)
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
# To what is no file numpy writes without asking for the place in it, which a pipe does not have.
out = SimpleNamespace(write=sys.stdout.buffer.write)

def say(array):
    np.save(out, np.asarray(array), allow_pickle=False)

try:
    for file in files:
        if wanted == 'shape':
            shapes = {name: shape for name, shape, _ in whosmat(file)}
            say([key in shapes, *shapes.get(key, ())])
        else:
            value = loadmat(file, variable_names=[key]).get(key)
            is_cells = value is not None and value.dtype == object
            say([0 if value is None else 1 + is_cells, *np.shape(value)])
            for array in () if value is None else value.ravel() if is_cells else [value]:
                say(array)
        sys.stdout.flush()
except Exception as error:
    sys.exit(f'{type(error).__name__}: {error}')
"""


def read_mats(files: Sequence[str | Path], key: str) -> Iterator[np.ndarray]:
    """A variable of each of several ``.mat`` files.

    Args:
        files: Which. They are read by one interpreter, since that takes half a second to start.
        key: Name of the variable.

    Yields:
        Of each file an array of numbers or text, or one of objects (cells) that are such arrays.

    Raises:
        OSError: If a file cannot be opened.
        ValueError: If it does not hold such a variable; the message names the file.
    """
    with _reader('values', files, key) as process:
        for file in files:
            kind, *shape = _next(process, file)
            if not kind:
                raise ValueError(f'{file}: has no variable {key!r}')
            if kind == 1:
                yield _next(process, file)
                continue
            cells = np.empty(math.prod(shape), object)
            for place in range(len(cells)):
                cells[place] = _next(process, file)
            yield cells.reshape(shape)


def read_mat(file: str | Path, key: str) -> np.ndarray:
    """A variable of a ``.mat`` file; see :func:`read_mats`."""
    (value,) = read_mats([file], key)
    return value


def mat_shapes(files: Sequence[str | Path], key: str) -> Iterator[tuple[int, ...]]:
    """The shape of a variable of each of several ``.mat`` files, which is not read; errors as in
    :func:`read_mats`."""
    with _reader('shape', files, key) as process:
        for file in files:
            known, *shape = _next(process, file)
            if not known:
                raise ValueError(f'{file}: has no variable {key!r}')
            yield tuple(map(int, shape))


@contextmanager
def _reader(wanted: str, files: Sequence[str | Path], key: str) -> Iterator[subprocess.Popen]:
    for file in files:
        Path(file).open('rb').close()
    values = [wanted, key, str(_MOST_BYTES), *map(str, files)]
    command = [sys.executable, '-W', 'ignore', '-c', _CHILD, *values]
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with subprocess.Popen(command, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def _next(process: subprocess.Popen, file: str | Path) -> np.ndarray:
    """The next array that the interpreter says of a file."""
    try:
        # As for writing: numpy would ask a file for its place.
        stream = SimpleNamespace(read=process.stdout.read)
        return np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, MemoryError) as error:
        said = process.communicate()[1].decode(errors='replace').splitlines()
        why = said[-1][:200] if said else str(error)
        if process.returncode < 0:
            why = f'its reader was ended by {signal.Signals(-process.returncode).name}'
        raise ValueError(f'{file}: not a MATLAB file scipy can read: {why}') from error
