"""Auto-label jobs: created on a project, working through its items on the clock."""

from __future__ import annotations

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import Json
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.resources_work import AUTO_LABEL_JOBS, PROJECTS
from airflow_provider_avala.emulator.schema import Record, timestamp

PENDING_SHARE = 0.2  # of the whole duration


class AutoLabelJobs(Kind):
    """Jobs that a project's owner starts and may cancel."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the start of a job."""
        row = self.row
        return [
            *super().endpoints(),
            Endpoint("POST", "/projects/{project}/auto-label", self.create, "Start an auto-label job", row.write_scope,
                     takes=row, gives=row, status=202),
        ]  # fmt: skip

    def prepare(self, fields: Record, call: Call) -> Record:
        """Count the items that the job has to go through."""
        project = self.store.find(PROJECTS, call.params["project"])
        return {
            **fields,
            "project": project["uid"],
            "total_items": len(self.emulator.item_uids(project["datasets"])),
            "_seconds": self.emulator.auto_label_seconds,
        }

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show a job as far as it has come by now."""
        shown = {**AUTO_LABEL_JOBS.show(record), **self._progress(record)}
        shown["status"] = record.get("_pinned") or shown["status"]
        return shown

    def _progress(self, record: Record) -> Json:
        seconds, started = record.get("_seconds", 0.0), record["created_at"]
        elapsed = self.store.now() - started
        share = 1.0 if seconds <= 0 else min(1.0, max(0.0, elapsed / seconds))
        total = record["total_items"]
        done = total if share >= 1 else int(total * share)
        running = share >= PENDING_SHARE
        return {
            "status": "completed" if share >= 1 else "running" if running else "pending",
            "progress_pct": round(100 * share, 1),
            "processed_items": done,
            "successful_items": done,
            "started_at": timestamp(started + seconds * PENDING_SHARE) if running else None,
            "completed_at": timestamp(started + max(seconds, 0)) if share >= 1 else None,
            "summary": {"labels": record["labels"], "dry_run": record["dry_run"]} if share >= 1 else None,
        }
