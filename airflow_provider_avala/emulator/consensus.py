"""How far annotators agree: scores per item, their summary, and the configuration of a project."""

from __future__ import annotations

import statistics

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import Json
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.resources_work import CONSENSUS_CONFIGS, CONSENSUS_SCORES, PROJECTS
from airflow_provider_avala.emulator.schema import Field, Record, Shape

BASE = "/projects/{project}/consensus"
SUMMARY = Shape(
    "consensus_summary",
    {
        **{
            name: Field(float, required=True)
            for name in ("mean_score", "median_score", "min_score", "max_score")
        },
        "total_items": Field(int, required=True),
        "items_with_consensus": Field(int, required=True),
        "score_distribution": Field(dict, default=dict),
        "by_task_name": Field(list, default=list, of=dict),
    },
)
COMPUTED = Shape("consensus_computation", {"status": Field(required=True), "message": Field(required=True)})
BANDS = 5  # of the distribution, from 0 to 1


class ConsensusScores(Kind):
    """The scores of a project and what follows from them."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints, the summary and the computation."""
        row = self.row
        return [
            *super().endpoints(),
            Endpoint("GET", BASE, self.summary, "Summarize the consensus", row.scope, gives=SUMMARY),
            Endpoint("POST", f"{BASE}/compute", self.compute, "Compute the consensus", "projects.write",
                     gives=COMPUTED),
        ]  # fmt: skip

    def summary(self, call: Call) -> Json:
        """Answer GET .../consensus/."""
        parents = self.parents(call.params)
        records = self.store.among(CONSENSUS_SCORES, **parents)
        scores = [float(record["score"]) for record in records] or [0.0]
        config = self.store.first(CONSENSUS_CONFIGS, **parents)
        bar = (
            config["min_agreement_ratio"]
            if config
            else CONSENSUS_CONFIGS.fields["min_agreement_ratio"].default
        )
        return {
            "mean_score": statistics.fmean(scores),
            "median_score": statistics.median(scores),
            "min_score": min(scores),
            "max_score": max(scores),
            "total_items": len(records),
            "items_with_consensus": sum(record["score"] >= bar for record in records),
            "score_distribution": distribution(scores if records else []),
            "by_task_name": by_task_name(records),
        }

    def compute(self, call: Call) -> Json:
        """Answer POST .../compute/: every item of the project's datasets that has no score gets one."""
        parents = self.parents(call.params)
        with self.store.lock:
            project = self.store.find(PROJECTS, parents["_projects"])
            known = {record["dataset_item_uid"] for record in self.store.among(CONSENSUS_SCORES, **parents)}
            for uid in self.emulator.item_uids(project["datasets"]):
                if uid not in known:
                    self.store.insert(CONSENSUS_SCORES, {**parents, **made_up_score(uid)})
        return {"status": "started", "message": "Consensus computation has been started."}


class ConsensusConfigs(Kind):
    """One configuration for each project, made when first looked at."""

    def endpoints(self) -> list[Endpoint]:
        """Show and replace the one there is."""
        path, row = f"{BASE}/config", self.row
        return [
            Endpoint("GET", path, self.get, "Show the configuration", row.scope, gives=row),
            Endpoint("PUT", path, self.update, "Set what is given of the configuration", row.write_scope, takes=row,
                     partial=True, gives=row),
        ]  # fmt: skip

    def at(self, params: object) -> Record:
        """Find the configuration of the project in the path."""
        parents = self.parents(params)  # type: ignore[arg-type]
        with self.store.lock:
            found = self.store.first(CONSENSUS_CONFIGS, **parents)
            if found is None:
                defaults = {name: rule.initial() for name, rule in self.row.fields.items()}
                found = self.store.insert(CONSENSUS_CONFIGS, {**defaults, **parents})
            return found


def distribution(scores: list[float]) -> dict[str, int]:
    """Count the scores in bands of equal width."""
    counts = dict.fromkeys(range(BANDS), 0)
    for score in scores:
        counts[min(BANDS - 1, int(score * BANDS))] += 1
    return {f"{band / BANDS:.1f}-{(band + 1) / BANDS:.1f}": count for band, count in counts.items()}


def by_task_name(records: list[Record]) -> list[Json]:
    """Summarize the scores of each task name."""
    groups: dict[str, list[float]] = {}
    for record in records:
        groups.setdefault(record["task_name"], []).append(record["score"])
    return [
        {"task_name": name, "mean_score": statistics.fmean(scores), "count": len(scores)}
        for name, scores in groups.items()
    ]


def made_up_score(item_uid: str) -> Json:
    """Make up a score for an item, the same every time."""
    return {
        "dataset_item_uid": item_uid,
        "task_name": "box",
        "score_type": "iou",
        "score": 0.5 + (int(item_uid[:8], 16) % 50) / 100,
        "annotator_count": 2,
    }
