"""What is done in projects: quality targets, consensus, auto-label jobs, and annotation issues of their data."""

from __future__ import annotations

import pytest

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID

PROJECT = f"/projects/{SEED_PROJECT_ID}"
TARGETS = f"{PROJECT}/quality-targets/"
DATASET = "/datasets/emulator/seed-dataset"


def target(client, **fields):
    body = {"name": "q", "metric": "acceptance_rate", "threshold": 0.9, **fields}
    return client.post(TARGETS, json=body).json()["uid"]


@pytest.mark.parametrize(
    ("operator", "value", "breached"),
    [
        ("gte", 0.9, False),
        ("gte", 0.89, True),
        ("gt", 0.9, True),
        ("lte", 0.9, False),
        ("lte", 0.91, True),
        ("lt", 0.9, True),
        ("lt", 0.1, False),
    ],
)
def test_a_target_is_breached_when_its_comparison_does_not_hold(start, operator, value, breached):
    avala, client = start()
    uid = target(client, operator=operator, severity="critical")
    avala.metrics["acceptance_rate"] = value
    (found,) = client.post(f"{TARGETS}evaluate/").json()
    assert found == {
        "uid": uid,
        "name": "q",
        "metric": "acceptance_rate",
        "threshold": 0.9,
        "operator": operator,
        "severity": "critical",
        "current_value": value,
        "is_breached": breached,
    }
    shown = client.get(f"{TARGETS}{uid}/").json()
    assert (shown["is_breached"], shown["last_value"], shown["breach_count"]) == (
        breached,
        value,
        int(breached),
    )
    assert bool(shown["last_breached_at"]) == breached


def test_evaluation_counts_tasks_and_leaves_inactive_targets_and_other_projects_alone(start):
    avala, client = start()
    for status in ("completed", "pending", "completed", "completed"):
        avala.add_task(SEED_PROJECT_ID, status=status)
    target(client, is_active=False)
    other = avala.add_project("Other")
    client.post(f"/projects/{other}/quality-targets/", json={"name": "o", "metric": "m", "threshold": 1})
    mine = target(client)
    (found,) = client.post(f"{TARGETS}evaluate/").json()
    assert (found["uid"], found["current_value"]) == (mine, 0.75)
    assert client.get(f"{PROJECT}/metrics/").json() == {
        "completed_tasks": 3,
        "total_tasks": 4,
        "acceptance_rate": 0.75,
    }


def test_consensus_is_computed_once_for_each_item_and_summarized(start):
    avala, client = start()
    empty = client.get(f"{PROJECT}/consensus/").json()
    assert (empty["mean_score"], empty["total_items"]) == (0, 0)
    avala.add_items(SEED_DATASET_ID, [{"key": str(number)} for number in range(5)])
    for _ in range(2):
        assert client.post(f"{PROJECT}/consensus/compute/").json()["status"] == "started"
    scores = client.get(f"{PROJECT}/consensus/scores/?ordering=score").json()["results"]
    values = [row["score"] for row in scores]
    items = client.get(f"{DATASET}/items/").json()["results"]
    assert {row["dataset_item_uid"] for row in scores} == {item["uid"] for item in items}
    assert values == sorted(values)
    summary = client.get(f"{PROJECT}/consensus/").json()
    assert summary["total_items"] == summary["items_with_consensus"] == 5
    assert (summary["min_score"], summary["max_score"]) == (values[0], values[-1])
    assert summary["median_score"] == values[2]
    assert summary["mean_score"] == pytest.approx(sum(values) / 5)
    assert sum(summary["score_distribution"].values()) == 5
    assert summary["by_task_name"][0]["count"] == 5


def test_the_configuration_of_consensus_persists_and_is_checked(start):
    avala, client = start()
    path = f"{PROJECT}/consensus/config/"
    first = client.get(path).json()
    assert (first["iou_threshold"], first["min_agreement_ratio"], first["min_annotations"]) == (0.5, 0.5, 2)
    assert client.put(path, json={"min_agreement_ratio": 1.0}).json()["iou_threshold"] == 0.5
    again = client.get(path).json()
    assert (again["uid"], again["min_agreement_ratio"]) == (first["uid"], 1.0)
    assert client.put(path, json={"iou_threshold": 2}).status_code == 400
    avala.add_items(SEED_DATASET_ID, [{}])
    client.post(f"{PROJECT}/consensus/compute/")
    assert client.get(f"{PROJECT}/consensus/").json()["items_with_consensus"] == 0


def test_an_auto_label_job_works_through_the_items_on_the_clock(start, clock):
    avala, client = start(clock=clock, auto_label_seconds=10)
    avala.add_items(SEED_DATASET_ID, [{}] * 10)
    reply = client.post(
        f"{PROJECT}/auto-label/", json={"model_type": "sam3", "labels": ["car"], "dry_run": True}
    )
    assert reply.status_code == 202
    job = reply.json()
    assert (job["model_type"], job["labels"], job["confidence_threshold"]) == ("sam3", ["car"], 0.5)
    seen = []
    for step in (0, 1, 4, 5):
        avala.advance(step)
        shown = client.get(f"/auto-label-jobs/{job['uid']}/").json()
        seen.append((shown["status"], shown["processed_items"], shown["progress_pct"]))
    assert seen == [("pending", 0, 0.0), ("pending", 1, 10.0), ("running", 5, 50.0), ("completed", 10, 100.0)]
    assert shown["completed_at"] > shown["started_at"] > shown["created_at"]
    assert shown["successful_items"] == shown["total_items"] == 10
    assert shown["summary"] == {"labels": ["car"], "dry_run": True}
    listed = client.get(f"/auto-label-jobs/?project={SEED_PROJECT_ID}").json()["results"]
    assert [row["uid"] for row in listed] == [job["uid"]]
    assert client.get("/auto-label-jobs/?project=other").json()["results"] == []
    assert client.delete(f"/auto-label-jobs/{job['uid']}/").status_code == 204
    assert client.get(f"/auto-label-jobs/{job['uid']}/").status_code == 404


