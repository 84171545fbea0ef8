"""What all operators share."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_avala.hooks.avala import AvalaHook


class AvalaOperator(BaseOperator):
    """What all operators share: the connection.

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
