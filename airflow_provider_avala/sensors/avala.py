"""Sensors that wait for Avala: on a worker, between reschedules, or in the triggerer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseOperator,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.triggers.base import StartTriggerArgs

from airflow_provider_avala.api.errors import (
    AvalaError,
    AvalaFailedError,
    AvalaTimeoutError,
    is_transient,
)
from airflow_provider_avala.hooks.avala import POLL_QUEUE, AvalaHook
from airflow_provider_avala.links.avala import LinksToAvala
from airflow_provider_avala.outcomes import (
    RESOURCE,
    backstop,
    fatal_errors_end_the_task,
    is_backstop,
    is_plain,
    is_successful,
    nothing_remains,
    resumed,
)
from airflow_provider_avala.triggers.avala import AvalaDatasetTrigger, AvalaExportTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class _WaitingSensor(LinksToAvala, BaseSensorOperator):
    """What the sensors have in common: they differ in what they wait for."""

    ui_color = "#e4f0f6"

    #: What waits in the triggerer.
    trigger_class: ClassVar[type[AvalaExportTrigger | AvalaDatasetTrigger]]

    def __init__(
        self,
        *,
        avala_conn_id: str = AvalaHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.avala_conn_id = avala_conn_id
        self.deferrable = deferrable or start_from_trigger
        self.start_from_trigger = start_from_trigger and AIRFLOW_V_3_3_PLUS

    def _prepare_to_start_from_trigger(self) -> None:
        """Tell the scheduler which trigger to start; templates are rendered in the triggerer.

        The trigger cannot know when the task began, so the deadline is Airflow's own time-out, which outlives restarts.
        """
        if not self.start_from_trigger:
            return
        id_field = self.trigger_class.kind.id_field
        resource_id = _rendered_in_triggerer(getattr(self, id_field))
        self.start_from_trigger = bool(resource_id) and self.get_closest_mapped_task_group() is None
        if self.start_from_trigger:
            self.start_trigger_args = StartTriggerArgs(
                trigger_cls=f"{self.trigger_class.__module__}.{self.trigger_class.__qualname__}",
                next_method="execute_complete",
                trigger_kwargs={
                    id_field: resource_id,
                    "avala_conn_id": self.avala_conn_id,
                    "poll_interval": self.poke_interval,
                    "deadline": None,
                    "returns": RESOURCE if is_plain(self) else "",
                },
                timeout=timedelta(seconds=self.timeout),
            )

    @property
    def _resource_id(self) -> str:
        return str(getattr(self, self.trigger_class.kind.id_field))

    @property
    def _subject(self) -> str:
        return f"{self.trigger_class.kind.name} {self._resource_id}"

    @cached_property
    def hook(self) -> AvalaHook:
        """The hook of this sensor's connection."""
        return AvalaHook(self.avala_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait, in the mode that was chosen.

        :raises AirflowFailException: what is waited for failed, or an error occurred that no retry can mend.
        :raises AirflowSensorTimeout: it was not finished in time.
        :raises AirflowSkipException: one of the two, with ``soft_fail``, except for an error.
        """
        with self._outcomes():
            if not self.deferrable:
                return super().execute(context)
            found = self.poke(context)
            if found.is_done:
                return found.xcom_value
            self._wait_in_triggerer(time.time() + self.timeout)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once.

        :raises AvalaError: what is waited for failed, or an error occurred that waiting cannot mend.
        """
        try:
            queue = min(POLL_QUEUE, max(1.0, self.timeout))
            found = self.trigger_class.kind.ask(
                self.hook, self._resource_id, patience=self.poke_interval, queue=queue
            )
        except AvalaError as error:
            if not is_transient(error):
                raise
            self.log.warning("A poll of %s failed, polling goes on: %s", self._subject, error)
            return PokeReturnValue(is_done=False)
        self.log.info("%s: %s", self._subject.capitalize(), found.progress)
        self.link_to(context, found)
        return PokeReturnValue(is_done=is_successful(found), xcom_value=found.as_dict())

    def _wait_in_triggerer(self, deadline: float) -> NoReturn:
        returns = RESOURCE if nothing_remains(self) else ""
        self.defer(
            trigger=self.trigger_class(
                self._resource_id, self.avala_conn_id, self.poke_interval, deadline, returns
            ),
            method_name="execute_complete",
            kwargs={"deadline": deadline},
            timeout=backstop(deadline, self.poke_interval),
        )

    def execute_complete(self, context: Context, event: Any = None, deadline: float = 0.0) -> dict[str, Any]:
        """Go on after the trigger's event: read the resource again, and decide by what it says now.

        :param event: what the trigger sent.
        :param deadline: when to give up, in seconds since the epoch.
        """
        resource = resumed(self.hook, self._resource_id, event, self.trigger_class.kind)
        if resource is None:
            self._wait_in_triggerer(deadline or time.time() + self.timeout)  # dag.test() forgets the deadline
        return resource.as_dict()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral, with the outcomes of :meth:`execute`.

        The base class would let ``soft_fail`` hide every error here, a wrong key included; so it is passed over.

        :param next_method: what Airflow resumes the task with: the name of a method, or ``__fail__``.
        :param next_kwargs: the arguments of that.
        """
        with self._outcomes():
            if is_backstop(next_method, next_kwargs):
                found = self.poke(context)
                if found.is_done:
                    return found.xcom_value
                raise AvalaTimeoutError(f"{self._subject} was not finished within {self.timeout:g} s")
            return BaseOperator.resume_execution(self, next_method, next_kwargs, context)

    @contextmanager
    def _outcomes(self) -> Iterator[None]:
        try:
            with fatal_errors_end_the_task():
                yield
        except (AvalaTimeoutError, AirflowSensorTimeout) as error:
            raise self._skip_or(AirflowSensorTimeout, error) from error
        except AvalaFailedError as error:
            raise self._skip_or(AirflowFailException, error) from error
        except AirflowFailException as error:
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise

    def _skip_or(self, outcome: type[Exception], error: Exception) -> Exception:
        return (AirflowSkipException if self.soft_fail or self.never_fail else outcome)(str(error))


class AvalaExportSensor(_WaitingSensor):
    """Waits until an export has finished; its XCom is the export as a dict, without any signed URL.

    The outcome is the same in poke, reschedule and deferrable mode. An export that failed ends the task at once, and so
    does an error that no retry can mend (wrong key, no permission, unknown id). ``soft_fail`` skips the task on a
    time-out and on a failed export; it never hides any other error.

    :param export_id: id of the export (templated).
    :param avala_conn_id: id of the Airflow connection (templated).
    :param deferrable: whether to wait in the triggerer, so that no worker is held; by default Airflow's
        ``[operators] default_deferrable``.
    :param start_from_trigger: whether to begin in the triggerer, so that no worker is needed even at the start. Where
        that cannot be, the task is ``deferrable`` instead: before Airflow 3.3, in mapped tasks, if the id comes from
        an ``xcom_pull`` without ``map_indexes``, which is never answered in the triggerer. ``task.output`` works.
    :param poke_interval: seconds between two polls.
    :param timeout: seconds after which to give up.
    """

    template_fields: Sequence[str] = ("export_id", "avala_conn_id")
    trigger_class = AvalaExportTrigger

    def __init__(self, *, export_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.export_id = export_id
        self._prepare_to_start_from_trigger()


class AvalaDatasetSensor(_WaitingSensor):
    """Waits until a dataset has been created (status ``created``); its XCom is the dataset as a dict.

    Modes and outcomes are those of :class:`AvalaExportSensor`.

    :param dataset_id: id of the dataset (templated).
    :param avala_conn_id: id of the Airflow connection (templated).
    :param deferrable: whether to wait in the triggerer, so that no worker is held; by default Airflow's
        ``[operators] default_deferrable``.
    :param start_from_trigger: whether to begin in the triggerer, so that no worker is needed even at the start. Where
        that cannot be, the task is ``deferrable`` instead: before Airflow 3.3, in mapped tasks, if the id comes from
        an ``xcom_pull`` without ``map_indexes``, which is never answered in the triggerer. ``task.output`` works.
    :param poke_interval: seconds between two polls.
    :param timeout: seconds after which to give up.
    """

    template_fields: Sequence[str] = ("dataset_id", "avala_conn_id")
    trigger_class = AvalaDatasetTrigger

    def __init__(self, *, dataset_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset_id = dataset_id
        self._prepare_to_start_from_trigger()


def _rendered_in_triggerer(value: Any) -> str | None:
    """An id as a template that the triggerer can render; None if it cannot.

    A trigger that pulls an XCom without ``map_indexes`` gets no answer from Airflow 3.3.2 and hangs until its time-out.
    """
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    if isinstance(value, PlainXComArg) and isinstance(value.operator, BaseOperator):
        source = f"task_ids={value.operator.task_id!r}, key={value.key!r}, map_indexes=-1"
        return f"{{{{ ti.xcom_pull({source}) }}}}"
    text = str(value)
    return None if "xcom_pull" in text and "map_indexes" not in text else text
