"""The button "Avala": where it leads, when it is pushed, and that it never does harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock
from urllib.parse import unquote, urlsplit

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.models import Dataset, Export
from airflow_provider_avala.emulator import SEED_OWNER, SEED_PROJECT_ID, Emulator
from airflow_provider_avala.get_provider_info import get_provider_info
from airflow_provider_avala.links.avala import AvalaLink, page_of
from airflow_provider_avala.operators import avala as operators
from airflow_provider_avala.sensors.avala import AvalaDatasetSensor, AvalaExportSensor
from tests.airflow_support import context

HOME = "https://avala.ai"
DATASET = {"uid": "d1", "owner_name": "acme", "slug": "street-scenes"}


def linked_context() -> tuple[dict[str, Any], list[str]]:
    """A task's context, and the addresses that the task pushes."""
    pushed: list[str] = []

    def xcom_push(key: str, value: str) -> None:
        assert key == AvalaLink.xcom_key
        pushed.append(value)

    found = context()
    found["ti"].xcom_push = xcom_push
    return found, pushed


@pytest.mark.parametrize(
    ("resource", "page"),
    [
        (None, HOME),
        (Dataset.read(DATASET), f"{HOME}/@acme/datasets/street-scenes"),
        (Dataset.read({"uid": "d1", "slug": "street-scenes"}), HOME),
        (Dataset.read({**DATASET, "slug": 7}), HOME),
        (
            Dataset.read({**DATASET, "slug": "../../evil?x#y"}),
            f"{HOME}/@acme/datasets/..%2F..%2Fevil%3Fx%23y",
        ),
        (Dataset.read({**DATASET, "owner_name": ".."}), f"{HOME}/@%2E%2E/datasets/street-scenes"),
        (Export.read({"uid": "e1", "datasets": [DATASET]}), f"{HOME}/@acme/datasets/street-scenes"),
        (Export.read({"uid": "e1", "dataset": DATASET}), f"{HOME}/@acme/datasets/street-scenes"),
        (Export.read({"uid": "e1", "datasets": [DATASET, DATASET]}), HOME),
        (Export.read({"uid": "e1", "datasets": ["d1"]}), HOME),
        (Export.read({"uid": "e1", "download_url": "https://s3/x?X-Amz-Signature=1"}), HOME),
    ],
)
def test_the_page_is_the_datasets_where_owner_and_slug_are_known(resource: Any, page: str) -> None:
    assert page_of(HOME, resource) == page


@given(owner=st.text(min_size=1), slug=st.text(min_size=1))
def test_owner_and_slug_stay_one_segment_each_whatever_they_hold(owner: str, slug: str) -> None:
    try:
        (owner + slug).encode()
    except UnicodeEncodeError:
        return
    page = page_of(HOME, Dataset.read({"uid": "d1", "owner_name": owner, "slug": slug}))
    assert urlsplit(page).netloc == "avala.ai"
    at_owner, datasets, last = urlsplit(page).path.split("/")[1:]
    assert (unquote(at_owner), datasets, unquote(last)) == (f"@{owner}", "datasets", slug)


@pytest.mark.parametrize(
    ("web_url", "page"),
    [
        ("https://labels.example.com/app/", "https://labels.example.com/app"),
        ("https://user:secret@labels.example.com:8443/app?token=1#x", "https://labels.example.com:8443/app"),
        ("http://localhost:3000", "http://localhost:3000"),
    ],
)
def test_the_web_app_is_named_without_credentials_and_query(web_url: str, page: str) -> None:
    assert page_of(web_url) == page


@pytest.mark.parametrize("web_url", ["javascript:alert(1)", "ftp://avala.ai", "https://", "avala.ai"])
def test_the_web_app_has_to_be_a_web_page(web_url: str) -> None:
    with pytest.raises(ValueError, match="web_url"):
        page_of(web_url)


TASKS: dict[str, Callable[..., Any]] = {
    "upload": lambda **kwargs: operators.AvalaUploadItemsOperator(dataset_id="d1", items=[], **kwargs),
    "create": lambda **kwargs: operators.AvalaCreateExportOperator(project_id="p1", **kwargs),
    "download": lambda **kwargs: operators.AvalaDownloadExportOperator(export_id="e1", path="x", **kwargs),
    "call": lambda **kwargs: operators.AvalaApiOperator(endpoint="/exports/", **kwargs),
    "export sensor": lambda **kwargs: AvalaExportSensor(export_id="e1", **kwargs),
    "dataset sensor": lambda **kwargs: AvalaDatasetSensor(dataset_id="d1", **kwargs),
}


def test_every_operator_and_sensor_has_the_button() -> None:
    classes = [getattr(operators, name) for name in operators.__all__] + [
        AvalaExportSensor,
        AvalaDatasetSensor,
    ]
    for each in classes:
        assert [type(link) for link in each.operator_extra_links] == [AvalaLink], each
    assert get_provider_info()["extra-links"] == [f"{AvalaLink.__module__}.{AvalaLink.__qualname__}"]


@pytest.mark.parametrize("task", TASKS)
def test_the_address_is_pushed_before_anything_else_and_nothing_is_called_for_it(
    task: str, avala: Emulator, connect: Any
) -> None:
    connect(avala, web_url="https://labels.example.com/")
    found, pushed = linked_context()
    TASKS[task](task_id="task").pre_execute(found)
    assert pushed == ["https://labels.example.com"]
    assert not avala.requests


@pytest.mark.parametrize("task", TASKS)
def test_a_task_does_not_fail_for_its_button(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_AVALA_DEFAULT", raising=False)
    found, pushed = linked_context()
    TASKS[task](task_id="task", avala_conn_id="nowhere").pre_execute(found)
    TASKS[task](task_id="task", avala_conn_id="nowhere").pre_execute({})
    assert pushed == []


def test_a_sensor_that_waits_has_pushed_the_datasets_page(avala: Emulator) -> None:
    dataset_id = avala.add_dataset("street scenes", status="creating")
    found, pushed = linked_context()
    with pytest.raises(TaskDeferred):
        AvalaDatasetSensor(task_id="task", dataset_id=dataset_id, deferrable=True).execute(found)
    slug = avala.store.tables["datasets"][dataset_id]["slug"]
    assert pushed == [f"{HOME}/@{SEED_OWNER}/datasets/{slug}"]


def test_an_export_that_is_waited_for_has_the_web_apps_page(avala: Emulator) -> None:
    avala.export_seconds = 3600.0
    found, pushed = linked_context()
    task = operators.AvalaCreateExportOperator(
        task_id="task", project_id=SEED_PROJECT_ID, wait_for_completion=True, deferrable=True
    )
    with pytest.raises(TaskDeferred):
        task.execute(found)
    assert pushed == [HOME]


@pytest.mark.parametrize("stored", [None, 7, "", "javascript:alert(1)", RuntimeError("no database")])
def test_the_link_is_empty_where_no_address_was_pushed(stored: Any) -> None:
    with mock.patch("airflow.providers.common.compat.sdk.XCom", create=True) as xcom:
        xcom.get_value.side_effect = [stored]
        assert AvalaLink().get_link(object(), ti_key=object()) == ""


def test_the_link_is_what_was_pushed() -> None:
    with mock.patch("airflow.providers.common.compat.sdk.XCom", create=True) as xcom:
        xcom.get_value.return_value = f"{HOME}/@acme/datasets/x"
        key = object()
        assert AvalaLink().get_link(object(), ti_key=key) == f"{HOME}/@acme/datasets/x"
    xcom.get_value.assert_called_once_with(ti_key=key, key="_link_AvalaLink")
