"""The SDK's command line on fleets."""

from __future__ import annotations

import json

from tests.sdk.facade import covers


@covers(
    "fleet devices delete",
    "fleet devices get",
    "fleet devices list",
    "fleet devices register",
    "fleet devices update",
)
def test_devices(cli):
    cli.done("fleet", "devices", "register", "--name", "Rover", "--type", "robot", "--tags", "a,b")
    [device] = cli.json("fleet", "devices", "list", "--type", "robot")
    cli.done("fleet", "devices", "update", device["uid"], "--status", "online")
    assert "online" in cli.done("fleet", "devices", "get", device["uid"]).out
    cli.done("fleet", "devices", "delete", device["uid"], "--yes")
    assert cli.json("fleet", "devices", "list") == []


@covers(
    "fleet events create",
    "fleet events get",
    "fleet events list",
    "fleet recordings get",
    "fleet recordings list",
)
def test_recordings_and_events(cli, control):
    planted = control.plant(
        fleet_devices=[{"name": "Rover", "type": "robot"}], fleet_recordings=[{"device": "Rover"}]
    )
    [device], [recording] = planted["fleet_devices"], planted["fleet_recordings"]
    assert [row["uid"] for row in cli.json("fleet", "recordings", "list", "--device", device)] == [recording]
    assert recording in cli.done("fleet", "recordings", "get", recording).out
    where = ("--recording", recording, "--device", device)
    what = ("--type", "error", "--label", "wall", "--timestamp", "2026-01-02T03:04:05Z")
    cli.done("fleet", "events", "create", *where, *what)
    [event] = cli.json("fleet", "events", "list", "--device", device)
    assert "wall" in cli.done("fleet", "events", "get", event["uid"]).out


@covers(
    "fleet rules create",
    "fleet rules delete",
    "fleet rules get",
    "fleet rules list",
    "fleet rules update",
)
def test_rules(cli, tmp_path):
    file = tmp_path / "rule.json"
    file.write_text(json.dumps({"condition": {"type": "bump"}, "actions": [{"type": "alert"}]}))
    cli.done("fleet", "rules", "create", "--name", "Bumps", "--condition-file", str(file))
    [rule] = cli.json("fleet", "rules", "list")
    cli.done("fleet", "rules", "update", rule["uid"], "--name", "Walls")
    assert "Walls" in cli.done("fleet", "rules", "get", rule["uid"]).out
    cli.done("fleet", "rules", "delete", rule["uid"], "--yes")
    assert cli.json("fleet", "rules", "list") == []


@covers("fleet alerts acknowledge", "fleet alerts get", "fleet alerts list", "fleet alerts resolve")
def test_alerts(cli, control):
    [alert] = control.plant(fleet_alerts=[{"message": "bumped"}])["fleet_alerts"]
    assert [row["uid"] for row in cli.json("fleet", "alerts", "list", "--status", "open")] == [alert]
    cli.done("fleet", "alerts", "acknowledge", alert)
    cli.done("fleet", "alerts", "resolve", alert, "--note", "moved the wall")
    assert "resolved" in cli.done("fleet", "alerts", "get", alert).out
