"""All kinds of resources: one row each. The routes, the validation, the lists and the schema follow from them."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_avala.emulator import resources_accounts as accounts
from airflow_provider_avala.emulator import resources_data as data
from airflow_provider_avala.emulator import resources_fleet as fleet
from airflow_provider_avala.emulator import resources_work as work
from airflow_provider_avala.emulator.schema import Resource

RESOURCES: Mapping[str, Resource] = {
    row.name: row
    for part in (data, work, accounts, fleet)
    for row in vars(part).values()
    if isinstance(row, Resource)
}
