"""Operators and sensors in DAG files: templates, defaults, params, mapping, copies and serialisation."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import datetime
from importlib.metadata import version
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, BaseOperator, Param, XComArg

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.operators.avala import (
    AvalaApiOperator,
    AvalaCreateDatasetOperator,
    AvalaCreateExportOperator,
    AvalaDownloadExportOperator,
    AvalaUploadItemsOperator,
)
from airflow_provider_avala.sensors.avala import AvalaExportSensor
from tests.airflow_support import in_subprocess

START = datetime(2026, 1, 1)
AIRFLOW_2 = version("apache-airflow") < "3"
T = "{{ ds }}"

#: Each class, its templated fields, and arguments that make a task of it.
TASKS: dict[type[BaseOperator], tuple[set[str], dict[str, Any]]] = {
    AvalaUploadItemsOperator: (
        {"dataset_id", "source", "items"},
        {"dataset_id": T, "source": f"/data/{T}.jsonl"},
    ),
    AvalaCreateExportOperator: (
        {"project_id", "dataset_id", "slice_id", "export_format", "name", "payload"},
        {"project_id": T, "name": T, "payload": {"name": [T]}},
    ),
    AvalaCreateDatasetOperator: (
        {
            "name",
            "slug",
            "data_type",
            "source",
            "visibility",
            "metadata",
            "organization_uid",
            "owner_name",
        },
        {"name": T, "slug": T, "data_type": "image", "source": f"/data/{T}", "metadata": {"day": T}},
    ),
    AvalaDownloadExportOperator: ({"export_id", "path"}, {"export_id": T, "path": f"/data/{T}.zip"}),
    AvalaApiOperator: ({"endpoint", "query", "json"}, {"endpoint": f"/x/{T}/", "params": {"q": T}}),
    AvalaExportSensor: ({"export_id"}, {"export_id": T}),
}
each_class = pytest.mark.parametrize("cls", TASKS, ids=lambda cls: cls.__name__)


def dag(**arguments: Any) -> DAG:
    return DAG(dag_id="labels", schedule=None, start_date=START, **arguments)


def serialised(one: DAG) -> DAG:
    """The DAG as the scheduler sees it: through the JSON in Airflow's database."""
    try:
        from airflow.serialization.serialized_objects import DagSerialization
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG

        return SerializedDAG.from_dict(json.loads(json.dumps(SerializedDAG.to_dict(one))))
    return DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(one))))


def rendered(task: BaseOperator, **context: Any) -> BaseOperator:
    """A copy of the task with its templates filled in, as before an execution."""
    prepared = task.prepare_for_execution()
    prepared.render_template_fields({"ds": "2026-01-01", "params": {}, "task": prepared, **context})
    return prepared


@each_class
def test_ids_names_paths_payloads_sources_and_connections_are_templated(cls: type[BaseOperator]) -> None:
    fields, arguments = TASKS[cls]
    assert set(cls.template_fields) == fields | {"avala_conn_id"}
    with dag():
        task = rendered(cls(task_id="one", avala_conn_id=f"avala_{T}", **arguments))
    shown = json.dumps([getattr(task, field) for field in cls.template_fields])
    assert "{{" not in shown
    assert shown.count("2026-01-01") == str(arguments).count(T) + 1
    assert task.hook.avala_conn_id == "avala_2026-01-01"


@each_class
def test_the_default_connection_is_avala_default(cls: type[BaseOperator]) -> None:
    assert cls(task_id="one", **TASKS[cls][1]).avala_conn_id == "avala_default"


@each_class
def test_default_args_reach_the_task(cls: type[BaseOperator]) -> None:
    defaults = {"avala_conn_id": "team", "retries": 7}
    with dag(default_args=defaults):
        task = cls(task_id="one", **TASKS[cls][1])
    assert (task.avala_conn_id, task.retries) == ("team", 7)


@each_class
def test_a_dag_with_it_survives_serialisation(cls: type[BaseOperator]) -> None:
    with dag(params={"day": "monday"}) as one:
        cls(task_id="one", **TASKS[cls][1])
    task = serialised(one).get_task("one")
    assert task.task_type == cls.__name__
    assert task.ui_color == cls.ui_color
    for field in cls.template_fields:
        assert getattr(task, field) == getattr(one.get_task("one"), field)


