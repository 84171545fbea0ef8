"""Opening a hook for triggers: off the event loop, and yet by way of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async

from airflow_provider_avala.hooks.avala import AvalaHook


async def open_hook(conn_id: str, threads: ThreadPoolExecutor) -> AvalaHook:
    """Read a connection and make its client in another thread.

    The connection is asked for over the one socket that all triggers share. Up to Airflow 3.1, a thread that was not
    sent by ``sync_to_async`` reads from there beside the loop: each gets the other's answers, and the triggerer ends.

    :param conn_id: id of the Airflow connection.
    :param threads: where to read it.
    :raises AirflowNotFoundException: if there is no such connection.
    :raises AvalaConfigurationError: if it cannot be used.
    """
    return await sync_to_async(_opened, thread_sensitive=False, executor=threads)(conn_id)


def _opened(conn_id: str) -> AvalaHook:
    hook = AvalaHook(conn_id)
    hook.get_conn()  # here, and not when it is first used
    return hook
