"""Fleets: devices, recordings, events, rules, alerts and where they are sent."""

from __future__ import annotations

import pytest

from airflow_provider_avala.emulator.resources_fleet import ALERTS, RECORDINGS

MOMENT = "2026-01-01T12:00:00Z"


@pytest.fixture
def fleet(start):
    avala, client = start()
    device = client.post("/fleet/devices/", json={"name": "r1", "type": "robot", "tags": ["a"]}).json()
    recording = avala.add(RECORDINGS, device=device["uid"], duration_seconds=1.5)
    event = {
        "recording": recording, "device": device["uid"], "label": "stop", "type": "manual", "timestamp": MOMENT,
    }  # fmt: skip
    return avala, client, device, event


def test_a_device_shows_its_token_once(fleet):
    _, client, device, _ = fleet
    path = f"/fleet/devices/{device['uid']}/"
    assert device["device_token"].startswith("dev_")
    changed = client.patch(path, json={"status": "online"})
    assert changed.json()["status"] == "online"
    assert device["device_token"] not in changed.text + client.get(path).text
    assert [row["uid"] for row in client.get("/fleet/devices/?status=online").json()["results"]] == [
        device["uid"]
    ]
    assert client.get("/fleet/devices/?type=car").json()["results"] == []
    assert client.delete(path).status_code == 204


def test_a_recording_is_tagged_and_deleted_but_not_made(fleet):
    _, client, device, event = fleet
    path = f"/fleet/recordings/{event['recording']}/"
    assert client.patch(path, json={"tags": ["night"]}).json()["tags"] == ["night"]
    (listed,) = client.get("/fleet/recordings/", params={"device": device["uid"]}).json()["results"]
    assert (listed["duration_seconds"], listed["tags"]) == (1.5, ["night"])
    assert client.post("/fleet/recordings/", json={}).status_code == 405
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_events_are_made_one_by_one_or_all_at_once(fleet):
    _, client, _, event = fleet
    made = client.post("/fleet/events/", json={**event, "severity": "critical"})
    assert (made.status_code, made.json()["timestamp"], made.json()["severity"]) == (201, MOMENT, "critical")
    batch = client.post("/fleet/events/batch/", json={"events": [event, event]})
    assert (batch.status_code, batch.json()) == (201, {"created": 2})
    wrong = client.post("/fleet/events/batch/", json={"events": [event, {**event, "device": "x"}]})
    assert list(wrong.json()["detail"]) == ["device"]
    assert len(client.get("/fleet/events/").json()["results"]) == 3
    assert len(client.get("/fleet/events/?severity=critical").json()["results"]) == 1
    assert client.delete(f"/fleet/events/{made.json()['uid']}/").status_code == 204


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-01", "", 5])
def test_an_event_needs_a_time(fleet, moment):
    _, client, _, event = fleet
    reply = client.post("/fleet/events/", json={**event, "timestamp": moment})
    assert (reply.status_code, list(reply.json()["detail"])) == (400, ["timestamp"])


def test_a_rule_is_switched_off(fleet):
    _, client, _, _ = fleet
    rule = client.post("/fleet/rules/", json={"name": "r", "condition": {"type": "x"}, "actions": []}).json()
    assert (rule["enabled"], rule["hit_count"]) == (True, 0)
    assert client.patch(f"/fleet/rules/{rule['uid']}/", json={"enabled": False}).json()["enabled"] is False
    assert client.get("/fleet/rules/?enabled=true").json()["results"] == []
    assert len(client.get("/fleet/rules/?enabled=False").json()["results"]) == 1


def test_an_alert_is_acknowledged_once_and_resolved_once(fleet):
    avala, client, device, _ = fleet
    path = f"/fleet/alerts/{avala.add(ALERTS, device=device['uid'], message='hot')}"
    acknowledged = client.post(f"{path}/acknowledge/").json()
    assert (acknowledged["status"], acknowledged["acknowledged_by"]) == ("acknowledged", "emulator")
    assert client.post(f"{path}/acknowledge/").status_code == 400
    resolved = client.post(f"{path}/resolve/", json={"resolution_note": "cooled"}).json()
    assert (resolved["status"], resolved["resolution_note"]) == ("resolved", "cooled")
    assert resolved["resolved_at"] >= resolved["acknowledged_at"]
    assert client.post(f"{path}/resolve/").status_code == 400
    assert len(client.get(f"/fleet/alerts/?status=resolved&device={device['uid']}").json()["results"]) == 1


def test_a_channel_keeps_its_secret(fleet):
    _, client, _, _ = fleet
    body = {"name": "c", "type": "webhook", "config": {"url": "http://127.0.0.1:9/", "token": "hush"}}
    made = client.post("/fleet/alert-channels/", json=body)
    assert made.json()["config"] == {"url": "http://127.0.0.1:9/", "token": "********"}
    assert client.post(f"/fleet/alert-channels/{made.json()['uid']}/test/").json() == {"success": True}
    assert client.delete(f"/fleet/alert-channels/{made.json()['uid']}/").status_code == 204
    assert client.get("/fleet/alert-channels/").json()["results"] == []