@each_class
def test_a_task_can_be_copied_and_pickled(cls: type[BaseOperator]) -> None:
    with dag(params={"day": "monday"}) as one:
        task = cls(task_id="one", **TASKS[cls][1])
    for twin in (copy.deepcopy(task), pickle.loads(pickle.dumps(task)), copy.deepcopy(one).get_task("one")):
        assert type(twin) is cls
        assert {name: getattr(twin, name) for name in cls.template_fields} == {
            name: getattr(task, name) for name in cls.template_fields
        }


@each_class
def test_it_can_be_mapped(cls: type[BaseOperator]) -> None:
    arguments = dict(TASKS[cls][1])
    field = next(iter(arguments))
    values = [f"{number}" for number in range(3)]
    del arguments[field]
    with dag(params={"day": "monday"}) as one:
        cls.partial(task_id="one", **arguments).expand(**{field: values})
    mapped = one.get_task("one")
    assert serialised(one).get_task("one").task_type == cls.__name__
    task = mapped.unmap({field: "1"})
    assert type(task) is cls
    assert getattr(task, field) == "1"


@each_class
def test_a_missing_argument_is_named(cls: type[BaseOperator]) -> None:
    if cls is AvalaCreateExportOperator:
        return  # has none that is always needed
    with pytest.raises((TypeError, AirflowException), match="missing keyword argument"):
        cls(task_id="one")


@each_class
def test_an_unknown_argument_is_named(cls: type[BaseOperator]) -> None:
    with pytest.raises((TypeError, AirflowException), match="colour"):
        cls(task_id="one", colour="red", **TASKS[cls][1])


def test_outputs_of_other_tasks_make_dependencies() -> None:
    with dag() as one:
        created = AvalaCreateExportOperator(task_id="create", project_id="p")
        awaited = AvalaExportSensor(task_id="wait", export_id=created.output)
        AvalaDownloadExportOperator(task_id="download", export_id=created.output, path="/data/") << awaited
        AvalaApiOperator(
            task_id="call", endpoint="/x/", params={"export": created.output}, json=[awaited.output]
        )
    assert {task.task_id: set(task.upstream_task_ids) for task in one.tasks} == {
        "create": set(),
        "wait": {"create"},
        "download": {"create", "wait"},
        "call": {"create", "wait"},
    }
    assert set(serialised(one).get_task("call").upstream_task_ids) == {"create", "wait"}


@pytest.mark.parametrize(
    "arguments", [{"poke_interval": -1}, {"timeout": -1}, {"mode": "deferrable"}], ids=str
)
def test_a_wrong_argument_of_a_sensor_is_named(arguments: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=next(iter(arguments))):
        AvalaExportSensor(task_id="wait", export_id="x", **arguments)


@pytest.mark.parametrize(("configured", "expected"), [("True", True), ("False", False), (None, False)])
def test_deferrable_follows_airflows_configuration(configured: str | None, expected: bool) -> None:
    program = """
from airflow_provider_avala.operators.avala import AvalaCreateExportOperator
from airflow_provider_avala.sensors.avala import AvalaExportSensor
tasks = [AvalaCreateExportOperator(task_id="a"), AvalaExportSensor(task_id="b", export_id="x")]
chosen = AvalaExportSensor(task_id="c", export_id="x", deferrable=False)
print([task.deferrable for task in tasks], chosen.deferrable)
"""
    variables = {"AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": configured} if configured else {}
    assert in_subprocess(program, **variables) == f"[{expected}, {expected}] False"


# AvalaApiOperator has an argument that BaseOperator has too


QUERY = {"limit": 5, "day": T}


@pytest.mark.parametrize("name", ["params", "query"])
@pytest.mark.parametrize("of_the_dag", [None, {"day": "monday", "limit": 3}], ids=["plain", "DAG params"])
def test_the_query_is_what_was_given_and_params_stay_airflows(
    name: str, of_the_dag: dict[str, Any] | None
) -> None:
    with dag(params=of_the_dag):
        task = AvalaApiOperator(task_id="call", endpoint="/x/", **{name: QUERY})
    assert task.query == QUERY
    assert dict(task.params) == (of_the_dag or {})
    assert rendered(task).query == {"limit": 5, "day": "2026-01-01"}


