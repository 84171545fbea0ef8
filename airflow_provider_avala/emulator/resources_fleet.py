"""The rows of the resource table about fleets: devices, what they record, and what is noticed about it."""

from __future__ import annotations

from airflow_provider_avala.emulator.schema import Field, Resource

SEVERITIES = ("info", "warning", "error", "critical")
TAGS = Field(list, default=list, of=str)

DEVICES = Resource(
    "fleet_devices",
    {
        "name": Field(required=True, max_length=255),
        "type": Field(required=True, max_length=255),
        "firmware_version": Field(max_length=255),
        "tags": TAGS,
        "metadata": Field(dict, default=dict),
        "status": Field(default="offline", max_length=32),
        "last_seen_at": Field(format="date-time", access="read"),
        "device_token": Field(access="once"),
    },
    label="Device",
    list_path="/fleet/devices",
    item_path="/fleet/devices/{uid}",
    methods=("list", "get", "create", "patch", "delete"),
    filters={"status": "exact", "type": "exact"},
)

RECORDINGS = Resource(
    "fleet_recordings",
    {
        "device": Field(access="read"),
        "status": Field(default="ready", max_length=32),
        "tags": TAGS,
        "duration_seconds": Field(float, access="read"),
        "size_bytes": Field(int, access="read"),
        "topic_count": Field(int, default=0, access="read"),
        "topics": Field(list, default=list, of=dict, access="read"),
        "started_at": Field(format="date-time", access="read"),
        "ended_at": Field(format="date-time", access="read"),
    },
    label="Recording",
    list_path="/fleet/recordings",
    item_path="/fleet/recordings/{uid}",
    methods=("list", "get", "patch", "delete"),
    filters={"device": "exact", "status": "exact"},
    orderings=("created_at", "updated_at"),
)

FLEET_EVENTS = Resource(
    "fleet_events",
    {
        "recording": Field(required=True),
        "device": Field(required=True),
        "label": Field(required=True, max_length=255),
        "type": Field(required=True, max_length=255),
        "timestamp": Field(required=True, format="date-time"),
        "severity": Field(default="info", choices=SEVERITIES),
        "description": Field(default=""),
        "duration_ms": Field(int, minimum=0),
        "tags": TAGS,
        "metadata": Field(dict, default=dict),
    },
    label="Event",
    list_path="/fleet/events",
    item_path="/fleet/events/{uid}",
    methods=("list", "get", "create", "delete"),
    filters={"recording": "exact", "device": "exact", "type": "exact", "severity": "exact"},
    orderings=("created_at", "timestamp"),
)

RULES = Resource(
    "fleet_rules",
    {
        "name": Field(required=True, max_length=255),
        "condition": Field(dict, required=True),
        "actions": Field(list, required=True, of=dict),
        "description": Field(default=""),
        "enabled": Field(bool, default=True),
        "scope": Field(dict),
        "hit_count": Field(int, default=0, access="read"),
        "last_hit_at": Field(format="date-time", access="read"),
    },
    label="Rule",
    list_path="/fleet/rules",
    item_path="/fleet/rules/{uid}",
    methods=("list", "get", "create", "patch", "delete"),
    filters={"enabled": "exact"},
)

ALERTS = Resource(
    "fleet_alerts",
    {
        "rule": Field(access="read"),
        "device": Field(access="read"),
        "recording": Field(access="read"),
        "severity": Field(default="warning", choices=SEVERITIES, access="read"),
        "status": Field(default="open", choices=("open", "acknowledged", "resolved"), access="read"),
        "message": Field(default="", access="read"),
        "triggered_at": Field(format="date-time", access="read"),
        "acknowledged_at": Field(format="date-time", access="read"),
        "acknowledged_by": Field(access="read"),
        "resolved_at": Field(format="date-time", access="read"),
        "resolution_note": Field(access="read"),
    },
    label="Alert",
    list_path="/fleet/alerts",
    item_path="/fleet/alerts/{uid}",
    filters={"status": "exact", "severity": "exact", "device": "exact", "rule": "exact"},
    orderings=("created_at", "updated_at"),
)

ALERT_CHANNELS = Resource(
    "fleet_alert_channels",
    {
        "name": Field(required=True, max_length=255),
        "type": Field(required=True, max_length=255),
        "config": Field(dict, required=True),
    },
    label="Alert channel",
    list_path="/fleet/alert-channels",
    item_path="/fleet/alert-channels/{uid}",
    methods=("list", "create", "delete"),
)
