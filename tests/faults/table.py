"""The fault matrix: for every fault and everything that is being done, what the user gets.

Two tables: the fault hits one request, and the fault lasts. Each row says what happens everywhere, and then where
something else does. :mod:`.test_matrix` checks every cell, :mod:`.write_table` turns it into ``docs/faults.md``.
"""

from __future__ import annotations

from tests.faults.outcomes import AS_IT_IS, RECOVERS, WAITS, accepts, fails, later, look, says

COLUMNS = {
    "get": "hook.run GET",
    "post": "hook.run POST",
    "pages": "hook.paginate",
    "export": "create export",
    "poke": "sensor (poke)",
    "reschedule": "sensor (reschedule)",
    "deferrable": "sensor (deferrable)",
    "trigger": "trigger",
    "items": "upload items",
    "bytes": "managed upload (bytes)",
    "dataset": "managed upload (dataset)",
    "download": "download",
    "test": "test_connection",
}
_WAITING = ("poke", "reschedule", "deferrable", "trigger")

Row = dict[str, str]


def _row(everywhere: str, *, waiting: str = "", **elsewhere: str) -> Row:
    cells = dict.fromkeys(COLUMNS, everywhere) | (dict.fromkeys(_WAITING, waiting) if waiting else {})
    assert elsewhere.keys() <= cells.keys()
    return {COLUMNS[key]: cell for key, cell in (cells | elsewhere).items()}


BROKEN = later("AvalaConnectionError")
FOREIGN = later("AvalaProtocolError")
STORAGE, DOWNLOAD, UPLOAD = later("AvalaStorageError"), later("AvalaDownloadError"), later("AvalaUploadError")
REDIRECT = later("AvalaApiError")

THROTTLED, FAULTY = says("rate limit is used up"), says("has a fault at the moment")
UNREACHABLE, NOT_AVALA = says("cannot be reached"), says("is not Avala")
WRONG_URL = says("is not the base URL of the API")


def _refused(error: str, *, said: str, bytes: str = STORAGE, download: str = RECOVERS) -> Row:
    """An error that no retry can mend. Only a storage's refusal may be that of an address that has run out."""
    return _row(fails(error), items=fails("AvalaUploadError"), bytes=bytes, download=download, test=said)


def _refusals(**storage: str) -> dict[str, Row]:
    denied = {"bytes": RECOVERS, **storage}
    return {
        "401": _refused("AvalaAuthenticationError", said=says("refuses the key"), **storage),
        "403": _refused("AvalaPermissionError", said=accepts("may not list datasets"), **denied),
        "403 plan_insufficient": _refused(
            "AvalaPermissionError", said=accepts("may not list datasets: This needs the PRO plan"), **denied
        ),
        "403 scope_required": _refused(
            "AvalaPermissionError",
            said=accepts("may not list datasets: API key requires 'exports.write' scope"),
            **denied,
        ),
        "404": _refused("AvalaNotFoundError", said=says("There is no Avala API at"), **storage),
        "409": _refused("AvalaConflictError", said=says("409 Conflict"), **storage),
        "413": _refused("AvalaPayloadTooLargeError", said=says("413 "), **storage),
        "422": _refused("AvalaValidationError", said=says("422 "), **storage),
    }


def _lost(error: str, *, said: str, **elsewhere: str) -> Row:
    """Nobody knows whether it was done: found out, or sent again where that can double nothing."""
    return _row(RECOVERS, post=look(error), test=said, **elsewhere)