@pytest.mark.parametrize("of_the_dag", [None, {"day": "monday"}], ids=["plain", "DAG params"])
def test_without_a_query_there_is_none(of_the_dag: dict[str, Any] | None) -> None:
    with dag(params=of_the_dag):
        task = AvalaApiOperator(task_id="call", endpoint="/x/")
    assert task.query is None
    assert dict(task.params) == (of_the_dag or {})


def test_the_query_may_be_a_template_or_the_output_of_a_task() -> None:
    with dag(params={"day": "monday"}):
        made = AvalaApiOperator(task_id="first", endpoint="/x/")
        whole = AvalaApiOperator(task_id="second", endpoint="/x/", params=made.output)
        text = AvalaApiOperator(task_id="third", endpoint="/x/", params={"day": "{{ params.day }}"})
    assert isinstance(whole.query, XComArg)
    assert whole.upstream_task_ids == {"first"}
    assert rendered(text, params={"day": "monday"}).query == {"day": "monday"}


def test_the_query_survives_copies_and_serialisation() -> None:
    with dag(params={"day": "monday"}) as one:
        task = AvalaApiOperator(task_id="call", endpoint="/x/", params=QUERY)
    for twin in (copy.deepcopy(task), pickle.loads(pickle.dumps(task)), task.prepare_for_execution()):
        assert (twin.query, dict(twin.params)) == (QUERY, {"day": "monday"})
    seen = serialised(one)
    assert seen.get_task("call").query == QUERY
    assert "limit" not in str(seen.get_task("call").params)


@pytest.mark.parametrize("name", ["params", "query"])
@pytest.mark.parametrize("of_the_dag", [None, {"day": "monday"}], ids=["plain", "DAG params"])
def test_the_query_of_mapped_tasks_is_what_was_given(name: str, of_the_dag: dict[str, Any] | None) -> None:
    with dag(params=of_the_dag) as one:
        AvalaApiOperator.partial(task_id="call", **{name: {"limit": 5}}).expand(endpoint=["/x/", "/y/"])
    task = one.get_task("call").unmap({"endpoint": "/y/"})
    assert (task.endpoint, task.query) == ("/y/", {"limit": 5})
    assert serialised(one).get_task("call").task_type == "AvalaApiOperator"


@pytest.mark.parametrize("of_the_dag", [None, {"day": "monday"}], ids=["plain", "DAG params"])
def test_the_query_can_be_mapped_itself(of_the_dag: dict[str, Any] | None) -> None:
    with dag(params=of_the_dag) as one:
        AvalaApiOperator.partial(task_id="call", endpoint="/x/").expand(query=[{"limit": 1}, {"limit": 2}])
    assert one.get_task("call").unmap({"query": {"limit": 2}}).query == {"limit": 2}
    assert serialised(one).get_task("call").task_type == "AvalaApiOperator"


@pytest.mark.parametrize(
    "of_the_dag",
    [None, {"day": "monday"}, {"day": Param(type="string")}],
    ids=["plain", "DAG params", "one without default"],
)
def test_expanding_params_is_refused_instead_of_forgotten(of_the_dag: dict[str, Any] | None) -> None:
    with dag(params=of_the_dag) as one:
        AvalaApiOperator.partial(task_id="call", endpoint="/x/").expand(params=[{"limit": 1}])
    mapped = one.get_task("call")
    if AIRFLOW_2:  # does not tell the expanded ones from those of the DAG
        assert mapped.unmap({"params": {"limit": 1}}).query is None
        return
    with pytest.raises(AvalaConfigurationError, match=r"params: .*expand\(query="):
        mapped.unmap({"params": {"limit": 1}})


def test_params_without_default_do_no_harm() -> None:
    with dag(params={"day": Param(type="string")}) as one:
        AvalaApiOperator.partial(task_id="call", params={"limit": 1}).expand(endpoint=["/x/"])
    assert one.get_task("call").unmap({"endpoint": "/x/"}).query == {"limit": 1}


def test_a_subclass_keeps_the_query() -> None:
    class Ours(AvalaApiOperator):
        def __init__(self, *, team: str, **kwargs: Any) -> None:
            super().__init__(endpoint=f"/teams/{team}/", **kwargs)

    with dag(params={"day": "monday"}):
        task = Ours(task_id="call", team="a", params={"limit": 5})
    assert (task.endpoint, task.query, dict(task.params)) == ("/teams/a/", {"limit": 5}, {"day": "monday"})
