"""What the health report says about a dataset."""

from __future__ import annotations

from airflow_provider_avala.emulator.envelopes import Json
from airflow_provider_avala.emulator.store import Record


def health_of(record: Record, shown: Json) -> Json:
    """Report on a dataset.

    :param record: the dataset, with the ``_issues`` that a test gave it.
    :param shown: the dataset as the API shows it.
    """
    issues = list(record.get("_issues", ()))
    if not shown["item_count"]:
        issues.append("Dataset has zero items and zero sequences")
    return {
        "dataset_uid": shown["uid"],
        "dataset_slug": shown["slug"],
        "dataset_status": shown["status"],
        "data_type": shown["data_type"],
        "is_sequence": shown["is_sequence"],
        "item_count": shown["item_count"],
        "sequence_count": 0,
        "total_frames": 0,
        "s3_prefix": None,
        "gc_storage_prefix": None,
        "last_updated_at": shown["updated_at"],
        "sequences": [],
        "ingest_ok": not issues and shown["status"] == "created",
        "issues": issues,
    }
