"""Every reader with thousands of damaged files; ``MMVAD_EXAMPLES`` says how many each (1000)."""

from __future__ import annotations

import os
import time

import pytest
from damaged import READERS, Child, attempts

EXAMPLES = int(os.environ.get('MMVAD_EXAMPLES', 1000))
SEED = int(os.environ.get('MMVAD_SEED', 0))


@pytest.mark.parametrize('name', READERS)
def test_damaged_files_are_refused_or_read(name, tmp_path, capsys):
    start = time.monotonic()
    child = Child()
    try:
        done = attempts(name, tmp_path / name, child, EXAMPLES, SEED)
    finally:
        child.end()
    with capsys.disabled():
        print(f'\n{name}: {done.counts}, {time.monotonic() - start:.0f} s')
    assert not done.failures, '\n'.join(f'{k}  {v}' for k, v in done.failures.items())