#: The fault hits one request, and the next one is answered as usual.
ONCE: dict[str, Row] = {
    "429 with seconds": _row(RECOVERS, test=THROTTLED),
    "429 with a date": _row(RECOVERS, test=THROTTLED),
    "429 without headers": _row(RECOVERS, test=THROTTLED),
    "408": _row(RECOVERS, test=says("408 Request Timeout")),
    "500": _lost("AvalaServerError", said=FAULTY),
    "502, an HTML page": _lost("AvalaServerError", said=FAULTY),
    "503": _lost("AvalaServerError", said=FAULTY),
    "503 after the commit": _lost("AvalaServerError", said=FAULTY),
    "connection refused": _row(RECOVERS, test=UNREACHABLE),
    "reset before the commit": _lost("AvalaConnectionError", said=UNREACHABLE),
    "reset after the commit": _lost("AvalaConnectionError", said=UNREACHABLE),
    # Who kept silent may yet act: only later does a look at the exports tell.
    "silence before the commit": _lost("AvalaConnectionError", said=UNREACHABLE, export=BROKEN),
    "silence after the commit": _lost("AvalaConnectionError", said=UNREACHABLE),
    "truncated answer": _lost("AvalaConnectionError", said=UNREACHABLE),
    "invalid JSON": _lost(
        "AvalaProtocolError", said=NOT_AVALA, get=FOREIGN, pages=FOREIGN, items=UPLOAD, download=DOWNLOAD
    ),
    "wrong envelope": _row(
        RECOVERS, get=AS_IT_IS, post=AS_IT_IS, pages=FOREIGN, download=DOWNLOAD, test=NOT_AVALA
    ),
    "empty body": _row(
        RECOVERS, get=AS_IT_IS, post=AS_IT_IS, pages=FOREIGN, download=DOWNLOAD, test=NOT_AVALA
    ),
    "redirect to another host": _row(
        REDIRECT, items=UPLOAD, bytes=STORAGE, download=RECOVERS, test=WRONG_URL
    ),
    "redirect on the same host": _row(
        REDIRECT, items=UPLOAD, bytes=STORAGE, download=RECOVERS, test=WRONG_URL
    ),
    **_refusals(),
}


def _lasting(error: str, *, said: str, **elsewhere: str) -> Row:
    """It is tried until the time for retries is over; what waits goes on waiting."""
    usual = {"waiting": WAITS, "items": UPLOAD, "bytes": STORAGE, "download": DOWNLOAD, "test": said}
    return _row(error, **usual | elsewhere)


def _lost_for_good(error: str, *, said: str, **elsewhere: str) -> Row:
    """Every answer is lost, and nothing was done."""
    return _lasting(later(error), said=said, **{"post": look(error)} | elsewhere)


def _done_in_silence(error: str, *, said: str, **elsewhere: str) -> Row:
    """Every answer is lost, and all was done: what can be looked up is found."""
    found = {"export": RECOVERS, "bytes": RECOVERS, "dataset": RECOVERS}
    return _lost_for_good(error, said=said, **found | elsewhere)


#: The fault hits every request, for longer than requests are retried.
LASTS: dict[str, Row] = {
    "429 with seconds": _lasting(
        later("AvalaRateLimitError"), said=THROTTLED, export=later("AvalaTimeoutError")
    ),
    "429 with a date": _lasting(
        later("AvalaRateLimitError"), said=THROTTLED, export=later("AvalaTimeoutError")
    ),
    "429 without headers": _lasting(
        later("AvalaRateLimitError"), said=THROTTLED, export=later("AvalaTimeoutError")
    ),
    "408": _lasting(later("AvalaApiError"), said=says("408 Request Timeout")),
    "500": _lost_for_good("AvalaServerError", said=FAULTY),
    "502, an HTML page": _lost_for_good("AvalaServerError", said=FAULTY),
    "503": _lost_for_good("AvalaServerError", said=FAULTY),
    "503 after the commit": _done_in_silence("AvalaServerError", said=FAULTY),
    "connection refused": _lasting(BROKEN, said=UNREACHABLE, items=BROKEN),
    "reset before the commit": _lost_for_good("AvalaConnectionError", said=UNREACHABLE),
    "reset after the commit": _done_in_silence("AvalaConnectionError", said=UNREACHABLE),
    "silence before the commit": _lost_for_good("AvalaConnectionError", said=UNREACHABLE),
    "silence after the commit": _done_in_silence("AvalaConnectionError", said=UNREACHABLE),
    "truncated answer": _done_in_silence("AvalaConnectionError", said=UNREACHABLE),
    "invalid JSON": _done_in_silence("AvalaProtocolError", said=NOT_AVALA),
    "wrong envelope": _done_in_silence(
        "AvalaProtocolError", said=NOT_AVALA, get=AS_IT_IS, post=AS_IT_IS, items=RECOVERS
    ),
    "empty body": _done_in_silence(
        "AvalaProtocolError", said=NOT_AVALA, get=AS_IT_IS, post=AS_IT_IS, items=RECOVERS
    ),
    "redirect to another host": _lasting(REDIRECT, said=WRONG_URL, waiting=REDIRECT),
    "redirect on the same host": _lasting(REDIRECT, said=WRONG_URL, waiting=REDIRECT),
    **_refusals(bytes=STORAGE, download=DOWNLOAD),
}
