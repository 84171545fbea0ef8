"""A sensor that begins in the triggerer, and what is left of that where Airflow cannot do it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, BaseOperator, TaskDeferred, task_group

from airflow_provider_avala.emulator import Emulator
from airflow_provider_avala.sensors.avala import AvalaDatasetSensor, AvalaExportSensor
from tests.airflow_support import AIRFLOW, context

SENSORS = [(AvalaExportSensor, "export_id"), (AvalaDatasetSensor, "dataset_id")]


def sensor(**arguments: Any) -> AvalaExportSensor:
    defaults = {"task_id": "wait", "export_id": "x", "start_from_trigger": True}
    return AvalaExportSensor(**defaults | arguments)


def test_the_option_is_off_unless_asked_for() -> None:
    assert not sensor(start_from_trigger=False).start_from_trigger


if AIRFLOW >= (3, 3):

    @pytest.mark.parametrize(("kind", "field"), SENSORS)
    def test_the_scheduler_is_told_what_to_start(kind: type, field: str) -> None:
        task = kind(
            task_id="wait", start_from_trigger=True, poke_interval=7, timeout=100, **{field: "{{ ds }}"}
        )
        start = task.start_trigger_args
        assert task.start_from_trigger
        assert start.trigger_cls.startswith("airflow_provider_avala.triggers.avala.")
        assert start.timeout == timedelta(seconds=100)
        assert start.trigger_kwargs == {
            field: "{{ ds }}",
            "avala_conn_id": "avala_default",
            "poll_interval": 7,
            "deadline": None,
            "returns": "resource",
        }

    def test_the_output_of_another_task_becomes_a_template() -> None:
        with DAG("labels", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
            before = BaseOperator(task_id="before")
            task = sensor(export_id=before.output)
        assert task.start_trigger_args.trigger_kwargs["export_id"] == (
            "{{ ti.xcom_pull(task_ids='before', key='return_value', map_indexes=-1) }}"
        )
        assert task.upstream_task_ids == {"before"}

    @pytest.mark.parametrize(
        ("template", "starts"),
        [
            ("{{ ti.xcom_pull('before') }}", False),
            ("{{ ti.xcom_pull('before', map_indexes=-1) }}", True),
            ("{{ dag_run.conf['export_id'] }}", True),
        ],
    )
    def test_what_the_triggerer_cannot_render_is_rendered_by_a_worker(template: str, starts: bool) -> None:
        """Airflow 3.3.2 leaves a trigger without an answer that pulls XComs of mapped tasks."""
        task = sensor(export_id=template)
        assert (task.start_from_trigger, task.deferrable) == (starts, True)

    def test_a_task_of_a_mapped_group_is_deferred_by_a_worker() -> None:
        @task_group
        def group(number: int) -> None:
            sensor()

        with DAG("labels", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
            group.expand(number=[1, 2])
        assert not dag.get_task("group.wait").start_from_trigger

    def test_a_task_with_outlets_ends_on_a_worker() -> None:
        task = sensor(outlets=[Asset("s3://labels/export")])
        assert task.start_trigger_args.trigger_kwargs["returns"] == ""

    def test_it_survives_serialisation() -> None:
        from airflow.serialization.serialized_objects import DagSerialization

        with DAG("labels", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
            task = sensor(export_id="{{ ds }}")
        [found] = DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_dict.values()
        assert found.start_from_trigger
        assert found.start_trigger_args.timeout == task.start_trigger_args.timeout
        assert found.start_trigger_args.trigger_cls == task.start_trigger_args.trigger_cls

else:

    def test_before_airflow_3_3_the_task_is_deferred_by_a_worker(avala: Emulator) -> None:
        task = sensor(export_id=avala.add_export(status="processing"))
        assert not task.start_from_trigger
        with pytest.raises(TaskDeferred):
            task.execute(context())


def test_a_worker_that_gets_it_all_the_same_defers_it(avala: Emulator) -> None:
    """As in ``dag.test()``, and as one of many mapped tasks."""
    with pytest.raises(TaskDeferred):
        sensor(export_id=avala.add_export(status="processing")).execute(context())
