"""Who is asking: the run of a task, the same over its retries and another one once the task is cleared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Clocks of Airflow and Avala may disagree by this much.
_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class TaskRun:
    """One run of one task.

    :param dag_id: the DAG.
    :param task_id: the task.
    :param run_id: the DAG run.
    :param map_index: index of a mapped task, -1 for others.
    :param clears: how often the task was cleared in this DAG run; retries do not count.
    :param run_started: when the DAG run began, if known.
    :param is_retry: whether an earlier attempt may have created something.
    :param attempt: number of the attempt since the task was cleared last, from 1.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    clears: int
    run_started: datetime | None = None
    is_retry: bool = False
    attempt: int = 1

    @classmethod
    def of(cls, context: Context, retries: int) -> TaskRun:
        """The task run that a context belongs to; where it belongs to none, one that never was before.

        :param context: Airflow's context.
        :param retries: the operator's number of retries. Airflow raises ``max_tries`` above it with each clear and
            leaves it alone in a retry.
        """
        ti: Any = context.get("ti")
        if ti is None:
            return cls("airflow", "export", uuid4().hex, map_index=-1, clears=0)
        started = getattr(context.get("dag_run"), "start_date", None)
        clears = max(0, _number(ti, "max_tries", 0) - retries)
        return cls(
            dag_id=str(ti.dag_id),
            task_id=str(ti.task_id),
            run_id=str(ti.run_id),
            map_index=_number(ti, "map_index", -1),
            clears=clears,
            run_started=started if isinstance(started, datetime) else None,
            is_retry=_number(ti, "try_number", 1) > 1,
            # Clearing a task lets its tries count on, and adds those that it had to max_tries.
            attempt=max(1, _number(ti, "try_number", 1) - clears),
        )

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for this run of this task."""
        return _digest(self.dag_id, self.task_id, self.run_id, self.map_index, self.clears)

    @property
    def instance(self) -> str:
        """Sixteen hexadecimal digits that stand for this task in this DAG run, however often it is cleared."""
        return _digest(self.dag_id, self.task_id, self.run_id, self.map_index)

    @property
    def oldest(self) -> datetime | None:
        """Nothing that this run created can be older than this."""
        return self.run_started - _CLOCK_SKEW if self.run_started else None

    def name(self, wish: str | None) -> str:
        """A name for what this run creates, by which a retry finds it again.

        :param wish: how the name shall begin; by default with DAG and task.
        :raises AvalaConfigurationError: if that is no text.
        """
        from airflow_provider_avala.api.dialects import MAX_NAME, wished_name  # a DAG file needs no dialects

        digest = self.digest
        return (
            f"{(wished_name(wish) or f'{self.dag_id}.{self.task_id}')[: MAX_NAME - len(digest) - 1]}-{digest}"
        )


def _digest(*identity: object) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _number(ti: Any, name: str, default: int) -> int:
    value = getattr(ti, name, default)
    return value if isinstance(value, int) else default
