"""Annotation issues of sequences, the tools that find them, and bulk editions of annotations."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.resources_data import ANNOTATION_ISSUES, DATASETS, SEQUENCES
from airflow_provider_avala.emulator.resources_work import PROJECTS
from airflow_provider_avala.emulator.schema import Field, Record, Shape, problems_of

READ, WRITE = "datasets.read", "datasets.write"
CLOSED = ("resolved", "closed")
TOOLS = {
    "Missing object": ("image", ["Object is not annotated"]),
    "Wrong box": ("image", ["Box is too large", "Box is too small"]),
    "Wrong cuboid": ("lidar", ["Wrong heading", "Wrong size"]),
    "Wrong track": ("video", ["Identity switch"]),
}
TOOL = Shape(
    "annotation_issue_tool",
    {
        "uid": Field(required=True),
        "name": Field(required=True),
        "dataset_type": Field(),
        "default": Field(bool),
        "problems": Field(list, default=list, of=dict),
    },
)
COUNTED = ("status", "priority", "severity")
MEANS = tuple(
    f"mean_{what}_{whose}"
    for what in ("seconds_close_time", "unresolved_issue_age")
    for whose in ("all", "customer")
)
METRICS = Shape(
    "annotation_issue_metrics",
    {
        **{f"{name}_count": Field(dict, default=dict) for name in COUNTED},
        **{name: Field(int) for name in MEANS},
        "object_count_by_annotation_issue_problem_uid": Field(list, default=list, of=dict),
    },
)
EDIT = Shape(
    "annotation_edit",
    {
        "action": Field(required=True),
        "object_uuid": Field(required=True),
        "object_type": Field(required=True),
        "dataset_item_uid": Field(),
        "sequence_uid": Field(),
        "object_data": Field(dict),
    },
)
EDITED = Shape("annotation_edition", {"processed": Field(int, required=True)})
MOST_EDITS = 500


def uid_of(text: str) -> str:
    """Return the uid of a tool or of a problem, the same in every emulator."""
    return str(uuid.uuid5(uuid.UUID(int=1), text))


def tools() -> list[Json]:
    """List the tools with their problems."""
    return [
        {
            "uid": uid_of(name),
            "name": name,
            "dataset_type": dataset_type,
            "default": True,
            "problems": [{"uid": uid_of(f"{name}/{title}"), "title": title} for title in titles],
        }
        for name, (dataset_type, titles) in TOOLS.items()
    ]


class AnnotationIssues(Kind):
    """Issues: written on a sequence, read on a dataset too."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and those of its own."""
        by_slug = "/datasets/{owner}/{slug}"
        return [
            *super().endpoints(),
            Endpoint("GET", f"{by_slug}/annotation-issues", self.list_of_dataset, "List a dataset's issues", READ,
                     gives=ANNOTATION_ISSUES, form="array", query={"sequence_uid": Field()}),
            Endpoint("GET", f"{by_slug}/annotation-issues/metrics", self.metrics, "Count a dataset's issues", READ,
                     gives=METRICS, query={"sequence_uid": Field()}),
            Endpoint("GET", "/qc-available-tools", self.list_tools, "List the tools", gives=TOOL, form="array",
                     query={"dataset_type": Field()}),
            Endpoint("POST", f"{by_slug}/bulk-edition", self.edit, "Edit annotations", WRITE, gives=EDITED, items=EDIT),
        ]  # fmt: skip

    def prepare(self, fields: Record, call: Call) -> Record:
        """Look the tool, its problem and the project up."""
        fields = {
            **fields,
            "_project_uid": fields["project_uid"],
            "project": self._project(fields["project_uid"]),
        }
        fields.update(self._tooling(fields))
        fields["sequence_uid"] = call.params["sequence"]
        fields["reporter"] = {"username": self.emulator.username, "type": "customer", "is_staff": False}
        return fields

    def amend(self, record: Record, changes: Record) -> Record:
        """Look up what changes; an issue that is resolved or closed says since when."""
        if "tool_uid" in changes or "problem_uid" in changes:
            changes = {**changes, **self._tooling({**record, **changes})}
        if "status" in changes:
            changes["closed_at"] = self.store.now() if changes["status"] in CLOSED else None
        return changes

    def _project(self, uid: str | None) -> Json | None:
        if uid is None:
            return None
        if not self.store.known(PROJECTS, uid):
            raise ApiError.invalid(project_uid=f'Invalid pk "{uid}" - object does not exist.')
        return {"uid": uid, "name": self.store.find(PROJECTS, uid)["name"]}

    def _tooling(self, fields: Record) -> Record:
        tool = next((tool for tool in tools() if tool["uid"] == fields["tool_uid"]), None)
        if tool is None:
            raise ApiError.invalid(tool_uid=f'Invalid pk "{fields["tool_uid"]}" - object does not exist.')
        problem = next((entry for entry in tool["problems"] if entry["uid"] == fields["problem_uid"]), None)
        if problem is None:
            raise ApiError.invalid(
                problem_uid=f'Invalid pk "{fields["problem_uid"]}" - object does not exist.'
            )
        return {"tool": {name: tool[name] for name in ("uid", "name", "default")}, "problem": problem}

    def browse(self, call: Call) -> Listing:
        """Answer GET on a sequence's issues."""
        project = call.query.get("project_uid")
        return self.listing(call, **({"_project_uid": project} if project else {}))

    def _of_dataset(self, call: Call) -> list[Record]:
        wanted = {"owner_name": call.params["owner"], "slug": call.params["slug"]}
        dataset = self.lookup(DATASETS, wanted)
        sequences = {record["uid"] for record in self.store.among(SEQUENCES, _datasets=dataset["uid"])}
        if call.query.get("sequence_uid"):
            sequences &= {call.query["sequence_uid"]}
        records = self.store.among(ANNOTATION_ISSUES)
        return [record for record in records if record["_sequences"] in sequences]

    def list_of_dataset(self, call: Call) -> list[Json]:
        """Answer GET on a dataset's issues, newest first."""
        return [self.view(record) for record in reversed(self._of_dataset(call))]

    def metrics(self, call: Call) -> Json:
        """Answer GET .../metrics/."""
        records, now = self._of_dataset(call), self.store.now()
        closing = [
            record["closed_at"] - record["created_at"] for record in records if record.get("closed_at")
        ]
        ages = [now - record["created_at"] for record in records if not record.get("closed_at")]
        means = [
            int(sum(values) / len(values)) if values else None for values in (closing, closing, ages, ages)
        ]
        problems = Counter(record["problem"]["uid"] for record in records)
        return {
            **{f"{name}_count": dict(Counter(record[name] for record in records)) for name in COUNTED},
            **dict(zip(MEANS, means, strict=True)),
            "object_count_by_annotation_issue_problem_uid": [
                {"problem_uid": uid, "count": count} for uid, count in problems.items()
            ],
        }

    def list_tools(self, call: Call) -> list[Json]:
        """Answer GET /qc-available-tools/."""
        wanted = call.query.get("dataset_type")
        return [tool for tool in tools() if wanted in (None, "", tool["dataset_type"])]

    def edit(self, call: Call) -> Json:
        """Answer POST .../bulk-edition/: all edits of the array or none; what was taken is kept."""
        dataset = self.lookup(DATASETS, {"owner_name": call.params["owner"], "slug": call.params["slug"]})
        if not isinstance(call.body, list):
            raise ApiError.invalid(non_field_errors="Expected a list of items.")
        if len(call.body) > MOST_EDITS:
            raise ApiError.invalid(non_field_errors=f"Ensure there are no more than {MOST_EDITS} edits.")
        for number, edit in enumerate(call.body):
            problem = edit_problem(edit)
            if problem:
                raise ApiError.invalid(non_field_errors=f"Edit {number}: {problem}")
        with self.store.lock:
            dataset.setdefault("_edits", []).extend(call.body)
        return {"processed": len(call.body)}


def edit_problem(edit: Any) -> str | None:
    """Return what is wrong with one edit, or None."""
    if not isinstance(edit, dict):
        return "Invalid data. Expected a dictionary."
    problems = problems_of(EDIT.fields, edit, partial=False)
    if problems:
        return " ".join(f"{name}: {text}" for name, text in problems.items())
    if (edit.get("dataset_item_uid") is None) == (edit.get("sequence_uid") is None):
        return "Give exactly one of dataset_item_uid and sequence_uid."
    return None
