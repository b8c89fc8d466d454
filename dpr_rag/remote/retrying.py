"""``Retries``: whether a failed request is sent again, and after how many seconds."""

from __future__ import annotations

import email.utils
import random
import time
from dataclasses import dataclass, field

import httpx

from dpr_rag.errors import DprRagError, ServiceTimeoutError, ServiceUnavailableError

REFUSED_FOR_NOW = (429, 503)
_FIRST_PAUSE, _LONGEST_PAUSE, _LONGEST_RETRY_AFTER = 0.1, 5.0, 60.0
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CUT_OFF = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)


@dataclass(slots=True)
class Retries:
    """The retries of one request, with exponential backoff and full jitter.

    The bound of the pause doubles from 0.1 s to 5 s, and the pause is drawn uniformly below it, so that clients do not
    return together; the service's ``Retry-After`` is added.

    Attributes:
        address: The service, for messages.
        attempts_left: How many more attempts are allowed.
        repeatable: Whether a request may be sent again that the service may have carried out before the connection broke.
    """

    address: str
    attempts_left: int
    repeatable: bool = True
    _pause: float = field(default=_FIRST_PAUSE, init=False)

    def after_failure(self, failure: Exception) -> float:
        """Seconds to wait after a request that got no answer.

        Raises:
            ServiceTimeoutError: The answer took too long; another attempt would take as long.
            ServiceUnavailableError: The failure cannot be retried, or no attempts are left.
        """
        retriable = isinstance(failure, _NEVER_SENT) or (self.repeatable and isinstance(failure, _CUT_OFF))
        if retriable and self.attempts_left:
            return self._next_pause()
        if isinstance(failure, httpx.TimeoutException) and not isinstance(failure, _NEVER_SENT):
            raise ServiceTimeoutError(
                f"{self.address} did not answer in time; pass a longer timeout, or ask for less at once"
            ) from failure
        raise ServiceUnavailableError(
            f"{self.address} cannot be asked ({str(failure) or type(failure).__name__}); is dpr-rag serve running there?"
        ) from failure

    def after_refusal(self, error: DprRagError, retry_after: str | None) -> float:
        """Seconds to wait after an answer with status 429 or 503.

        Args:
            error: The error in the answer.
            retry_after: Its header ``Retry-After``, in seconds or as a date.

        Raises:
            DprRagError: ``error``, if no attempts are left, or ``Retry-After`` is longer than a minute.
        """
        least = _seconds(retry_after)
        if not self.attempts_left or least > _LONGEST_RETRY_AFTER:
            raise error
        return least + self._next_pause()

    def _next_pause(self) -> float:
        self.attempts_left -= 1
        longest, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return random.uniform(0, longest)  # noqa: S311 - nobody gains by guessing it


def _seconds(retry_after: str | None) -> float:
    if not retry_after:
        return 0.0
    if retry_after.isascii() and retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0
