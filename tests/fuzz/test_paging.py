"""Lists whose pages point anywhere, and never end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count, islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api import pagination
from airflow_provider_avala.api.envelopes import Page
from airflow_provider_avala.api.errors import AvalaError, AvalaProtocolError
from airflow_provider_avala.api.pagination import MOST_EMPTY_PAGES, pages
from airflow_provider_avala.api.transport import Answer
from tests.fuzz.hostile import TEXTS, URLS, bodies, bounded, outcome

BASE = "http://127.0.0.1:1/api/v1"


class Script:
    """Answers with one body after the other, the last one again and again."""

    def __init__(self, answers: Iterator[bytes]) -> None:
        self.answers, self.asked = answers, 0

    def fetch(self, url: str, params: Mapping[str, Any] | None) -> Answer:
        self.asked += 1
        return Answer(200, {}, next(self.answers), "GET /exports/")

    def walk(self, most: int | None = None) -> list[Page]:
        return list(islice(pages(self.fetch, BASE, "/exports/", {}), most))


@bounded
@given(st.lists(bodies(), min_size=1, max_size=4))
def test_a_walk_ends_with_the_list_or_with_an_error(answers: list[bytes]) -> None:
    script = Script(iter([*answers, b"{}"]))
    outcome(script.walk, AvalaProtocolError)
    assert script.asked <= len(answers) + 1


@pytest.mark.parametrize("field", ["next", "cursor"])
@pytest.mark.parametrize("value", URLS + TEXTS)
def test_a_next_page_of_any_name_is_asked_for_or_refused(field: str, value: str) -> None:
    import json

    body = json.dumps({"results": [{"uid": "a"}], field: value}).encode()
    outcome(Script(iter([body, b'{"results": []}', b'{"results": []}'])).walk, AvalaError)


def endless(items: str) -> Iterator[bytes]:
    return (b'{"items": [%s], "has_more": true, "cursor": "c%d"}' % (items.encode(), n) for n in count())


def test_a_list_that_goes_on_without_showing_anything_is_given_up() -> None:
    script = Script(endless(""))
    with pytest.raises(AvalaProtocolError, match="does not seem to end"):
        script.walk()
    assert script.asked == MOST_EMPTY_PAGES + 1


def test_a_list_of_more_pages_than_there_can_be_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "MOST_PAGES", 500)
    script = Script(endless('{"uid": "a"}'))
    with pytest.raises(AvalaProtocolError, match="after 500 pages"):
        script.walk()


def test_pages_without_anything_in_between_do_not_end_a_list() -> None:
    empty = islice(endless(""), MOST_EMPTY_PAGES)
    last = b'{"items": [{"uid": "a"}], "has_more": false, "cursor": null}'
    found = Script(iter([*empty, last])).walk()
    assert [page.items for page in found if page.items] == [[{"uid": "a"}]]


def test_what_is_not_asked_for_is_not_read() -> None:
    script = Script(endless('{"uid": "a"}'))
    assert len(partial(script.walk, 3)()) == 3
    assert script.asked == 3
