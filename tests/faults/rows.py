"""The rows of the fault matrix: what can go wrong on the way to an answer."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

from airflow_provider_avala.emulator import faults
from airflow_provider_avala.emulator.faults import Fault
from tests.faults.bench import Bench, DrivenClock

_NO_HINTS = dict.fromkeys(
    ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"), None
)
#: A body that is none of Avala's.
FOREIGN = {"hello": "world"}
_DOC = "https://docs.avala.ai/api/errors#"


def _throttled_until(bench: Bench) -> Fault:
    return faults.status(
        429, headers=_NO_HINTS | {"Retry-After": formatdate(DrivenClock.time() + 2, usegmt=True)}
    )


def _forbidden(code: str, words: str) -> Fault:
    return faults.status(403, {"detail": words, "code": code, "doc_url": _DOC + code})


def _always(fault: Fault) -> Callable[[Bench], Fault]:
    return lambda bench: fault


#: None stands for a connection that is refused, of which no server knows.
ROWS: dict[str, Callable[[Bench], Fault | None]] = {
    "429 with seconds": _always(faults.status(429, headers=_NO_HINTS | {"Retry-After": "1"})),
    "429 with a date": _throttled_until,
    "429 without headers": _always(faults.status(429, headers=_NO_HINTS)),
    "408": _always(faults.status(408)),
    "500": _always(faults.status(500)),
    "502, an HTML page": _always(faults.html(502)),
    "503": _always(faults.status(503)),
    "503 after the commit": _always(faults.status(503, after_commit=True)),
    "connection refused": lambda bench: None,
    "reset before the commit": _always(faults.reset_before_commit()),
    "reset after the commit": _always(faults.reset_after_commit()),
    "silence before the commit": _always(faults.hang_before_commit()),
    "silence after the commit": _always(faults.hang_after_commit()),
    "truncated answer": _always(faults.truncated()),
    "invalid JSON": _always(faults.bad_json()),
    "wrong envelope": _always(faults.status(200, FOREIGN, after_commit=True)),
    "empty body": _always(faults.empty_body()),
    "redirect to another host": lambda bench: faults.redirect(f"{bench.elsewhere.url}/there/"),
    "redirect on the same host": lambda bench: faults.redirect(f"{bench.avala.base_url}/there/"),
    "401": _always(faults.status(401)),
    "403": _always(faults.status(403)),
    "403 plan_insufficient": _always(_forbidden("plan_insufficient", "This needs the PRO plan.")),
    "403 scope_required": _always(_forbidden("scope_required", "API key requires 'exports.write' scope.")),
    "404": _always(faults.status(404)),
    "409": _always(faults.status(409)),
    "413": _always(faults.status(413)),
    "422": _always(faults.status(422)),
}
