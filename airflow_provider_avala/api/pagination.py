"""Walking through the pages of a list, in either generation's manner, without ever walking in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from airflow_provider_avala.api.envelopes import Page, UnknownEnvelopeError, read_page
from airflow_provider_avala.api.errors import AvalaProtocolError
from airflow_provider_avala.api.transport import Answer

#: Resources asked for on one page: the API's own default, and what it advises for batch work.
PAGE_SIZE = 100
#: A list with more pages than this, or with more empty ones in a row, is taken for one without end.
MOST_PAGES, MOST_EMPTY_PAGES = 100_000, 100

Fetch = Callable[[str, Mapping[str, Any] | None], Answer]


def pages(fetch: Fetch, base_url: str, path: str, params: Mapping[str, Any]) -> Iterator[Page]:
    """Fetch page after page until the list ends.

    ``next`` is followed as it stands, because it carries filters and cursor; ``cursor`` is sent along with the same
    parameters as before.

    :param fetch: gets a path or an absolute URL with the given parameters.
    :param base_url: base URL of the API, against which a relative ``next`` is read.
    :param path: path of the list below the base URL.
    :param params: query parameters of the first page.
    :raises AvalaProtocolError: if a page has an unknown shape, has been asked for before, or is one of too many.
    """
    params = {"limit": PAGE_SIZE, **params}
    url, query = path, params
    seen = {_identity(base_url + path, params)}
    empty = 0
    while True:
        answer = fetch(url, query or None)
        try:
            page = read_page(answer.json())
        except UnknownEnvelopeError as error:
            raise AvalaProtocolError(f"{answer.request} answered with no page of a list: {error}") from None
        yield page
        empty = 0 if page.items else empty + 1
        if page.next_url:
            url, query = _resolved(base_url + path, page.next_url, answer), {}
        elif page.cursor:
            url, query = path, {**params, "cursor": page.cursor}
        else:
            return
        try:
            identity = _identity(url if page.next_url else base_url + url, query)
        except ValueError:  # no URL, or half a character in it
            raise AvalaProtocolError(
                f"{answer.request} names a next page by what cannot be part of a URL"
            ) from None
        if identity in seen:
            raise AvalaProtocolError(
                f"{answer.request} names a page as the next one that was read already: the list would never end"
            )
        seen.add(identity)
        if len(seen) > MOST_PAGES or empty > MOST_EMPTY_PAGES:
            raise AvalaProtocolError(
                f"{answer.request} names a next page after {len(seen) - 1} pages, the last {empty} of them without"
                " anything: the list does not seem to end"
            )


def _resolved(base: str, next_url: str, answer: Answer) -> str:
    try:
        return urljoin(base, next_url)
    except ValueError:
        raise AvalaProtocolError(f"{answer.request} names a next page by what is no URL") from None


def _identity(url: str, params: Mapping[str, Any]) -> tuple[str, str]:
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True) + parse_qsl(urlencode(params, doseq=True))
    return parts.path.rstrip("/"), urlencode(sorted(query))
