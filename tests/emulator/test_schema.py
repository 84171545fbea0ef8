"""The emulator as it describes itself: schemathesis looks for answers that differ from the description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from airflow_provider_avala.emulator import (
    SEED_DATASET_ID,
    SEED_PROJECT_ID,
    Emulator,
    Settings,
    running_emulator,
)
from airflow_provider_avala.emulator.resources_accounts import ORGANIZATIONS, TEAMS
from airflow_provider_avala.emulator.resources_work import (
    AGENT_EXECUTIONS,
    AGENTS,
    INFERENCE_PROVIDERS,
    QUALITY_TARGETS,
    WEBHOOK_DELIVERIES,
    WEBHOOKS,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    ignored_auth,
]
NOWHERE = "http://127.0.0.1:9/"  # the discard port: nobody listens
EXAMPLES = {"current": 6, "legacy": 3}  # for each operation


def fill(avala: Emulator) -> dict[str, str]:
    """Add one of everything; return path -> the uid that its ``{uid}`` may stand for."""
    avala.add_items(SEED_DATASET_ID, [{"key": "a.jpg", "url": "s3://bucket/a.jpg"}, {"key": "b.jpg"}])
    avala.add_task(SEED_PROJECT_ID)
    avala.add(ORGANIZATIONS, name="Second")
    (home,) = avala.store.among(ORGANIZATIONS, slug="emulator")
    avala.add_member(home["uid"], "bob")
    avala.add(TEAMS, organization=home["uid"], name="Blue")
    target = avala.add(QUALITY_TARGETS, project=SEED_PROJECT_ID, name="q", metric="m", threshold=0.5)
    webhook = avala.add(WEBHOOKS, target_url=NOWHERE, events=["task.completed"])
    agent = avala.add(AGENTS, name="a")
    avala.add(AGENT_EXECUTIONS, agent=agent, registration=agent, event_type="task.completed")
    return {
        "/datasets/{uid}": SEED_DATASET_ID,
        "/projects/{uid}": SEED_PROJECT_ID,
        "/users/me/projects/{uid}": SEED_PROJECT_ID,
        "/quality-targets/{uid}": target,
        "/webhooks/{uid}": webhook,
        "/webhook-deliveries/{uid}": avala.add(
            WEBHOOK_DELIVERIES, subscription=webhook, event_type="task.completed"
        ),
        "/agents/{uid}": agent,
        "/inference-providers/{uid}": avala.add(
            INFERENCE_PROVIDERS, name="i", provider_type="http", config={"url": NOWHERE}
        ),
        "/exports/{uid}": avala.add_export(status="exported", projects=[SEED_PROJECT_ID]),
        "/sequences/{uid}": avala.add_sequence(SEED_DATASET_ID, frames=[{"key": "frame"}]),
    }


@pytest.fixture(scope="module", params=["current", "legacy"])
def api(request) -> Iterator[Any]:
    """The description of a running emulator, whose paths lead to what there is most of the time."""
    with running_emulator(
        dialect=request.param,
        rate_limits=None,
        inference_rate_limits=None,
        max_exports=10**6,
        export_seconds=0,
    ) as avala:
        uids = fill(avala)
        (sequence,) = avala.store.tables["sequences"]
        known = {
            "owner": "emulator",
            "organization": "emulator",
            "team": "blue",
            "project": SEED_PROJECT_ID,
            "agent": uids["/agents/{uid}"],
            "sequence": sequence,
        }
        schema = schemathesis.openapi.from_url(avala.base_url.replace("/api/v1", "/openapi.json"))

        @schema.hook
        def map_path_parameters(context, parameters):
            path = context.operation.path.rstrip("/")
            found = dict(parameters or {})
            for name, text in list(found.items()):
                if len(str(text)) % 4 == 3:
                    continue  # now and then, a path that leads nowhere
                if name == "slug":
                    found[name] = "seed-slice" if path.startswith("/slices") else "seed-dataset"
                elif name == "uid":
                    endings = [uid for ending, uid in uids.items() if ending in path]
                    found[name] = endings[-1] if endings else text
                else:
                    found[name] = known.get(name, text)
            return found

        schema.config.headers = {"X-Avala-Api-Key": avala.api_key}
        yield schema


def operations() -> list[tuple[str, str]]:
    emulator = Emulator(Settings())
    return sorted({(endpoint.path, endpoint.method) for endpoint in emulator.endpoints})


@pytest.mark.parametrize(("path", "method"), operations())
def test_every_answer_is_as_described(api, path, method, request):
    dialect = request.node.callspec.params["api"]
    operation = api[path if path in api.raw_schema["paths"] else f"{path}/"][method]

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES[dialect],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case):
        case.call_and_validate(checks=CHECKS, timeout=10)

    ask()


@pytest.mark.parametrize("path", ["/openapi.json", "/api/v1/openapi.json"])
def test_the_description_needs_no_key_and_is_not_logged(start, path):
    avala, _ = start()
    reply = requests.get(avala.base_url.replace("/api/v1", path), timeout=10)
    assert reply.json()["servers"] == [{"url": avala.base_url}]
    assert avala.requests == []


def test_every_endpoint_is_described_with_what_it_takes_and_gives(start):
    avala, _ = start()
    described = requests.get(avala.base_url + "/openapi.json", timeout=10).json()
    listed = {(method, path) for path, methods in described["paths"].items() for method in methods}
    assert listed == {(endpoint.method.lower(), f"{endpoint.path}/") for endpoint in avala.endpoints}
    create = described["paths"]["/webhooks/"]["post"]
    body = create["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["target_url", "events"]
    assert set(create["responses"]) >= {"201", "400", "401", "403", "413", "429"}
    webhook = described["components"]["schemas"]["webhooks"]
    assert set(webhook["required"]) == {"uid", "target_url", "events", "created_at", "updated_at"}
    names = [parameter["name"] for parameter in described["paths"]["/datasets/"]["get"]["parameters"]]
    assert names == ["name", "data_type", "status", "visibility", "ordering", "limit", "cursor"]


def test_no_two_operations_have_one_name(start):
    avala, _ = start()
    described = requests.get(avala.base_url + "/openapi.json", timeout=10).json()
    names = [
        operation["operationId"] for methods in described["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)
