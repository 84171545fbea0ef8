"""Who is told and who acts: webhooks, their deliveries, agents, inference providers."""

from __future__ import annotations

import avala.errors
import pytest

from airflow_provider_avala.emulator import SEED_PROJECT_ID
from tests.emulator.support import eventually
from tests.sdk.facade import covers
from tests.sdk.receiver import receiving


@covers(
    "webhooks.create", "webhooks.delete", "webhooks.get", "webhooks.list", "webhooks.test", "webhooks.update"
)
def test_a_webhook_lives_its_life(sdk):
    with receiving() as receiver:
        made = sdk.webhooks.create(
            target_url=receiver.url, events=["export.completed"], is_active=True, secret="whsec_mine"
        )
        assert (made.target_url, made.events, made.is_active) == (receiver.url, ["export.completed"], True)
        assert made.secret == "whsec_mine"
        assert [row.uid for row in sdk.webhooks.list(limit=5)] == [made.uid]
        found = sdk.webhooks.get(made.uid)
        assert (found.target_url, found.secret) == (receiver.url, None)
        changed = sdk.webhooks.update(made.uid, events=["dataset.created", "export.failed"], is_active=False)
        assert (changed.events, changed.is_active) == (["dataset.created", "export.failed"], False)
        answer = sdk.webhooks.test(made.uid)
        assert answer["delivered"] is answer["success"] is True
        [message] = receiver.messages
        assert message.is_signed_with("whsec_mine")
        sdk.webhooks.delete(made.uid)
        with pytest.raises(avala.errors.NotFoundError):
            sdk.webhooks.get(made.uid)


@pytest.mark.parametrize(
    ("url", "events", "field"),
    [
        ("not-a-url", ["export.failed"], "target_url"),
        ("https://e.org/", [], "events"),
        ("https://e.org/", ["x"], "events"),
    ],
)
def test_a_webhook_that_makes_no_sense_is_refused(sdk, url, events, field):
    with pytest.raises(avala.errors.ValidationError) as caught:
        sdk.webhooks.create(target_url=url, events=events)
    assert list(caught.value.body["detail"]) == [field]


@covers("webhook_deliveries.get", "webhook_deliveries.list")
def test_a_finished_export_is_delivered_and_recorded(sdk, control):
    with receiving() as receiver:
        hook = sdk.webhooks.create(target_url=receiver.url, events=["export.completed"])
        export = sdk.exports.create(project=SEED_PROJECT_ID)
        control.turn(advance=1)
        sdk.exports.get(export.uid)
        eventually(lambda: bool(receiver.messages))
        [message] = receiver.messages
        assert message.is_signed_with(hook.secret)
        assert message.headers["X-Avala-Webhook-Event"] == "export.completed"
        assert (message.json["uid"], message.json["status"]) == (export.uid, "completed")
        eventually(lambda: [row.status for row in sdk.webhook_deliveries.list()] == ["delivered"])
    delivery = sdk.webhook_deliveries.get(message.headers["X-Avala-Webhook-Delivery"])
    assert (delivery.subscription, delivery.event_type, delivery.attempts) == (
        hook.uid,
        "export.completed",
        1,
    )
    assert (delivery.response_status, delivery.payload["uid"]) == (200, export.uid)
    assert len(sdk.webhook_deliveries.list(limit=1)) == 1


@covers(
    "agents.create", "agents.delete", "agents.get", "agents.list", "agents.list_executions", "agents.test",
    "agents.update",
)  # fmt: skip
def test_an_agent_lives_its_life_and_acts_on_an_event(sdk):
    with receiving() as receiver:
        made = sdk.agents.create(
            name="Checker",
            events=["dataset.created"],
            description="looks",
            callback_url=receiver.url,
            is_active=True,
            project=SEED_PROJECT_ID,
            task_types=["box"],
        )
        assert (made.name, made.events, made.task_types) == ("Checker", ["dataset.created"], ["box"])
        assert (made.description, made.callback_url, made.project) == ("looks", receiver.url, SEED_PROJECT_ID)
        assert [row.uid for row in sdk.agents.list()] == [made.uid]
        assert sdk.agents.test(made.uid)["delivered"] is True
        dataset = sdk.datasets.create(name="D", slug="d", data_type="image")
        eventually(lambda: len(receiver.messages) == 2)
        eventually(lambda: [row.status for row in sdk.agents.list_executions(made.uid)] == ["success"])
        [execution] = sdk.agents.list_executions(made.uid, limit=5)
        assert (execution.registration, execution.event_type) == (made.uid, "dataset.created")
        assert dataset.uid in str(execution.event_payload)
        changed = sdk.agents.update(made.uid, name="Checker 2", is_active=False)
        assert (changed.name, changed.is_active, changed.events) == ("Checker 2", False, ["dataset.created"])
        assert sdk.agents.get(made.uid).name == "Checker 2"
    with pytest.raises(avala.errors.AvalaError) as caught:
        sdk.agents.create(name="Checker 2")
    assert caught.value.status_code == 409
    sdk.agents.delete(made.uid)
    with pytest.raises(avala.errors.NotFoundError):
        sdk.agents.get(made.uid)


@covers(
    "inference_providers.create",
    "inference_providers.delete",
    "inference_providers.get",
    "inference_providers.list",
    "inference_providers.test",
    "inference_providers.update",
)
def test_an_inference_provider_lives_its_life_and_keeps_its_secret(sdk):
    providers = sdk.inference_providers
    config = {"url": "https://models.example.com/v1", "method": "POST", "api_key": "not to be shown"}
    made = providers.create(
        name="Model", provider_type="http", config=config, description="d", project=SEED_PROJECT_ID
    )
    assert (made.name, made.provider_type, made.is_active) == ("Model", "http", True)
    assert [row.uid for row in providers.list()] == [made.uid]
    found = providers.get(made.uid)
    assert found.config["url"] == config["url"]
    assert "not to be shown" not in str(found.config)
    tested = providers.test(made.uid)
    assert tested["success"] is True
    assert providers.get(made.uid).last_test_success is True
    changed = providers.update(
        made.uid, name="Other", is_active=False, config={"url": "https://other.example.com"}
    )
    assert (changed.name, changed.is_active, changed.config["url"]) == (
        "Other",
        False,
        "https://other.example.com",
    )
    providers.delete(made.uid)
    with pytest.raises(avala.errors.NotFoundError):
        providers.get(made.uid)
