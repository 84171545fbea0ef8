"""Retrying tasks as Avala asks for it (Airflow 3.3 and later)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

try:
    from airflow.sdk import RetryPolicy
    from airflow.sdk.definitions.retry_policy import RetryDecision
except ImportError as error:
    raise ImportError(
        "AvalaRetryPolicy needs Airflow 3.3 or later, which has retry policies. Before that, set retries and"
        " retry_delay; raise AirflowFailException yourself for errors that no retry can mend."
    ) from error

from airflow_provider_avala.api.errors import AvalaApiError, AvalaError, is_fatal

if TYPE_CHECKING:
    from airflow.sdk import Context


class AvalaRetryPolicy(RetryPolicy):
    """Retries a task that calls Avala when Avala wants it, and not at all where no retry can help.

    For tasks of your own: ``@task(retries=3, retry_policy=AvalaRetryPolicy())``; this provider's operators fail at once
    on such errors in any case. An error that no retry can mend (wrong key, no permission, unknown id, wrong argument)
    fails the task at once. Where Avala said how long to wait, the retry comes after that. All else, an error that is
    not Avala's included, is left to the task's ``retries`` and ``retry_delay``.

    :param longest: the longest delay in seconds that Avala may ask for.
    """

    def __init__(self, longest: float = 3600.0) -> None:
        if (
            isinstance(longest, bool)
            or not isinstance(longest, int | float)
            or not 0 < longest < float("inf")
        ):
            raise ValueError(f"longest: {longest!r} is not a number of seconds above 0")
        self.longest = float(longest)

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide about one failure, by the error or by what of Avala's it was raised from.

        :param exception: what the task has raised.
        :param try_number: number of the attempt that failed.
        :param max_tries: how many there may be.
        :param context: Airflow's context.
        """
        error = _avala_error(exception)
        if error is None:
            return RetryDecision.default()
        if is_fatal(error):
            return RetryDecision.fail(reason=str(error))
        wait = error.retry_after if isinstance(error, AvalaApiError) else None
        if wait is None:
            return RetryDecision.default()
        delay = timedelta(seconds=min(max(wait, 0.0), self.longest))
        return RetryDecision.retry(delay, reason=f"Avala asked to wait {wait:g} s")

    def serialize(self) -> dict[str, Any]:
        """What Airflow stores with the DAG."""
        return {"__type": type(self).__name__, "longest": self.longest}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """The policy as it was stored.

        :param data: what :meth:`serialize` gave.
        """
        return cls(longest=data["longest"])


def _avala_error(exception: BaseException) -> AvalaError | None:
    """The first error of ours in the chain of causes."""
    seen: set[int] = set()
    error: BaseException | None = exception
    while error is not None and id(error) not in seen:
        if isinstance(error, AvalaError):
            return error
        seen.add(id(error))
        error = error.__cause__
    return None
