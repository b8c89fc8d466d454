"""The tail grows, and loses what went into the base, without copying the vectors that stay."""

from __future__ import annotations

import numpy as np
import pytest

from dpr_rag.index.segments import Tail

VECTORS = np.arange(1, 81, dtype=np.float32).reshape(40, 2)


def tail(count: int) -> Tail:
    """A tail of the first vectors, whose row numbers are 1, 3, 5, …; it grew one by one."""
    made = Tail(2)
    for at in range(count):
        made = made.extended(np.array([2 * at + 1]), VECTORS[at : at + 1])
    return made


@pytest.mark.parametrize(
    ("count", "kept", "shares"),
    [
        (32, range(8, 32), True),
        (32, range(24, 32), True),
        (32, range(25, 32), False),  # too little for so large a buffer
        (32, [*range(8, 20), *range(21, 32)], False),
        (32, range(24), False),
        (32, range(32), True),
        (32, [], False),
        (0, [], True),
        (20, range(12, 20), True),  # a quarter of the 32 that the buffer holds
        (20, range(13, 20), False),
    ],
)
def test_what_is_kept(count: int, kept: list[int], shares: bool) -> None:
    old = tail(count)
    mask = np.isin(np.arange(count), kept)
    rest = old.kept(mask)
    assert rest.rows.tolist() == [2 * at + 1 for at in kept]
    np.testing.assert_array_equal(rest.matrix, VECTORS[list(kept)])
    np.testing.assert_array_equal(old.matrix, VECTORS[:count])
    assert rest.norm == pytest.approx(np.linalg.norm(VECTORS[list(kept)], axis=1).max(initial=0))
    assert np.shares_memory(rest._buffer, old._buffer) == (shares and count > 0)


def test_a_part_grows_and_the_tail_before_it_stays_as_it_was() -> None:
    old = tail(20)
    rest = old.kept(np.arange(20) >= 10)
    for at in range(20, 40):
        rest = rest.extended(np.array([2 * at + 1]), VECTORS[at : at + 1])
    assert rest.rows.tolist() == list(range(21, 80, 2))
    np.testing.assert_array_equal(rest.matrix, VECTORS[10:])
    np.testing.assert_array_equal(old.matrix, VECTORS[:20])
    assert (old.norm, rest.norm) == pytest.approx((np.linalg.norm(VECTORS[19]), np.linalg.norm(VECTORS[39])))


def test_a_small_rest_of_a_part_holds_no_large_buffer() -> None:
    rest = tail(32).kept(np.arange(32) >= 16)
    assert np.shares_memory(rest.kept(np.arange(16) >= 8)._buffer, rest._buffer)
    assert not np.shares_memory(rest.kept(np.arange(16) >= 9)._buffer, rest._buffer)
