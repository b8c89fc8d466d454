"""A lock around native encoding libraries, which must not be running while the process forks."""

from __future__ import annotations

from dpr_rag.errors import ForkedProcessError
from dpr_rag.forking import REMEDY, ForkGate


def _refusal() -> ForkedProcessError:
    return ForkedProcessError(
        f"this process was forked while another thread was encoding, and the library that encodes may never answer; {REMEDY}"
    )


NATIVE = ForkGate(_refusal)
"""Held around their imports and calls: a fork in the midst of one would leave their locks to the child for ever."""
