"""Resources of either generation."""

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_avala.api.errors import AvalaExportFailedError, AvalaProtocolError
from airflow_provider_avala.api.models import Dataset, Export, Project, State

STATES = {
    **dict.fromkeys(["exported", "completed", "Completed", " EXPORTED "], State.SUCCEEDED),
    **dict.fromkeys(["failed", "error", "canceled", "cancelled", "expired", "FAILED"], State.FAILED),
    **dict.fromkeys(["requested", "pending", "processing", "", "somewhere", "complete"], State.RUNNING),
}


@pytest.mark.parametrize(("status", "state"), STATES.items())
def test_status_means_running_success_or_failure(status, state):
    assert Export.read({"uid": "x", "status": status}).state is state


@pytest.mark.parametrize("payload", [{"uid": "x"}, {"uid": "x", "status": None}, {"uid": "x", "status": 3}])
def test_export_without_a_status_still_runs(payload):
    assert Export.read(payload).state is State.RUNNING


@pytest.mark.parametrize(
    ("payload", "identity"),
    [
        ({"uid": "u"}, "u"),
        ({"id": "i"}, "i"),
        ({"uid": "u", "id": 7}, "u"),
        ({"id": 7}, "7"),
        ({"id": 0}, "0"),
        ({"uid": "", "id": "i"}, "i"),
        ({"uid": None, "id": "i"}, "i"),
    ],
)
def test_id_is_uid_or_id(payload, identity):
    assert Export.read(payload).id == identity


@pytest.mark.parametrize(
    "payload",
    [None, [], "x", 3, {}, {"uid": ""}, {"id": None}, {"id": True}, {"uid": {"a": 1}}, {"id": ["x"]}],
)
@pytest.mark.parametrize("kind", [Export, Dataset, Project])
def test_what_has_no_id_is_no_resource(kind, payload):
    with pytest.raises(AvalaProtocolError, match=f"{kind.__name__.lower()} with 'uid' or 'id'"):
        kind.read(payload)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T10:00:00Z", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("2026-11-21T10:00:00.123456Z", datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-21T12:00:00+02:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("2026-11-21T10:00:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
        (1780000000, None),
    ],
)
def test_time_of_creation_is_aware_or_unknown(text, moment):
    assert Export.read({"uid": "x", "created_at": text}).created_at == moment


def test_export_reads_counts_for_its_progress():
    export = Export.read(
        {"uid": "x", "status": "processing", "exported_task_count": 40, "total_task_count": 100}
    )
    assert export.progress == "processing, 40 of 100 tasks"


@pytest.mark.parametrize(
    "counts", [{}, {"total_task_count": None}, {"exported_task_count": True, "total_task_count": 3}]
)
def test_progress_without_counts_is_the_status(counts):
    assert Export.read({"uid": "x", "status": "pending", **counts}).progress == "pending"
    assert Export.read({"uid": "x", **counts}).progress == "without status"


SIGNED = "https://s.example/x.zip?X-Amz-Signature=topsecret"


def test_signed_urls_are_in_no_repr_dict_or_error():
    payload = {
        "uid": "x",
        "status": "failed",
        "download_url": SIGNED,
        "error": f"cannot write {SIGNED}",
        "parts": [{"url": SIGNED}],
    }
    export = Export.read(payload)
    assert export.download_url == SIGNED
    for shown in (
        repr(export),
        str(export),
        json.dumps(export.as_dict()),
        str(AvalaExportFailedError(export)),
    ):
        assert "topsecret" not in shown
    assert "cannot write https://s.example/x.zip" in str(AvalaExportFailedError(export))


def test_dict_is_what_the_api_sent_with_an_id():
    export = Export.read(
        {"uid": "x", "status": "exported", "download_url": "u", "projects": ["p"], "organization": None}
    )
    assert export.as_dict() == {
        "uid": "x",
        "id": "x",
        "status": "exported",
        "projects": ["p"],
        "organization": None,
    }


def test_dataset_reads_its_fields():
    dataset = Dataset.read(
        {"uid": "d", "name": "n", "slug": "s", "owner_name": "o", "data_type": "image", "item_count": 3}
    )
    assert (dataset.slug, dataset.owner_name, dataset.data_type, dataset.item_count) == ("s", "o", "image", 3)
    assert Dataset.read({"uid": "d", "item_count": "many"}).item_count is None
