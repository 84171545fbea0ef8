"""How Airflow reaches an emulator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator


def connection_of(emulator: Emulator) -> str:
    """Write the Airflow connection as JSON, as AIRFLOW_CONN_... takes it."""
    connection: dict[str, Any] = {
        "conn_type": "avala",
        "host": emulator.base_url,
        "password": emulator.api_key,
    }
    if emulator.dialect.name == "legacy":
        connection["extra"] = {"dialect": "legacy"}
    return json.dumps(connection)
