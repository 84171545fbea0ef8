"""Projects: approval, progress, and their quality targets, which a project's numbers may breach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.resources_work import PROJECTS, QUALITY_TARGETS, TASKS
from airflow_provider_avala.emulator.schema import Field, Record, Shape

APPROVING_PLANS = ("PRO", "ENTERPRISE")
METRICS = Shape(
    "project_metrics",
    {
        "completed_tasks": Field(int, required=True),
        "total_tasks": Field(int, required=True),
        "acceptance_rate": Field(float, required=True),
    },
)
EVALUATION = Shape(
    "quality_target_evaluation",
    {
        "uid": Field(required=True),
        "name": Field(required=True),
        "metric": Field(required=True),
        "threshold": Field(float, required=True),
        "operator": Field(required=True),
        "current_value": Field(float, required=True),
        "is_breached": Field(bool, required=True),
        "severity": Field(),
    },
)
HOLDS: Mapping[str, Callable[[float, float], bool]] = {"gt": gt, "lt": lt, "gte": ge, "lte": le}


class Projects(Kind):
    """Projects of the key's owner."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and those of its own."""
        row = self.row
        return [
            *super().endpoints(),
            Endpoint("GET", "/projects", self.list_all, "List all projects (staff only)", row.scope, gives=PROJECTS,
                     form="cursor"),
            Endpoint("GET", "/projects/{uid}", self.get, "Show the project (older path)", row.scope, gives=PROJECTS),
            Endpoint("POST", "/projects/{uid}/approve", self.approve, "Approve the project", row.write_scope,
                     gives=PROJECTS),
            Endpoint("GET", "/projects/{uid}/metrics", self.metrics, "Show the project's progress", row.scope,
                     gives=METRICS),
        ]  # fmt: skip

    def list_all(self, call: Call) -> Listing:
        """Answer GET /projects/, which customers may not use."""
        if not self.emulator.staff:
            raise ApiError(403)
        return self.listing(call)

    def approve(self, call: Call) -> Json:
        """Answer POST .../approve/: pending-approval becomes active."""
        with self.store.lock:
            project = self.at(call.params)
            if self.emulator.plan not in APPROVING_PLANS:
                text = "Project approval requires a PRO or ENTERPRISE plan."
                raise ApiError(403, text, code="plan_insufficient")
            if project["status"] != "pending-approval":
                raise ApiError(400, f"Cannot approve a project in state '{project['status']}'.")
            project.update(status="active", updated_at=self.store.now())
        return self.view(project)

    def metrics(self, call: Call) -> Json:
        """Answer GET .../metrics/: counted from the project's tasks."""
        tasks = self.store.among(TASKS, project=self.at(call.params)["uid"])
        done = sum(task["status"] == "completed" for task in tasks)
        rate = done / len(tasks) if tasks else 0.0
        return {"completed_tasks": done, "total_tasks": len(tasks), "acceptance_rate": rate}


class QualityTargets(Kind):
    """What a project's numbers are held against."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the evaluation."""
        path = "/projects/{project}/quality-targets/evaluate"
        evaluate = Endpoint(
            "POST",
            path,
            self.evaluate,
            "Evaluate the targets",
            self.row.write_scope,
            gives=EVALUATION,
            form="array",
        )
        return [*super().endpoints(), evaluate]

    def evaluate(self, call: Call) -> list[Json]:
        """Answer POST .../evaluate/: every active target is checked and keeps what was found."""
        shown = []
        with self.store.lock:
            for target in self.store.among(QUALITY_TARGETS, is_active=True, **self.parents(call.params)):
                shown.append(self._evaluate(target))
        return shown

    def _evaluate(self, target: Record) -> Json:
        value = self.emulator.metric(target["_projects"], target["metric"])
        breached = not HOLDS[target["operator"]](value, target["threshold"])
        now = self.store.now()
        target.update(last_value=value, last_evaluated_at=now, is_breached=breached)
        if breached:
            target.update(breach_count=target.get("breach_count", 0) + 1, last_breached_at=now)
        named = {
            name: target[name] for name in ("uid", "name", "metric", "threshold", "operator", "severity")
        }
        return {**named, "current_value": value, "is_breached": breached}
