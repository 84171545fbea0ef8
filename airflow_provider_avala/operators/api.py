"""Calling any endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.secrets import without_signatures
from airflow_provider_avala.operators.base import AvalaOperator
from airflow_provider_avala.outcomes import fatal_errors_end_the_task

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class _OwnParams(type(BaseOperator)):  # type: ignore[misc]
    """Lets an operator have an argument ``params``, although Airflow merges the DAG's params into that name."""

    def __call__(cls, *args: Any, params: Any = None, **kwargs: Any) -> Any:
        """Pass ``params`` on as ``query``, which Airflow leaves alone.

        :param params: query parameters; in a mapped task Airflow's own, because ``partial`` has taken ours.
        """
        if kwargs.get("_airflow_from_mapped"):
            _refuse_expanded(params or {})
        elif "query" not in kwargs:
            kwargs["query"] = params
        return super().__call__(*args, **kwargs)


def _refuse_expanded(params: Any) -> None:
    """Airflow 3 tells what comes from the task and what from the DAG; Airflow 2 mixes both, unrecognisably."""
    for name in params:
        if hasattr(params, "get_param") and getattr(params.get_param(name), "source", "dag") != "dag":
            raise AvalaConfigurationError(
                f"params: Airflow keeps {name!r} for itself in a mapped task; write expand(query=...)"
            )


class AvalaApiOperator(AvalaOperator, metaclass=_OwnParams):
    """Calls any endpoint; returns the decoded JSON, or with ``paginate`` the list of all resources.

    XComs are stored in the clear: the queries of signed URLs are masked in what is returned, and so is the key.
    A POST whose answer was lost is not repeated by this operator, but it is by the task's ``retries``: set them to 0
    where doing it twice would do harm.

    :param endpoint: relative to the base URL, such as ``/datasets/`` (templated).
    :param method: HTTP method.
    :param params: query parameters (templated).
    :param json: body, sent as JSON (templated).
    :param paginate: whether to follow the pages of a list to its end.
    :param query: the same as ``params``; ``expand`` needs this name, because Airflow keeps the other for itself.
    :param avala_conn_id: id of the Airflow connection (templated).
    """

    template_fields: Sequence[str] = ("endpoint", "query", "json", "avala_conn_id")
    template_fields_renderers = {"query": "json", "json": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        endpoint: str,
        method: str = "GET",
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        paginate: bool = False,
        query: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.method = method
        self.query = query
        self.json = json
        self.paginate = paginate
        if paginate and (method.upper() != "GET" or json is not None):
            raise AvalaConfigurationError(
                "paginate: only a GET without json has pages; drop paginate or the body"
            )

    @classmethod
    def partial(cls, *, params: Any = None, **kwargs: Any) -> Any:
        """Begin a mapped task.

        :param params: query parameters, passed on as ``query``.
        """
        if params is not None:
            kwargs.setdefault("query", params)
        return super().partial(**kwargs)

    def execute(self, context: Context) -> Any:
        """Call the endpoint.

        :raises AirflowFailException: an error that no retry can mend.
        """
        from airflow_provider_avala.api.storable import storable

        with fatal_errors_end_the_task():
            if self.paginate:
                answer: Any = list(self.hook.paginate(self.endpoint, params=self.query))
            else:
                answer = self.hook.run(self.method, self.endpoint, params=self.query, json=self.json)
        return without_signatures(storable(answer), self.hook.settings.api_key)
