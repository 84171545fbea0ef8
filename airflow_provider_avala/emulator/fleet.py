"""Fleets: devices with their tokens, events one by one or in batches, alerts that are dealt with."""

from __future__ import annotations

import secrets

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.resources_fleet import ALERTS, DEVICES, FLEET_EVENTS, RECORDINGS
from airflow_provider_avala.emulator.schema import Field, Record, Shape
from airflow_provider_avala.emulator.storage_configs import without_secrets

BATCH = Shape("fleet_event_batch", {"events": Field(list, required=True, of=dict)})
COUNTED = Shape("fleet_event_count", {"created": Field(int, required=True)})
RESOLUTION = Shape("fleet_alert_resolution", {"resolution_note": Field()})
TESTED = Shape("fleet_channel_test", {"success": Field(bool, required=True)})


class Devices(Kind):
    """Devices: a token is shown when one is registered."""

    def prepare(self, fields: Record, call: Call) -> Record:
        """Make up a token."""
        return {**fields, "device_token": f"dev_{secrets.token_hex(20)}"}

    def amend(self, record: Record, changes: Record) -> Record:
        """Keep the token."""
        return {name: value for name, value in changes.items() if name != "device_token"}


class FleetEvents(Kind):
    """Events of recordings and devices that there are."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the batch."""
        batch = Endpoint(
            "POST",
            "/fleet/events/batch",
            self.create_batch,
            "Create events",
            takes=BATCH,
            gives=COUNTED,
            status=201,
        )
        return [*super().endpoints(), batch]

    def prepare(self, fields: Record, call: Call) -> Record:
        """Look the recording and the device up."""
        for name, row in (("recording", RECORDINGS), ("device", DEVICES)):
            if not self.store.known(row, fields[name]):
                raise ApiError.invalid(**{name: f'Invalid pk "{fields[name]}" - object does not exist.'})
        return fields

    def create_batch(self, call: Call) -> Json:
        """Answer POST /fleet/events/batch/: all of them or none."""
        with self.store.lock:
            checked = [self.prepare(FLEET_EVENTS.validate(body), call) for body in call.body["events"]]
            for fields in checked:
                self.store.insert(FLEET_EVENTS, fields)
        return {"created": len(checked)}


class Alerts(Kind):
    """Alerts: acknowledged, then resolved."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the two steps."""
        path = "/fleet/alerts/{uid}"
        return [
            *super().endpoints(),
            Endpoint("POST", f"{path}/acknowledge", self.acknowledge, "Acknowledge the alert", gives=ALERTS),
            Endpoint(
                "POST", f"{path}/resolve", self.resolve, "Resolve the alert", takes=RESOLUTION, gives=ALERTS
            ),
        ]

    def acknowledge(self, call: Call) -> Json:
        """Answer POST .../acknowledge/."""
        with self.store.lock:
            record, now = self.at(call.params), self.store.now()
            if record["status"] != "open":
                raise ApiError(400, f"The alert is {record['status']}.")
            record.update(
                status="acknowledged",
                acknowledged_at=now,
                acknowledged_by=self.emulator.username,
                updated_at=now,
            )
        return self.view(record)

    def resolve(self, call: Call) -> Json:
        """Answer POST .../resolve/."""
        with self.store.lock:
            record, now = self.at(call.params), self.store.now()
            if record["status"] == "resolved":
                raise ApiError(400, "The alert is resolved.")
            record.update(call.body, status="resolved", resolved_at=now, updated_at=now)
        return self.view(record)


class AlertChannels(Kind):
    """Where alerts are sent; the emulator sends none."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the test."""
        path = "/fleet/alert-channels/{uid}/test"
        return [*super().endpoints(), Endpoint("POST", path, self.test, "Test the channel", gives=TESTED)]

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show a channel without its secrets."""
        return {**self.row.show(record), "config": without_secrets(record["config"])}

    def test(self, call: Call) -> Json:
        """Answer POST .../test/: as if it had worked."""
        self.at(call.params)
        return {"success": True}
