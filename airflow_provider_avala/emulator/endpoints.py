"""What one endpoint takes and gives. Its handler sees a checked body and returns plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from airflow_provider_avala.emulator.schema import Field, Shape


@dataclass
class Call:
    """One request, as handlers see it.

    :param params: what the placeholders of the path stand for, percent-decoded.
    :param query: the last value of each query parameter.
    :param body: the checked body where the endpoint has one; else the JSON that came, ``{}`` for nothing.
    """

    request: Request
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None

    @property
    def origin(self) -> str:
        """Scheme and host that the client used, for URLs that lead back here."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Endpoint:
    """One method on one path.

    :param path: below the base URL, without a trailing slash.
    :param handler: returns what ``gives`` says, or a response of its own; it may be a coroutine function.
    :param summary: for the schema.
    :param scope: what a key needs.
    :param takes: the body, checked before the handler sees it; None for no body, or one that the handler reads;
        a callable where settings decide.
    :param partial: only what was sent is checked and handed over (PATCH).
    :param gives: what the answer shows; None for no body, or for JSON without a schema.
    :param form: ``one``, ``cursor``, ``numbered``, ``array``, ``nothing`` (204) or ``free``: any JSON, or a response
        that the handler made.
    :param status: of success.
    :param items: where the body is an array: the shape of its elements, checked by the handler.
    :param file: media type of the answer, where it is a file.
    :param query: further query parameters.
    :param raw: the handler reads the body itself; it may be of any media type.
    :param anonymous: no key is needed.
    """

    method: str
    path: str
    handler: Handler
    summary: str = ""
    scope: str | None = None
    takes: Shape | Callable[[], Shape] | None = None
    partial: bool = False
    gives: Shape | None = None
    form: str = "one"
    status: int = 200
    query: Mapping[str, Field] = field(default_factory=dict)
    items: Shape | None = None
    file: str | None = None
    raw: bool = False
    anonymous: bool = False

    @property
    def status_shown(self) -> int:
        """The status of success."""
        return 204 if self.form == "nothing" else self.status

    @property
    def body(self) -> Shape | None:
        """The shape of the body by now."""
        return self.takes() if callable(self.takes) else self.takes
