"""What can be waited for: the same for sensors, triggers and their poller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from airflow_provider_avala.hooks.avala import AvalaHook

if TYPE_CHECKING:
    from typing import Protocol

    from airflow_provider_avala.api.models import Resource

    class Ask(Protocol):
        """Reads one resource as one of many polls; see :meth:`.AvalaHook.poll_export`."""

        def __call__(
            self, hook: AvalaHook, resource_id: str, /, *, patience: float = 0.0, queue: float = 0.0
        ) -> Resource:
            """Read it."""


class Kind:  # no dataclass: that would take a thirtieth of what DAG files pay for all of this package
    """A kind of resource that gets ready some time after it was created.

    :param name: its name, for messages.
    :param ask: reads one.
    :param pages: reads the list, newest first, a page at a time.
    :ivar id_field: the name of the arguments that hold an id.
    """

    def __init__(
        self, name: str, ask: Ask, pages: Callable[[AvalaHook], Iterator[Sequence[Resource]]]
    ) -> None:
        self.name, self.ask, self.pages = name, ask, pages
        self.id_field = f"{name}_id"


EXPORTS = Kind("export", AvalaHook.poll_export, AvalaHook.poll_exports)
DATASETS = Kind("dataset", AvalaHook.poll_dataset, AvalaHook.poll_datasets)
