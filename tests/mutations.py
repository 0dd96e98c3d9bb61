"""Damaged files, for tests of what reads them."""

from __future__ import annotations

from functools import reduce

from hypothesis import strategies as st

# Texts that mean something to one format or another: numbers without end, brackets, quotes, the
# marks of zip and numpy files, byte order marks, line ends.
_WORDS = (
    b'', b'\0', b'\xff', b'\xef\xbb\xbf', b'\xff\xfe', b'\r', b'\n', b'"', b"'", b',', b';', b'=',
    b'-', b'9', b'9' * 20, b'9' * 5000, b'1e999', b'NaN', b'[' * 2000, b'{', b'}', b'(', b')',
    b'O', b'<c16', b'<U4', b'|V8', b'PK\x01\x02', b'PK\x03\x04', b'PK\x05\x06', b'\x93NUMPY',
    b'\x80\x04N.',
)  # fmt: skip


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """``data`` after one to four changes, each in any place.

    A change flips bits of one byte, cuts the end off, or puts bytes in the place of a stretch: any
    bytes, or what may mean something to the format. Of no length, this is an insertion, and by
    nothing, a cut.
    """
    start = st.integers(0, len(data))
    words = st.sampled_from(_WORDS) | st.binary(max_size=16)
    changes = st.one_of(
        st.tuples(start, st.integers(1, 255)),
        st.tuples(start, st.just(len(data)), st.just(b'')),
        st.tuples(start, st.sampled_from((0, 1, 2, 4, 8, 64)), words),
    )
    return st.lists(changes, min_size=1, max_size=4).map(
        lambda changes: reduce(lambda changed, change: _change(changed, *change), changes, data)
    )


def _change(data: bytes, start: int, length: int, word: bytes | None = None) -> bytes:
    """Without a ``word``, ``length`` holds the bits to flip."""
    if word is None:
        word, length = bytes(byte ^ length for byte in data[start : start + 1]), 1
    return data[:start] + word + data[start + length :]
