"""What the health report says about a dataset."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_avala.emulator.envelopes import Json
from airflow_provider_avala.emulator.schema import Field, Record, Shape

HEALTH = Shape(
    "dataset_health",
    {
        "dataset_uid": Field(required=True),
        "dataset_slug": Field(required=True),
        "dataset_status": Field(required=True),
        "data_type": Field(required=True),
        "is_sequence": Field(bool, required=True),
        "item_count": Field(int, required=True),
        "sequence_count": Field(int, required=True),
        "total_frames": Field(int, required=True),
        "s3_prefix": Field(),
        "gc_storage_prefix": Field(),
        "last_updated_at": Field(required=True),
        "sequences": Field(list, required=True, of=dict),
        "ingest_ok": Field(bool, required=True),
        "issues": Field(list, required=True, of=str),
    },
)


def health_of(record: Record, shown: Json, sequences: Sequence[Record] = ()) -> Json:
    """Report on a dataset.

    :param record: the dataset, with the ``_issues`` that a test gave it.
    :param shown: the dataset as the API shows it.
    :param sequences: of the dataset.
    """
    issues = list(record.get("_issues", ()))
    if not shown["item_count"] and not sequences:
        issues.append("Dataset has zero items and zero sequences")
    reports = [sequence_health(sequence) for sequence in sequences]
    return {
        "dataset_uid": shown["uid"],
        "dataset_slug": shown["slug"],
        "dataset_status": shown["status"],
        "data_type": shown["data_type"],
        "is_sequence": shown["is_sequence"],
        "item_count": shown["item_count"],
        "sequence_count": len(reports),
        "total_frames": sum(report["frame_count"] for report in reports),
        "s3_prefix": None,
        "gc_storage_prefix": None,
        "last_updated_at": shown["updated_at"],
        "sequences": reports,
        "ingest_ok": not issues and shown["status"] == "created",
        "issues": issues,
    }


def sequence_health(sequence: Record) -> Json:
    """Report on one sequence."""
    return {
        "uid": sequence["uid"],
        "key": sequence.get("key"),
        "status": sequence.get("status", "new"),
        "frame_count": len(sequence.get("frames", ())),
        "has_lidar_calibration": bool(sequence.get("lidar_calibration_enabled")),
        "has_camera_calibration": bool(sequence.get("camera_calibration")),
    }
