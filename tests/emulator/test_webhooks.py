"""Webhooks and agents: who is told what, signed how, and what happens when nobody listens."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID
from airflow_provider_avala.emulator.outbox import REFUSAL, loopback_address, post
from tests.emulator.support import eventually

DATASET = {"name": "Streets", "slug": "streets", "data_type": "image"}


@dataclass
class Receiver:
    """A real receiver of webhooks.

    :ivar answers: statuses of the next answers; 200 when there is none left.
    """

    url: str
    messages: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def events(self) -> list[str]:
        return [headers["x-avala-webhook-event"] for headers, _ in self.messages]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.messages.append(({name.lower(): text for name, text in self.headers.items()}, body))
            self.send_response(found.answers.pop(0) if found.answers else 200)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"thank you")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
        yield found
        server.shutdown()
        thread.join()


def subscribe(client, url, *events, **fields):
    body = {"target_url": url, "events": list(events), **fields}
    reply = client.post("/webhooks/", json=body)
    assert reply.status_code == 201, reply.text
    return reply.json()


def deliveries(client, **query):
    return client.get("/webhook-deliveries/", params=query).json()["results"]


def settled(client, count, status):
    eventually(lambda: [row["status"] for row in deliveries(client)] == [status] * count)
    return deliveries(client)


def test_the_end_of_an_export_is_told_signed_and_recorded(start, clock, receiver):
    avala, client = start(clock=clock, export_seconds=10)
    webhook = subscribe(client, receiver.url, "export.completed")
    export = client.post("/exports/", json={"project": SEED_PROJECT_ID}).json()
    avala.advance(9.9)
    assert avala.events.outbox.wait(10)
    assert receiver.messages == []
    avala.advance(0.1)
    (delivery,) = settled(client, 1, "delivered")
    ((headers, body),) = receiver.messages
    expected = hmac.new(webhook["secret"].encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-avala-webhook-signature"] == expected
    assert headers["x-avala-webhook-event"] == "export.completed"
    assert headers["x-avala-webhook-delivery"] == delivery["uid"]
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == delivery["payload"]
    payload = delivery["payload"]
    assert (payload["uid"], payload["status"], payload["format"]) == (export["uid"], "completed", "json")
    assert client.get(payload["download_url"]).content[:2] == b"PK"
    assert (delivery["subscription"], delivery["attempts"], delivery["response_status"]) == (
        webhook["uid"],
        1,
        200,
    )
    assert (delivery["response_body"], delivery["response_body_size"]) == ("thank you", 9)
    assert delivery["next_retry_at"] is None
    assert client.get(f"/webhook-deliveries/{delivery['uid']}/").json() == delivery


def test_a_secret_that_was_given_is_the_key_of_the_signature(start, receiver):
    _, client = start(dataset_seconds=0)
    assert subscribe(client, receiver.url, "dataset.deleted", secret="own-secret")["secret"] == "own-secret"
    client.delete(f"/datasets/{SEED_DATASET_ID}/")
    eventually(lambda: len(receiver.messages) == 1)
    headers, body = receiver.messages[0]
    assert headers["x-avala-webhook-signature"] == hmac.new(b"own-secret", body, hashlib.sha256).hexdigest()


def test_a_dataset_is_told_when_it_is_ready_changed_and_deleted(start, clock, receiver):
    avala, client = start(clock=clock, dataset_seconds=10)
    subscribe(client, receiver.url, "dataset.created", "dataset.updated", "dataset.deleted")
    created = client.post("/datasets/", json={**DATASET, "provider_config": {"provider": "aws_s3"}}).json()
    assert avala.events.outbox.wait(10)
    assert receiver.messages == []
    avala.advance(10)
    eventually(lambda: receiver.events() == ["dataset.created"])
    payload = json.loads(receiver.messages[0][1])
    assert set(payload) == {
        "uid", "name", "owner", "slug", "data_type", "item_count", "created_at", "updated_at",
    }  # fmt: skip
    assert (payload["owner"], payload["item_count"]) == ("emulator", 3)
    client.patch(f"/datasets/{created['uid']}/", json={"name": "Roads"})
    eventually(lambda: receiver.events()[1:] == ["dataset.updated"])
    client.delete(f"/datasets/{created['uid']}/")
    eventually(lambda: receiver.events()[2:] == ["dataset.deleted"])
    assert [json.loads(body)["name"] for _, body in receiver.messages] == ["Streets", "Roads", "Roads"]


def test_a_failed_export_is_told_once_even_if_its_end_is_forced(start, clock, receiver):
    avala, client = start(clock=clock, export_seconds=10)
    subscribe(client, receiver.url, "export.failed", "export.completed")
    uid = client.post("/exports/", json={"project": SEED_PROJECT_ID}).json()["uid"]
    avala.fail_export(uid)
    eventually(lambda: receiver.events() == ["export.failed"])
    payload = json.loads(receiver.messages[0][1])
    assert (payload["status"], payload["download_url"]) == ("failed", None)
    avala.advance(100)
    assert avala.events.outbox.wait(10)
    assert receiver.events() == ["export.failed"]


def test_a_delivery_that_fails_is_tried_again_on_the_clock_until_it_is_taken(start, clock, receiver):
    avala, client = start(clock=clock)
    receiver.answers[:] = [500, 302]
    subscribe(client, receiver.url, "dataset.deleted")
    client.delete(f"/datasets/{SEED_DATASET_ID}/")
    eventually(lambda: deliveries(client)[0]["attempts"] == 1)
    (delivery,) = deliveries(client)
    assert (delivery["status"], delivery["response_status"]) == ("pending", 500)
    assert delivery["next_retry_at"] > delivery["created_at"]
    avala.advance(4)
    assert avala.events.outbox.wait(10)
    assert len(receiver.messages) == 1
    avala.advance(1)
    eventually(lambda: deliveries(client)[0]["attempts"] == 2)
    assert deliveries(client)[0]["response_status"] == 302
    avala.advance(30)
    (delivery,) = settled(client, 1, "delivered")
    assert delivery["attempts"] == 3
    assert {headers["x-avala-webhook-delivery"] for headers, _ in receiver.messages} == {delivery["uid"]}


def test_a_receiver_that_never_answers_well_gets_four_attempts(start, clock, receiver):
    avala, client = start(clock=clock)
    receiver.answers[:] = [503] * 9
    subscribe(client, receiver.url, "dataset.deleted")
    client.delete(f"/datasets/{SEED_DATASET_ID}/")
    for attempts in (1, 2, 3, 4):
        eventually(lambda attempts=attempts: deliveries(client)[0]["attempts"] == attempts)
        avala.advance(1000)
    (delivery,) = settled(client, 1, "failed")
    assert (delivery["attempts"], len(receiver.messages), delivery["next_retry_at"]) == (4, 4, None)


def test_nothing_leaves_this_machine(start):
    _, client = start()
    subscribe(client, "https://192.0.2.1/hook", "dataset.deleted")
    client.delete(f"/datasets/{SEED_DATASET_ID}/")
    (delivery,) = settled(client, 1, "failed")
    assert (delivery["response_status"], delivery["response_body"]) == (None, REFUSAL)


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("192.0.2.1", None), ("", None), ("x" * 300, None)]
)
def test_only_loopback_addresses_are_sent_to(host, address):
    assert loopback_address(host, 80) == address


def test_a_receiver_that_is_not_there_is_an_outcome_not_an_error():
    outcome = post("http://127.0.0.1:9/", b"{}", {})
    assert (outcome.status, outcome.final, outcome.delivered) == (None, False, False)
    assert "ConnectionRefusedError" in outcome.body


def test_only_those_who_asked_and_are_active_are_told(start, receiver):
    _, client = start()
    subscribe(client, receiver.url, "export.failed")
    subscribe(client, receiver.url, "dataset.deleted", is_active=False)
    mine = subscribe(client, receiver.url, "dataset.deleted")
    client.delete(f"/datasets/{SEED_DATASET_ID}/")
    settled(client, 1, "delivered")
    assert [row["subscription"] for row in deliveries(client)] == [mine["uid"]]
    assert deliveries(client, status="failed") == []
    assert len(deliveries(client, event_type="dataset.deleted")) == 1


def test_a_test_message_is_sent_at_once(start, receiver):
    _, client = start()
    webhook = subscribe(client, receiver.url, "export.failed")
    reply = client.post(f"/webhooks/{webhook['uid']}/test/").json()
    assert (reply["delivered"], reply["success"], reply["status_code"]) == (True, True, 200)
    receiver.answers[:] = [404]
    reply = client.post(f"/webhooks/{webhook['uid']}/test/").json()
    assert (reply["delivered"], reply["success"], reply["status_code"]) == (False, False, 404)
    assert receiver.events() == ["test", "test"]
    assert deliveries(client) == []


def test_an_agent_is_called_and_its_execution_recorded(start, receiver):
    _, client = start()
    agent = client.post(
        "/agents/", json={"name": "a", "events": ["dataset.deleted"], "callback_url": receiver.url}
    ).json()
    client.delete(f"/datasets/{SEED_DATASET_ID}/")
    path = f"/agents/{agent['uid']}/executions/"
    eventually(lambda: [row["status"] for row in client.get(path).json()["results"]] == ["success"])
    (execution,) = client.get(path).json()["results"]
    assert (execution["registration"], execution["event_type"]) == (agent["uid"], "dataset.deleted")
    assert execution["event_payload"]["uid"] == SEED_DATASET_ID
    assert execution["completed_at"] >= execution["started_at"]
    headers, body = receiver.messages[0]
    assert json.loads(body)["execution"] == execution["uid"]
    assert (
        headers["x-avala-webhook-signature"]
        == hmac.new(agent["secret"].encode(), body, hashlib.sha256).hexdigest()
    )
    assert client.get(f"/agents/{agent['uid']}/").json()["execution_stats"] == {"pending": 0, "success": 1}
    assert client.get(path, params={"status": "pending"}).json()["results"] == []


def test_an_agent_without_a_callback_waits_for_an_action(start):
    _, client = start()
    agent = client.post("/agents/", json={"name": "a", "events": ["dataset.deleted"]}).json()
    client.delete(f"/datasets/{SEED_DATASET_ID}/")
    (execution,) = client.get(f"/agents/{agent['uid']}/executions/?status=pending").json()["results"]
    acted = client.post("/agent-actions/", json={"execution": execution["uid"], "action": "approve"})
    assert (acted.status_code, acted.json()["action"], acted.json()["status"]) == (201, "approve", "success")
    assert client.post("/agent-actions/", json={"execution": "x", "action": "approve"}).status_code == 400
    assert client.post(f"/agents/{agent['uid']}/test/").json()["delivered"] is False


def test_an_emulator_stops_while_a_receiver_hangs(start):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        _, client = start()  # the server accepts, since it listens, and nobody handles
        subscribe(client, f"http://127.0.0.1:{server.server_port}/", "dataset.deleted")
        assert client.delete(f"/datasets/{SEED_DATASET_ID}/").status_code == 204
        assert deliveries(client)[0]["status"] == "pending"
