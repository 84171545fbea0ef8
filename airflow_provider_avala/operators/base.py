"""What all operators share."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.links.avala import LinksToAvala


class AvalaOperator(LinksToAvala, BaseOperator):
    """What all operators share: the connection and the button "Avala".

    :param avala_conn_id: id of the Airflow connection (templated).
    """

    ui_color = "#e4f0f6"

    def __init__(self, *, avala_conn_id: str = AvalaHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.avala_conn_id = avala_conn_id

    @cached_property
    def hook(self) -> AvalaHook:
        """The hook of this operator's connection."""
        return AvalaHook(self.avala_conn_id)


def seconds(value: float | timedelta, field: str) -> float:
    """Read a duration that users give.

    :param value: a number of seconds above 0, or a timedelta.
    :param field: the argument's name, for the error.
    :raises AvalaConfigurationError: if it is neither.
    """
    found = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < float("inf"):
        raise AvalaConfigurationError(
            f"{field}: {value!r} is not a number of seconds above 0, nor a timedelta"
        )
    return float(found)
