"""Fleets through the SDK: devices, recordings, events, rules, alerts and their channels."""

from __future__ import annotations

import avala.errors
import pytest

from tests.sdk.facade import covers

MOMENT = "2026-01-01T12:00:00Z"


@pytest.fixture
def device(sdk):
    return sdk.fleet.devices.register(name="robot 1", type="robot", tags=["a"], metadata={"wheels": 4})


@covers(
    "fleet.devices.register",
    "fleet.devices.list",
    "fleet.devices.get",
    "fleet.devices.update",
    "fleet.devices.delete",
)
def test_a_device_lives_its_life(sdk, device):
    devices = sdk.fleet.devices
    assert device.device_token
    assert (devices.get(device.uid).metadata, devices.get(device.uid).device_token) == ({"wheels": 4}, None)
    assert devices.update(device.uid, status="online", firmware_version="2").firmware_version == "2"
    assert [found.uid for found in devices.list(status="online", type="robot")] == [device.uid]
    assert [*devices.list(status="offline")] == []
    devices.delete(device.uid)
    with pytest.raises(avala.errors.NotFoundError):
        devices.get(device.uid)


@covers(
    "fleet.recordings.list",
    "fleet.recordings.get",
    "fleet.recordings.update",
    "fleet.recordings.delete",
    "fleet.events.create",
    "fleet.events.create_batch",
    "fleet.events.get",
    "fleet.events.list",
    "fleet.events.delete",
)
def test_a_recording_has_its_events(sdk, control, device):
    [uid] = control.plant(fleet_recordings=[{"device": device.uid, "duration_seconds": 2.5}])[
        "fleet_recordings"
    ]
    recordings, events = sdk.fleet.recordings, sdk.fleet.events
    assert [found.duration_seconds for found in recordings.list(device_id=device.uid)] == [2.5]
    assert recordings.update(uid, tags=["night"]).tags == ["night"]
    assert recordings.get(uid).tags == ["night"]
    common = {"recording": uid, "device": device.uid, "type": "manual", "timestamp": MOMENT}
    made = events.create(**common, label="stop", severity="critical")
    assert events.get(made.uid).timestamp.isoformat() == "2026-01-01T12:00:00+00:00"
    assert events.create_batch(events=[{**common, "label": "go"}, {**common, "label": "turn"}]) == 2
    assert [event.label for event in events.list(recording_id=uid)] == ["turn", "go", "stop"]
    assert [event.label for event in events.list(severity="critical")] == ["stop"]
    events.delete(made.uid)
    assert [event.label for event in events.list(device_id=device.uid)] == ["turn", "go"]
    recordings.delete(uid)
    assert [*recordings.list()] == []


@covers(
    "fleet.rules.create",
    "fleet.rules.list",
    "fleet.rules.get",
    "fleet.rules.update",
    "fleet.rules.delete",
    "fleet.alerts.list",
    "fleet.alerts.get",
    "fleet.alerts.acknowledge",
    "fleet.alerts.resolve",
)
def test_a_rule_raises_an_alert_that_is_dealt_with(sdk, control):
    rules, alerts = sdk.fleet.rules, sdk.fleet.alerts
    rule = rules.create(name="hot", condition={"type": "threshold"}, actions=[{"type": "notify"}])
    assert rules.get(rule.uid).actions == [{"type": "notify"}]
    assert rules.update(rule.uid, enabled=False).enabled is False
    assert [found.uid for found in rules.list(enabled=False)] == [rule.uid]
    [uid] = control.plant(fleet_alerts=[{"rule": rule.uid, "message": "too hot"}])["fleet_alerts"]
    assert [alert.message for alert in alerts.list(status="open", rule_id=rule.uid)] == ["too hot"]
    assert alerts.acknowledge(uid).acknowledged_by == "emulator"
    assert alerts.resolve(uid, resolution_note="cooled").status == "resolved"
    assert alerts.get(uid).resolution_note == "cooled"
    rules.delete(rule.uid)
    assert [*rules.list()] == []


@covers(
    "fleet.alert_channels.create",
    "fleet.alert_channels.list",
    "fleet.alert_channels.test",
    "fleet.alert_channels.delete",
)
def test_a_channel_is_made_tested_and_deleted(sdk):
    channels = sdk.fleet.alert_channels
    made = channels.create(name="c", type="webhook", config={"url": "http://127.0.0.1:9/"})
    assert [(found.name, found.config) for found in channels.list()] == [
        ("c", {"url": "http://127.0.0.1:9/"})
    ]
    assert channels.test(made.uid) == {"success": True}
    channels.delete(made.uid)
    assert [*channels.list()] == []
