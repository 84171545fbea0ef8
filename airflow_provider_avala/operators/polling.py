"""Waiting on the worker until something has finished: the same for everything that can be waited for."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from airflow_provider_avala.api.errors import AvalaError, AvalaTimeoutError, is_transient
from airflow_provider_avala.hooks.avala import POLL_QUEUE, AvalaHook
from airflow_provider_avala.outcomes import is_successful

if TYPE_CHECKING:
    from airflow_provider_avala.api.models import Resource
    from airflow_provider_avala.kinds import Kind

log = logging.getLogger(__name__)


def poll_until_successful(
    hook: AvalaHook, kind: Kind, resource_id: str, *, poll_interval: float, deadline: float, timeout: float
) -> Resource:
    """Ask again and again until a resource has finished well.

    :param hook: the hook of the task's connection.
    :param kind: what is waited for.
    :param resource_id: its id.
    :param poll_interval: seconds between two polls.
    :param deadline: when to give up, in seconds since the epoch.
    :param timeout: how long that was from the beginning, in seconds, for the message.
    :raises AvalaFailedError: if it failed.
    :raises AvalaTimeoutError: if it was not finished in time.
    """
    status = "unknown"
    while True:
        try:
            queue = min(POLL_QUEUE, max(1.0, deadline - time.time()))
            resource = kind.ask(hook, resource_id, patience=poll_interval, queue=queue)
        except AvalaError as error:
            if not is_transient(error):
                raise
            log.warning("A poll of %s %s failed, polling goes on: %s", kind.name, resource_id, error)
        else:
            if is_successful(resource):
                return resource
            status = resource.progress
        rest = deadline - time.time()
        if rest <= 0:
            raise AvalaTimeoutError(
                f"{kind.name} {resource_id} was not finished within {timeout:g} s, its last status was {status!r}"
            )
        time.sleep(min(poll_interval, rest))
