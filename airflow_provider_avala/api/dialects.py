"""The two documented generations of the API, as far as they differ in what we send.

``current`` is the API at api.avala.ai (``/docs/api``), ``legacy`` the REST guide of server.avala.ai. What the server
sends is recognised by its shape, whatever the dialect: see :mod:`.envelopes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from airflow_provider_avala.api.errors import AvalaConfigurationError

#: Names of exports that the current API accepts have at most this many characters.
MAX_NAME = 255


@dataclass(frozen=True)
class ExportRequest:
    """An export to be created, before it is written in a dialect.

    :param projects: ids of the projects to export.
    :param datasets: ids of the datasets to export.
    :param slices: ids of the slices to export.
    :param export_format: the API's name of the format, for example ``json``.
    :param name: name of the export; the current dialect only.
    :param payload: a body that replaces all of the above.
    """

    projects: Sequence[str] = ()
    datasets: Sequence[str] = ()
    slices: Sequence[str] = ()
    export_format: str = "json"
    name: str = ""
    payload: Mapping[str, Any] | None = None


class Dialect:
    """How requests are written; see :data:`CURRENT` and :data:`LEGACY`."""

    name: str
    #: Whether an export has a name by which it can be found again.
    names_exports: bool

    def path(self, endpoint: str) -> str:
        """The path of an endpoint below the base URL, with or without the slash at its end.

        :param endpoint: a relative endpoint such as ``/datasets/``, with or without slashes.
        :raises AvalaConfigurationError: if it is not relative, or leaves the API.
        """
        raise NotImplementedError

    def export_body(self, request: ExportRequest) -> dict[str, Any]:
        """The body that creates an export.

        :param request: what to export.
        :raises AvalaConfigurationError: if the dialect cannot express it.
        """
        raise NotImplementedError


class _Current(Dialect):
    """The API at api.avala.ai: slash at the end, uid, ``{name, format, projects, datasets, slices}``."""

    name = "current"
    names_exports = True

    def path(self, endpoint: str) -> str:
        """See :meth:`Dialect.path`."""
        return f"{_clean(endpoint)}/"

    def export_body(self, request: ExportRequest) -> dict[str, Any]:
        """See :meth:`Dialect.export_body`."""
        if request.payload is not None:
            return _checked_payload(request.payload)
        _check_target(request)
        body: dict[str, Any] = {
            "name": request.name,
            "format": request.export_format,
            "projects": list(request.projects),
            "datasets": list(request.datasets),
            "slices": list(request.slices),
        }
        # The documents disagree on which key the backend reads; it ignores those it does not know.
        if len(request.projects) == 1:
            body["project"] = request.projects[0]
        if len(request.datasets) == 1:
            body["dataset"] = request.datasets[0]
        return body


class _Legacy(Dialect):
    """The REST guide of server.avala.ai: no slash at the end, id, ``{project_id, format}``."""

    name = "legacy"
    names_exports = False

    def path(self, endpoint: str) -> str:
        """See :meth:`Dialect.path`."""
        return _clean(endpoint)

    def export_body(self, request: ExportRequest) -> dict[str, Any]:
        """See :meth:`Dialect.export_body`."""
        if request.payload is not None:
            return _checked_payload(request.payload)
        _check_target(request)
        if request.datasets or request.slices or len(request.projects) != 1:
            raise AvalaConfigurationError(
                "project_id: the legacy API exports exactly one project; give project_id alone,"
                " or write the body yourself with payload"
            )
        return {"project_id": request.projects[0], "format": request.export_format}


CURRENT: Dialect = _Current()
LEGACY: Dialect = _Legacy()


def other(dialect: Dialect) -> Dialect:
    """The dialect that this one is not.

    :param dialect: one of the two.
    """
    return LEGACY if dialect is CURRENT else CURRENT


def segment(value: str, field: str) -> str:
    """Percent-encode an id so that it is exactly one segment of a path.

    :param value: the id.
    :param field: the argument's name, for the error.
    :raises AvalaConfigurationError: if it cannot be one.
    """
    if not isinstance(value, str) or not value.strip() or value == "None":  # what a template makes of nothing
        raise AvalaConfigurationError(f"{field}: {value!r} is not an id; give the id as text")
    if _climbs(value):
        raise AvalaConfigurationError(f"{field}: {value!r} is not an id but a path")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise AvalaConfigurationError(f"{field}: {value!r} is not an id: it holds half a character") from None


def _climbs(text: str) -> bool:
    """Whether a server that decodes before it splits would find a step to another folder in it."""
    return not {".", ".."}.isdisjoint(re.split(r"[/\\]", text))


def wished_name(value: Any) -> str:
    """The name that somebody wishes for an export, or empty.

    :param value: the name, or None.
    :raises AvalaConfigurationError: if it is no text.
    """
    if value is not None and not isinstance(value, str):
        raise AvalaConfigurationError(f"name: {value!r} is no text; give the name as text")
    return (value or "").strip()


def _checked_payload(payload: Any) -> dict[str, Any]:
    if not isinstance(payload, Mapping):
        raise AvalaConfigurationError(
            f"payload: a {type(payload).__name__} is no JSON object; give a dict (a template makes text of one, unless"
            " its DAG has render_template_as_native_obj=True)"
        )
    return dict(payload)


def _check_target(request: ExportRequest) -> None:
    if not (request.projects or request.datasets or request.slices):
        raise AvalaConfigurationError(
            "project_id: nothing to export; give project_id, dataset_id or slice_id, or a payload"
        )
    if not isinstance(request.export_format, str):
        raise AvalaConfigurationError(
            f"export_format: {request.export_format!r} is no text, for example 'json'"
        )
    if not request.export_format:
        raise AvalaConfigurationError("export_format: must not be empty, for example 'json'")
    if len(request.name) > MAX_NAME:
        raise AvalaConfigurationError(f"name: {len(request.name)} characters, at most {MAX_NAME} are allowed")


def _clean(endpoint: str) -> str:
    stripped = endpoint.strip().strip("/") if isinstance(endpoint, str) else ""
    if not stripped:
        raise AvalaConfigurationError(f"endpoint: {endpoint!r} names no resource, for example '/datasets/'")
    if "?" in stripped or "#" in stripped:
        shown = re.split(r"[?#]", stripped)[0]
        raise AvalaConfigurationError(f"endpoint: {shown!r} must not contain a query; pass it as params")
    if "://" in stripped or "\\" in stripped or not stripped.isprintable():
        raise AvalaConfigurationError("endpoint: must be relative to the base URL, for example '/datasets/'")
    parts = stripped.split("/")
    if any(not part.strip() or _climbs(unquote(part)) for part in parts):
        raise AvalaConfigurationError(f"endpoint: {endpoint!r} has an empty, '.' or '..' segment")
    return "/" + "/".join(parts)
