"""What an answer, or none, says about whether a part was stored, and what to do where it says nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_avala.api.errors import (
    AvalaConnectionError,
    AvalaError,
    AvalaProtocolError,
    AvalaServerError,
)
from airflow_provider_avala.api.jsonl import SourceChangedError

if TYPE_CHECKING:
    from airflow_provider_avala.api.clock import Clock
    from airflow_provider_avala.api.jsonl import Part
    from airflow_provider_avala.api.upload_journal import Journal

#: What can be done about a part of unknown outcome.
OnUnknown = Literal["retry", "fail", "verify"]
ON_UNKNOWN: tuple[OnUnknown, ...] = ("retry", "fail", "verify")

_COUNT_KEYS = ("accepted", "created", "count", "items")
#: How often, and how far apart in seconds, to look whether a server that kept silent has stored a part after all.
_LOOKS, _BETWEEN_LOOKS = 3, 2.0


class AbortedError(Exception):
    """The task is being stopped; what is being sent breaks off."""


class CountError(AvalaError):
    """Avala says that it took fewer items than it was sent."""


class UnsettledError(AvalaError):
    """A part's outcome is unknown and stays so."""


def check_count(answer: Any, part: Part) -> None:
    """Take the server's word for how many items it took, if it says so.

    :param answer: decoded JSON.
    :param part: what it was sent.
    :raises CountError: if it took fewer. A larger number is no loss: some APIs answer with the collection's total.
    """
    count = stated_count(answer)
    if count is not None and count < part.items:
        raise CountError(f"Avala says that it accepted {count} of the {part.items} items it was sent")


def check_content(part: Part) -> None:
    """Make sure that a part was not changed on its way.

    :param part: what was sent, and answered with success.
    :raises UnsettledError: if it was, or may have been.
    """
    try:
        part.require_unchanged()
    except SourceChangedError as error:
        raise UnsettledError(f"{error}: what Avala has of these lines may be a mixture") from error


def stated_count(answer: Any) -> int | None:
    """How many items an answer says were accepted, if it says so under a key we know.

    :param answer: decoded JSON.
    """
    if not isinstance(answer, Mapping):
        return None
    values = (answer.get(key) for key in _COUNT_KEYS)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)


def outcome_unknown(error: BaseException) -> bool:
    """Whether Avala may have stored rows of a part although sending it raised ``error``.

    :param error: what ``send`` raised; anything unexpected counts as unknown.
    """
    if isinstance(error, AvalaConnectionError):
        return error.sent
    if isinstance(error, AvalaServerError | AvalaProtocolError | CountError | UnsettledError):
        return True
    return not isinstance(error, AvalaError | SourceChangedError | AbortedError)


class StoredTotal:
    """Tells by the dataset's total whether a part was stored.

    That is sound only as long as nobody else adds to the dataset or removes from it, and one part at a time is sent.
    A server that stores a part long after the client has left, and after all looks at the total, defeats it.

    :param total: asks for the number of items in the dataset.
    :param journal: of the upload; it remembers the total from before.
    :param clock: the time to live by.
    """

    def __init__(self, total: Callable[[], int], journal: Journal, clock: Clock) -> None:
        self._total, self._journal, self._clock = total, journal, clock

    def prepare(self) -> None:
        """Note the total from before, unless an earlier attempt did."""
        if self._journal.total_before is None:
            self._journal.note_total(self._total())

    def includes(self, part: Part, *, patient: bool) -> bool:
        """Whether a part of unknown outcome was stored.

        :param part: the part; all parts before it were accepted.
        :param patient: whether the server may still be at it, so that one look is not enough.
        :raises UnsettledError: if the total is neither that with the part nor that without it, or cannot be had.
        """
        without = (self._journal.total_before or 0) + self._journal.accepted_items
        for look in range(_LOOKS if patient else 1):
            if look:
                self._clock.sleep(_BETWEEN_LOOKS)
            try:
                total = self._total()
            except AvalaError as error:
                raise UnsettledError(f"whether the part was stored cannot be asked: {error}") from error
            if total == without + part.items:
                return True
            if total != without:
                raise UnsettledError(
                    f"the dataset holds {total} items, where {without} or {without + part.items} were expected:"
                    " somebody else writes to it, so its total does not tell whether the part was stored"
                )
        return False
