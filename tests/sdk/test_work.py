"""Projects and what belongs to them: tasks, quality targets, consensus, auto-label jobs."""

from __future__ import annotations

import avala.errors
import pytest

from airflow_provider_avala.emulator import SEED_PROJECT_ID
from tests.sdk.facade import covers


@covers("projects.list", "projects.get")
def test_projects_are_listed_and_shown(sdk, control):
    [uid] = control.plant(projects=[{"name": "Cars", "status": "paused"}])["projects"]
    assert [project.name for project in sdk.projects.list()] == ["Cars", "Seed project"]
    page = sdk.projects.list(limit=1)
    assert [p.uid for p in sdk.projects.list(limit=1, cursor=page.next_cursor)] == [SEED_PROJECT_ID]
    found = sdk.projects.get(uid)
    assert (found.uid, found.name, found.status) == (uid, "Cars", "paused")
    assert found.created_at is not None


@covers("tasks.list", "tasks.get")
def test_tasks_are_listed_by_project_and_status(sdk, control):
    planted = control.plant(
        projects=[{"name": "Cars"}],
        tasks=[
            {"name": "box", "type": "image-annotation", "status": "pending", "project": "Cars"},
            {"name": "cuboid", "type": "point-cloud-annotation", "status": "completed", "project": "Cars"},
            {"name": "polygon", "status": "completed", "project": "Seed project"},
        ],
    )
    [cars], tasks = planted["projects"], planted["tasks"]

    def names(**filters):
        return [task.name for task in sdk.tasks.list(**filters)]

    assert names() == ["polygon", "cuboid", "box"]
    assert names(project=cars) == ["cuboid", "box"]
    assert names(project=cars, status="completed") == ["cuboid"]
    assert names(limit=1) == ["polygon"]
    one = sdk.tasks.get(tasks[0])
    assert (one.name, one.type, one.status, one.project) == ("box", "image-annotation", "pending", cars)


@covers(
    "quality_targets.create",
    "quality_targets.delete",
    "quality_targets.evaluate",
    "quality_targets.get",
    "quality_targets.list",
    "quality_targets.update",
)
def test_a_quality_target_lives_its_life(sdk):
    targets = sdk.quality_targets
    made = targets.create(
        SEED_PROJECT_ID,
        name="Agreement",
        metric="mean_score",
        threshold=0.9,
        operator="gte",
        severity="critical",
        is_active=True,
        notify_webhook=False,
        notify_emails=["qa@example.com"],
    )
    assert (made.name, made.metric, made.threshold, made.operator) == ("Agreement", "mean_score", 0.9, "gte")
    assert (made.severity, made.notify_webhook, made.notify_emails) == ("critical", False, ["qa@example.com"])
    assert [row.uid for row in targets.list(SEED_PROJECT_ID)] == [made.uid]
    [evaluated] = targets.evaluate(SEED_PROJECT_ID)
    assert (evaluated.uid, evaluated.threshold, evaluated.is_breached) == (
        made.uid,
        0.9,
        evaluated.current_value < 0.9,
    )
    found = targets.get(SEED_PROJECT_ID, made.uid)
    assert found.last_value == evaluated.current_value
    assert found.last_evaluated_at is not None
    changed = targets.update(SEED_PROJECT_ID, made.uid, threshold=-1.0, name="Lower")
    assert (changed.threshold, changed.name, changed.metric) == (-1.0, "Lower", "mean_score")
    assert not targets.evaluate(SEED_PROJECT_ID)[0].is_breached
    targets.delete(SEED_PROJECT_ID, made.uid)
    with pytest.raises(avala.errors.NotFoundError):
        targets.get(SEED_PROJECT_ID, made.uid)


@covers(
    "consensus.compute",
    "consensus.get_config",
    "consensus.get_summary",
    "consensus.list_scores",
    "consensus.update_config",
)
def test_consensus_is_configured_computed_and_summed_up(sdk, control):
    [project] = control.plant(
        datasets=[{"name": "D", "slug": "d", "rows": [{"key": "a"}, {"key": "b"}, {"key": "c"}]}],
        projects=[{"name": "Cars", "datasets": ["d"]}],
    )["projects"]
    assert sdk.consensus.get_config(project).min_annotations == 2
    changed = sdk.consensus.update_config(project, iou_threshold=0.75, min_annotations=3)
    kept = sdk.consensus.get_config(project)
    assert (changed.uid, changed.iou_threshold, changed.min_annotations) == (kept.uid, 0.75, 3)
    assert (kept.iou_threshold, kept.min_annotations, kept.min_agreement_ratio) == (0.75, 3, 0.5)
    assert sdk.consensus.get_summary(project).items_with_consensus == 0
    started = sdk.consensus.compute(project)
    assert started.status == "started"
    assert started.message
    scores = list(sdk.consensus.list_scores(project))
    summary = sdk.consensus.get_summary(project)
    assert summary.total_items == len(scores) == 3
    assert summary.min_score <= summary.median_score <= summary.max_score
    assert summary.mean_score == pytest.approx(sum(score.score for score in scores) / 3)
    page = sdk.consensus.list_scores(project, limit=2)
    assert len([*page, *sdk.consensus.list_scores(project, limit=2, cursor=page.next_cursor)]) == 3


@covers("auto_label_jobs.cancel", "auto_label_jobs.create", "auto_label_jobs.get", "auto_label_jobs.list")
def test_an_auto_label_job_runs_and_another_is_cancelled(sdk, control):
    [project] = control.plant(
        datasets=[{"name": "D", "slug": "d", "rows": [{"key": "a"}, {"key": "b"}]}],
        projects=[{"name": "Cars", "datasets": ["d"]}],
    )["projects"]
    jobs = sdk.auto_label_jobs
    job = jobs.create(project, model_type="sam3", confidence_threshold=0.7, labels=["car"], dry_run=True)
    assert (job.model_type, job.confidence_threshold, job.labels, job.dry_run) == ("sam3", 0.7, ["car"], True)
    assert (job.status, job.total_items) == ("pending", 2)
    control.turn(advance=3600)
    done = jobs.get(job.uid)
    assert (done.status, done.processed_items, done.progress_pct) == ("completed", 2, 100)
    assert done.completed_at >= done.started_at
    other = jobs.create(SEED_PROJECT_ID)
    assert [row.uid for row in jobs.list()] == [other.uid, job.uid]
    assert [row.uid for row in jobs.list(project=project)] == [job.uid]
    assert len(jobs.list(limit=1)) == 1
    jobs.cancel(other.uid)
    with pytest.raises(avala.errors.NotFoundError):
        jobs.get(other.uid)
    assert [row.uid for row in jobs.list()] == [job.uid]
