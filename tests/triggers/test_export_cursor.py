"""What has finished since the last look at the list of exports: nothing twice, nothing missed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.models import Export
from airflow_provider_avala.triggers import export_cursor as module
from airflow_provider_avala.triggers.export_cursor import Cursor, advanced, first_cursor, pause_after, targets

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PAGE = 3


def export(name: str, minutes: float | None = 0, status: str = "processing") -> Export:
    created = None if minutes is None else NOON + timedelta(minutes=minutes)
    return Export(id=name, name=name, status=status, created_at=created)


def anything(export: Export) -> bool:
    return True


def ids(exports: Iterable[Export]) -> list[str]:
    return [each.id for each in exports]


class Account:
    """A list of exports, newest first, read as deep as a cursor needs."""

    def __init__(self) -> None:
        self.exports: list[Export] = []
        self.pages_read = 0

    def create(self, minutes: float | None, status: str = "processing") -> None:
        self.exports.insert(0, export(f"e{len(self.exports)}", minutes, status))

    def finish(self, number: int, status: str = "exported") -> None:
        place = len(self.exports) - 1 - number
        self.exports[place] = replace(self.exports[place], status=status)

    def look(self, cursor: Cursor | None) -> tuple[list[str], Cursor]:
        if cursor is None:
            return [], first_cursor(self.exports[:PAGE], anything)
        listed: list[Export] = []
        for begin in range(0, len(self.exports), PAGE):
            page = self.exports[begin : begin + PAGE]
            listed += page
            self.pages_read += 1
            if cursor.is_reached_by(page):
                break
        known = {each.id: each for each in self.exports}
        asked = {one: known.get(one) for one in cursor.to_ask(listed)}
        finished, after = advanced(cursor, listed, asked, anything)
        return ids(finished), after


def test_what_had_finished_before_the_first_look_is_history() -> None:
    account = Account()
    for minutes in range(10):
        account.create(minutes, "exported")
    _, cursor = account.look(None)
    assert account.look(cursor) == ([], cursor)


def test_the_first_export_of_an_account_is_news() -> None:
    account = Account()
    _, cursor = account.look(None)
    account.create(0, "exported")
    finished, cursor = account.look(cursor)
    assert finished == ["e0"]
    assert account.look(cursor)[0] == []


def test_one_that_began_earlier_and_finished_later_is_news_after_the_other() -> None:
    account = Account()
    account.create(0)
    _, cursor = account.look(None)
    account.create(60)
    account.finish(1)
    finished, cursor = account.look(cursor)
    assert finished == ["e1"]
    account.finish(0)
    assert account.look(cursor)[0] == ["e0"]


def test_one_that_turns_up_late_in_the_list_is_news_all_the_same() -> None:
    account = Account()
    _, cursor = account.look(None)
    account.create(10, "exported")
    _, cursor = account.look(cursor)
    account.exports.append(export("late", 10 - 4, "exported"))
    assert account.look(cursor)[0] == ["late"]


def test_one_that_runs_far_below_in_the_list_is_asked_for() -> None:
    account = Account()
    account.create(0)
    _, cursor = account.look(None)
    for number in range(1, 50):
        account.create(60.0 * number, "exported")
    finished, cursor = account.look(cursor)
    assert len(finished) == 49
    account.pages_read = 0
    account.finish(0)
    assert account.look(cursor)[0] == ["e0"]
    assert account.pages_read == 1


def test_those_that_are_asked_for_take_turns() -> None:
    stuck = [export(f"stuck{number}") for number in range(25)]
    _, cursor = advanced(Cursor(), stuck, {}, anything)
    asked: list[str] = []
    for _ in range(3):
        turn = cursor.to_ask([])
        asked += turn
        _, cursor = advanced(cursor, [], {one: export(one) for one in turn}, anything)
    assert sorted(asked[:25]) == sorted(ids(stuck))


def test_one_that_is_gone_is_forgotten_and_one_that_could_not_be_asked_for_is_not() -> None:
    cursor = Cursor(NOON, running=("gone", "unreachable"))
    _, after = advanced(cursor, [], {"gone": None}, anything)
    assert after.running == ("unreachable",)


def test_a_list_that_says_nothing_about_the_status_is_not_believed() -> None:
    _, cursor = advanced(Cursor(), [export("silent", status="")], {}, anything)
    assert cursor.to_ask([export("silent", status="")]) == ["silent"]
    finished, _ = advanced(
        cursor, [export("silent", status="")], {"silent": export("silent", 0, "exported")}, anything
    )
    assert ids(finished) == ["silent"]


def test_at_first_what_has_no_status_is_taken_for_history() -> None:
    assert first_cursor([export("silent", status="")], anything).running == ()


def test_what_is_of_no_interest_is_not_remembered_as_running() -> None:
    _, cursor = advanced(Cursor(), [export("a"), export("b")], {}, lambda each: each.id == "a")
    assert cursor.running == ("a",)
    assert first_cursor([export("a"), export("b")], lambda each: each.id == "a").running == ("a",)


def test_the_cursor_does_not_grow_with_the_list() -> None:
    account = Account()
    _, cursor = account.look(None)
    for number in range(300):
        account.create(number, "exported")
        _, cursor = account.look(cursor)
    assert len(json.dumps(cursor.as_json())) < 200


def test_exports_without_a_date_are_told_by_their_place_in_the_list() -> None:
    account = Account()
    for _ in range(5):
        account.create(None, "exported")
    account.create(None)
    _, cursor = account.look(None)
    account.create(None, "exported")
    finished, cursor = account.look(cursor)
    assert finished == ["e6"]
    account.finish(5)
    assert account.look(cursor)[0] == ["e5"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["create", "finish", "look", "restart"]), st.integers(0, 30)), max_size=60
    ),
    st.booleans(),
)
def test_every_end_after_the_first_look_is_told_once(steps: list[tuple[str, int]], dated: bool) -> None:
    account, minutes = Account(), 0.0
    for _ in range(2):
        account.create(0 if dated else None)
    _, cursor = account.look(None)
    told: list[str] = []
    due: list[str] = []
    for step, number in [*steps, *[("look", 4)] * 13]:
        if step == "create":
            minutes += number
            account.create(minutes if dated else None)
        elif step == "finish" and number < len(account.exports) and f"e{number}" not in due:
            account.finish(number)
            due.append(f"e{number}")
        elif step == "look":
            finished, after = account.look(cursor)
            if len(finished) > number % 5 + 1:  # only some of them are told
                finished = finished[: number % 5 + 1]
                after = cursor.after(export(one) for one in finished)
            told, cursor = told + finished, after
        elif step == "restart":
            restored = Cursor.from_json(json.loads(json.dumps(cursor.as_json())))
            assert restored == cursor
            cursor = restored
    assert sorted(told) == sorted(due)


@pytest.mark.parametrize("value", [None, "text", 5, [], {}, {"since": "noon", "known": [], "running": []}])
def test_what_is_no_cursor_is_not_read_as_one(value: Any) -> None:
    assert Cursor.from_json(value) is None


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({"projects": ["a", "b"]}, {"a", "b"}),
        ({"projects": [{"uid": "a"}, {"id": 7}]}, {"a", "7"}),
        ({"project": "a"}, {"a"}),
        ({"project": {"uid": "a"}, "projects": []}, {"a"}),
        ({"project_id": "a"}, {"a"}),
        ({"projects": None}, set()),
        ({"projects": []}, set()),
        ({"datasets": ["a"]}, None),
    ],
)
def test_the_targets_of_an_export_are_found_in_every_shape(
    raw: dict[str, Any], found: set[str] | None
) -> None:
    assert targets(Export(id="e", raw=raw), "project") == found


@pytest.mark.parametrize(
    ("failures", "fatal", "seconds"),
    [
        (1, False, 60),
        (2, False, 120),
        (3, False, 240),
        (4, False, module.LONGEST_PAUSE),
        (10_000, False, module.LONGEST_PAUSE),
        (1, True, 60),
        (2, True, module.LONGEST_PAUSE_FATAL),
        (9, True, module.LONGEST_PAUSE_FATAL),
    ],
)
def test_pauses_grow_and_are_longest_where_somebody_has_to_help(
    failures: int, fatal: bool, seconds: float
) -> None:
    assert pause_after(failures, 60, fatal, 0.5) == seconds
    assert pause_after(failures, 60, fatal, 0) == pytest.approx(0.75 * seconds)
    assert pause_after(failures, 60, fatal, 1) == pytest.approx(1.25 * seconds)


@pytest.mark.parametrize("fatal", [True, False])
def test_a_pause_is_never_shorter_than_the_interval(fatal: bool) -> None:
    assert pause_after(3, 3600, fatal, 0.5) == 3600