def test_the_bare_list_of_projects_is_for_staff(start):
    avala, client = start()
    assert client.get("/projects/").status_code == 403
    avala.staff = True
    assert [row["uid"] for row in client.get("/projects/").json()["results"]] == [SEED_PROJECT_ID]
    assert client.get(f"{PROJECT}/").json()["name"] == "Seed project"


def test_an_export_of_a_project_by_its_own_path(start):
    _, client = start()
    reply = client.post(f"{PROJECT}/exports/", json={"format": "coco"})
    assert (reply.status_code, reply.json()["projects"], reply.json()["format"]) == (
        201,
        [SEED_PROJECT_ID],
        "coco",
    )
    assert client.post("/projects/unknown/exports/", json={}).status_code == 400


def test_issues_are_written_on_a_sequence_and_counted_on_its_dataset(start, clock):
    avala, client = start(clock=clock)
    sequence = avala.add_sequence(SEED_DATASET_ID, "drive", frames=[{"key": "0"}, {"key": "1"}])
    other = avala.add_sequence(SEED_DATASET_ID, "other")
    (tool,) = client.get("/qc-available-tools/?dataset_type=lidar").json()
    body = {"tool_uid": tool["uid"], "problem_uid": tool["problems"][0]["uid"], "severity": "high"}
    path = f"/sequences/{sequence}/annotation-issues/"
    issue = client.post(path, json={**body, "project_uid": SEED_PROJECT_ID, "coordinates": [1, 2]})
    assert issue.status_code == 201
    shown = issue.json()
    assert shown["project"] == {"uid": SEED_PROJECT_ID, "name": "Seed project"}
    assert (shown["tool"]["name"], shown["problem"]["title"]) == ("Wrong cuboid", "Wrong heading")
    assert (shown["sequence_uid"], shown["status"], shown["coordinates"]) == (sequence, "open", [1, 2])
    client.post(f"/sequences/{other}/annotation-issues/", json=body)
    assert client.get(path).json() == [shown]
    assert client.get(path, params={"project_uid": "other"}).json() == []
    clock.now += 60
    closed = client.patch(f"{path}{shown['uid']}/", json={"status": "resolved"}).json()
    assert closed["closed_at"] > shown["created_at"]
    metrics = client.get(f"{DATASET}/annotation-issues/metrics/").json()
    assert metrics["status_count"] == {"resolved": 1, "open": 1}
    assert (metrics["mean_seconds_close_time_all"], metrics["mean_unresolved_issue_age_all"]) == (60, 60)
    assert len(client.get(f"{DATASET}/annotation-issues/").json()) == 2
    mine = client.get(f"{DATASET}/annotation-issues/", params={"sequence_uid": sequence}).json()
    assert [row["uid"] for row in mine] == [shown["uid"]]
    assert client.delete(f"{path}{shown['uid']}/").status_code == 204
    assert client.get(path).json() == []
    for change, field in (({"tool_uid": "x"}, "tool_uid"), ({"problem_uid": "x"}, "problem_uid")):
        assert list(client.post(path, json={**body, **change}).json()["detail"]) == [field]


def test_sequences_show_their_frames_one_at_a_time_and_count_in_the_health_report(start):
    avala, client = start()
    frames = [{"key": "0", "images": []}, {"key": "1", "images": []}]
    uid = avala.add_sequence(SEED_DATASET_ID, "drive", frames=frames)
    (listed,) = client.get(f"{DATASET}/sequences/").json()["results"]
    assert (listed["uid"], listed["number_of_frames"]) == (uid, 2)
    assert "frames" not in listed
    shown = client.get(f"{DATASET}/sequences/{uid}/").json()
    assert (shown["frames"], shown["dataset_uid"]) == (frames, SEED_DATASET_ID)
    health = client.get(f"{DATASET}/health/").json()
    assert (health["sequence_count"], health["total_frames"], health["ingest_ok"]) == (1, 2, True)
    assert health["sequences"][0] == {
        "uid": uid,
        "key": "drive",
        "status": "new",
        "frame_count": 2,
        "has_lidar_calibration": False,
        "has_camera_calibration": False,
    }


EDIT = {"action": "delete", "object_uuid": "u", "object_type": "cuboid", "dataset_item_uid": "i"}


@pytest.mark.parametrize(
    ("edits", "problem"),
    [
        ([EDIT, EDIT], None),
        ([], None),
        ({}, "Expected a list"),
        ([EDIT, {"action": "delete"}], "Edit 1: object_uuid: This field is required."),
        ([{**EDIT, "sequence_uid": "s"}], "exactly one of dataset_item_uid and sequence_uid"),
        ([1], "Edit 0: Invalid data."),
        ([EDIT] * 501, "no more than 500"),
    ],
)
def test_a_bulk_edition_is_taken_whole_or_not_at_all(start, edits, problem):
    avala, client = start()
    reply = client.post(f"{DATASET}/bulk-edition/", json=edits)
    if problem is None:
        assert (reply.status_code, reply.json()) == (200, {"processed": len(edits)})
    else:
        assert reply.status_code == 400
        assert problem in reply.json()["detail"]["non_field_errors"][0]
    kept = avala.store.tables["datasets"][SEED_DATASET_ID].get("_edits", [])
    assert len(kept) == (len(edits) if problem is None else 0)
