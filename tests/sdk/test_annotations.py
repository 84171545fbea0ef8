"""Slices, and what annotators and reviewers leave: issues, their metrics, bulk editions."""

from __future__ import annotations

import avala.errors
import pytest

from airflow_provider_avala.emulator import SEED_OWNER, SEED_PROJECT_ID
from tests.sdk.facade import covers


@covers("slices.create", "slices.get", "slices.get_item", "slices.list", "slices.list_items")
def test_a_slice_has_the_items_of_its_datasets(sdk, control):
    rows = [{"key": "a.jpg"}, {"key": "b.jpg"}]
    [dataset] = control.plant(datasets=[{"name": "D", "slug": "d", "rows": rows}])["datasets"]
    made = sdk.slices.create(name="Best of D", visibility="private", sub_slices=[{"dataset_uid": dataset}])
    assert (made.name, made.slug, made.owner_name, made.visibility) == (
        "Best of D",
        "best-of-d",
        SEED_OWNER,
        "private",
    )
    assert made.item_count == 2
    assert sdk.slices.get(SEED_OWNER, "best-of-d").uid == made.uid
    assert [row.name for row in sdk.slices.list(SEED_OWNER)] == ["Best of D", "Seed slice"]
    assert len(sdk.slices.list(SEED_OWNER, limit=1)) == 1
    items = list(sdk.slices.list_items(SEED_OWNER, "best-of-d"))
    assert sorted(item.key for item in items) == ["a.jpg", "b.jpg"]
    one = sdk.slices.get_item(SEED_OWNER, "best-of-d", items[0].uid)
    assert (one.key, one.dataset) == (items[0].key, dataset)
    few = sdk.slices.create(
        name="One of D", visibility="public", sub_slices=[{"dataset_uid": dataset}], random_selection_count=1
    )
    assert few.item_count == 1
    with pytest.raises(avala.errors.ValidationError):
        sdk.slices.create(name="Nothing", visibility="private", sub_slices=[{"dataset_uid": "gone"}])


@covers(
    "annotation_issues.create",
    "annotation_issues.delete",
    "annotation_issues.get_metrics",
    "annotation_issues.list_by_dataset",
    "annotation_issues.list_by_sequence",
    "annotation_issues.list_tools",
    "annotation_issues.update",
)
def test_an_annotation_issue_is_reported_resolved_and_deleted(sdk, control):
    first, second = control.plant(
        datasets=[{"name": "L", "slug": "l", "data_type": "lidar"}],
        sequences=[{"dataset": "l", "key": "s1"}, {"dataset": "l", "key": "s2"}],
    )["sequences"]
    issues = sdk.annotation_issues
    [tool] = issues.list_tools(dataset_type="lidar")
    assert (tool.dataset_type, len(tool.problems)) == ("lidar", 2)
    made = issues.create(
        first,
        tool_uid=tool.uid,
        problem_uid=tool.problems[0].uid,
        project_uid=SEED_PROJECT_ID,
        priority="high",
        severity="low",
        description="turned round",
        frames_affected="3-5",
        coordinates=[1, 2.5],
        should_re_annotate=True,
        query_params={"frame": 3},
        object_uid="o1",
    )
    assert (made.sequence_uid, made.priority, made.severity, made.status) == (first, "high", "low", "open")
    assert (made.tool.name, made.problem.title) == (tool.name, tool.problems[0].title)
    assert (made.project.uid, made.coordinates, made.query_params) == (
        SEED_PROJECT_ID,
        [1, 2.5],
        {"frame": 3},
    )
    assert [row.uid for row in issues.list_by_sequence(first, project_uid=SEED_PROJECT_ID)] == [made.uid]
    assert issues.list_by_sequence(second) == []
    assert [row.uid for row in issues.list_by_dataset(SEED_OWNER, "l")] == [made.uid]
    assert issues.list_by_dataset(SEED_OWNER, "l", sequence_uid=second) == []
    closed = issues.update(
        first, made.uid, status="closed", problem_uid=tool.problems[1].uid, tool_uid=tool.uid
    )
    assert (closed.status, closed.problem.title, closed.description) == (
        "closed",
        tool.problems[1].title,
        "turned round",
    )
    assert closed.closed_at is not None
    metrics = issues.get_metrics(SEED_OWNER, "l")
    assert (metrics.status_count, metrics.priority_count) == ({"closed": 1}, {"high": 1})
    assert metrics.mean_seconds_close_time_all >= 0
    issues.delete(first, made.uid)
    assert issues.list_by_sequence(first) == []


@covers("annotations.bulk_edit")
def test_edits_go_up_in_chunks_and_a_bad_one_stops_them(sdk, control):
    [sequence] = control.plant(
        datasets=[{"name": "L", "slug": "l", "data_type": "lidar"}], sequences=[{"dataset": "l", "key": "s"}]
    )["sequences"]

    def edit(number, **fields):
        given = {
            "action": "upsert",
            "object_uuid": f"o{number}",
            "object_type": "cuboid",
            "sequence_uid": sequence,
        }
        return {**given, "object_data": {"n": number}, **fields}

    answers = sdk.annotations.bulk_edit(SEED_OWNER, "l", [edit(n) for n in range(5)], chunk_size=2)
    assert [index for index, _ in answers] == [0, 1, 2]
    sent = control.requests("POST", f"/datasets/{SEED_OWNER}/l/bulk-edition/")
    assert [len(request["json"]) for request in sent] == [2, 2, 1]
    with pytest.raises(RuntimeError, match="bulk_edit chunk 0 failed"):
        sdk.annotations.bulk_edit(SEED_OWNER, "l", [edit(0, object_type=None)])
