"""Two more watchers beside that of avala_on_export: one of other filters, and one that two assets share."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import dag, task
from airflow.sdk import Asset, AssetWatcher

from airflow_provider_avala.triggers.avala import AvalaExportEventTrigger


def watched(name: str, **options: Any) -> Asset:
    """An asset that is updated by finished exports."""
    trigger = AvalaExportEventTrigger(poll_interval=1, **options)
    return Asset(name=name, watchers=[AssetWatcher(name=name, trigger=trigger)])


@task
def nothing() -> None:
    """The run is what counts."""


for dag_id, asset in {
    "failed_too": watched("failed_too", name_pattern="nightly-*", include_failed=True),
    "one_of_two": watched("one_of_two", name_pattern="nightly-*"),
    "other_of_two": watched("other_of_two", name_pattern="nightly-*"),
}.items():
    dag(dag_id=dag_id, schedule=[asset], catchup=False)(nothing)()
