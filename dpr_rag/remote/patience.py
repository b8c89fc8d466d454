"""When a request is worth repeating, and how long to wait before."""

from __future__ import annotations

import email.utils
import random
import time
from dataclasses import dataclass, field

import httpx

from dpr_rag.errors import DprRagError, ServiceTimeoutError, ServiceUnavailableError

REFUSED_FOR_NOW = (429, 503)
_FIRST_PAUSE, _LONGEST_PAUSE, _LONGEST_ASKED = 0.1, 5.0, 60.0
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CUT_OFF = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)


@dataclass(slots=True)
class Patience:
    """Counts the attempts of one request.

    Pauses double from a tenth of a second and are drawn at random between nothing and that, so that many clients do not come
    back together; what the service asks for (``Retry-After``) is waited out first.

    Attributes:
        address: Where it goes, for messages.
        left: How many more attempts there may be.
        repeatable: Whether a request that may have arrived can be sent again: connections break after it was carried out, too.
    """

    address: str
    left: int
    repeatable: bool = True
    _pause: float = field(default=_FIRST_PAUSE, init=False)

    def after_failure(self, failure: Exception) -> float:
        """Seconds to wait after a request that failed on its way.

        Raises:
            ServiceTimeoutError: The answer took too long, which asking again would not mend.
            ServiceUnavailableError: It is not worth repeating, or was repeated often enough.
        """
        worth_it = isinstance(failure, _NEVER_SENT) or (self.repeatable and isinstance(failure, _CUT_OFF))
        if worth_it and self.left:
            return self._next()
        if isinstance(failure, httpx.TimeoutException) and not isinstance(failure, _NEVER_SENT):
            raise ServiceTimeoutError(
                f"{self.address} did not answer in time; pass a longer timeout, or ask for less at once"
            ) from failure
        raise ServiceUnavailableError(
            f"{self.address} cannot be asked ({failure or type(failure).__name__}); is dpr-rag serve running there?"
        ) from failure

    def after_refusal(self, error: DprRagError, asked: str | None) -> float:
        """Seconds to wait after a request that was refused for now.

        Args:
            error: What the answer says.
            asked: Its header ``Retry-After``, in seconds or as a date.

        Raises:
            DprRagError: ``error``, if the request was repeated often enough, or is to wait for too long.
        """
        least = _seconds(asked)
        if not self.left or least > _LONGEST_ASKED:
            raise error
        return least + self._next()

    def _next(self) -> float:
        self.left -= 1
        longest, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return random.uniform(0, longest)  # noqa: S311 - nobody gains by guessing it


def _seconds(asked: str | None) -> float:
    if not asked:
        return 0.0
    if asked.isascii() and asked.strip().isdecimal():
        return float(asked)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return 0.0
