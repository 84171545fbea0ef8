"""The Avala API as Python: exports, datasets, items, projects, and calls of any other endpoint."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.dataset_calls import DatasetCalls
from airflow_provider_avala.api.dialects import CURRENT, LEGACY, Dialect, ExportRequest, segment, wished_name
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaConfigurationError,
    AvalaDownloadError,
    AvalaExportFailedError,
    AvalaProtocolError,
)
from airflow_provider_avala.api.exports import ExportCreation
from airflow_provider_avala.api.models import Export, Project, State
from airflow_provider_avala.api.pagination import pages
from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.api.slots import Slots
from airflow_provider_avala.api.transport import SLOT_TIMEOUT, Answer, SlashRedirect, Transport

if TYPE_CHECKING:
    import requests

    from airflow_provider_avala.api.downloads import DownloadSummary
    from airflow_provider_avala.api.limiter import LimiterStatus
    from airflow_provider_avala.api.uploads import UploadSummary
    from airflow_provider_avala.api.wire import Body

Ids = str | Sequence[str]


class AvalaClient(DatasetCalls):
    """Talks to one Avala account. Safe to be shared by threads.

    :param settings: the connection.
    :param clock: the time to live by.
    :param chance: gives a random number between 0 and 1, for jitter.
    :param count: told of ``requests``, ``waits``, ``throttled`` and ``retries``, one at a time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Callable[[], float] = random.random,
        count: Callable[[str], None] = lambda event: None,
    ) -> None:
        self.settings = settings
        self.dialect: Dialect = settings.sends
        self._clock = clock
        self._chance = chance
        self._transport = Transport(settings, clock=clock, chance=chance, count=count)
        slots = partial(Slots, settings.owner("slots"), state_dir=settings.state_dir, clock=clock)
        self._upload_slots = slots("uploads", settings.max_concurrent_uploads)
        self._export_slots = slots("exports", settings.max_concurrent_exports)

    # Any endpoint

    def run(
        self,
        method: str,
        endpoint: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        **options: Any,
    ) -> Any:
        """Call any endpoint once and return the decoded JSON of the answer, or None if it has no body.

        :param method: HTTP method.
        :param endpoint: relative to the base URL, such as ``/datasets/``, with or without slashes.
        :param params: query parameters.
        :param json: body, sent as JSON.
        :param options: passed on to :meth:`.Transport.request`.
        :raises AvalaError: see :mod:`.errors`.
        """
        return self._call(method, endpoint, params=params, json=json, **options).json()

    def paginate(self, endpoint: str, *, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Iterate over all resources of a list, page after page.

        :param endpoint: relative to the base URL, such as ``/datasets/``, with or without slashes.
        :param params: query parameters; ``limit`` is the page size, 100 unless given.
        :raises AvalaProtocolError: if the answer is not a list, or its pages never end.
        """
        for items in self.pages(endpoint, params=params):
            yield from items

    def pages(
        self, endpoint: str, *, params: Mapping[str, Any] | None = None, **options: Any
    ) -> Iterator[list[dict[str, Any]]]:
        """Iterate over the pages of a list; each is one request, sent when it is asked for.

        :param endpoint: relative to the base URL, such as ``/exports/``, with or without slashes.
        :param params: query parameters; ``limit`` is the page size, 100 unless given.
        :param options: passed on to :meth:`.Transport.request`.
        :raises AvalaProtocolError: if the answer is not a list, or its pages never end.
        """
        fetch = partial(self._fetch, **options)
        for page in pages(fetch, self.settings.base_url, self.dialect.path(endpoint), params or {}):
            yield page.items

    def rate_limit_status(self) -> dict[str, LimiterStatus]:
        """What is used of the key's limits at present, by class of endpoint."""
        return self._transport.budget.status()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # Exports

    def create_export(
        self,
        *,
        project_id: Ids | None = None,
        dataset_id: Ids | None = None,
        slice_id: Ids | None = None,
        export_format: str = "json",
        name: str | None = None,
        payload: Mapping[str, Any] | None = None,
        reattach: bool = False,
        created_after: datetime | None = None,
        patient: bool = True,
        marker: str = "",
        must_look: bool = False,
    ) -> Export:
        """Create an export, once, even if the answer gets lost.

        Whether a creation without answer took effect is looked up by its name; in the legacy dialect, where exports
        have no name, it ends with an error that says so.

        :param project_id: the project to export, or several.
        :param dataset_id: the dataset to export, or several.
        :param slice_id: the slice to export, or several.
        :param export_format: the API's name of the format.
        :param name: name of the export; by default a unique one.
        :param payload: a body that replaces all of the above.
        :param reattach: whether an export of this name that exists already is taken instead, unless it failed.
        :param created_after: exports older than this are not looked at.
        :param patient: whether to wait, as long as requests are retried, while Avala takes no further export
            because too many are running.
        :param marker: an ending that only this export's name can have; what ends so is this export.
        :param must_look: whether not to create anything if the list of exports cannot be read before.
        :raises AvalaRateLimitError: if it does not take one.
        :raises AvalaError: see :mod:`.errors`.
        """
        request = ExportRequest(
            projects=_ids(project_id, "project_id"),
            datasets=_ids(dataset_id, "dataset_id"),
            slices=_ids(slice_id, "slice_id"),
            export_format=export_format,
            name=wished_name(name),
            payload=payload,
        )
        self.dialect.export_body(request)
        return ExportCreation(
            self, request, self._clock, self._chance, reattach, created_after, patient, marker, must_look
        ).run()

    def post_export(self, request: ExportRequest) -> Export:
        """Send one request to create an export, come what may; see :meth:`create_export`.

        :param request: what to export.
        :raises AvalaError: see :mod:`.errors`.
        """
        answer = self._call(
            "POST", "/exports/", body_of=lambda dialect: dialect.export_body(request), final=(429,)
        )
        return Export.read(answer.json())

    def get_export(self, export_id: str, **options: Any) -> Export:
        """Read one export.

        :param export_id: its id.
        :param options: passed on to :meth:`.Transport.request`.
        :raises AvalaNotFoundError: if there is none of that id.
        """
        return Export.read(self.run("GET", f"/exports/{segment(export_id, 'export_id')}/", **options))

    def list_exports(self, *, params: Mapping[str, Any] | None = None) -> Iterator[Export]:
        """Iterate over all exports, newest first.

        :param params: query parameters.
        """
        return map(Export.read, self.paginate("/exports/", params=params))

    def download_export(
        self,
        export_id: str,
        path: str | Path,
        *,
        if_exists: str = "replace",
        unpack: bool = False,
        deliver: Callable[[Path], None] | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> DownloadSummary:
        """Download the file of a finished export, resumed after a cut, verified, and then renamed into place.

        :param export_id: its id.
        :param path: where to put the file; a folder if it ends with a slash or is one. With ``unpack``, the folder
            for what is in the file.
        :param if_exists: what to do if the file is there already, or with ``unpack`` anything in the folder:
            ``replace`` it, ``skip`` the download, or raise an ``error``. What has its final name is complete.
        :param unpack: whether to unpack the file, a zip, which is not kept. See :func:`.downloads.download`.
        :param deliver: takes the verified file elsewhere; see :func:`.downloads.download`.
        :param progress: is told how many bytes have arrived, and of how many if that is known.
        :raises AvalaConfigurationError: if an argument cannot be used.
        :raises AvalaExportFailedError: if the export failed.
        :raises AvalaDownloadError: if the export is not finished, the file could not be had whole or not be written, or
            is there already.
        """
        from airflow_provider_avala.api import downloads, targets

        keeps = targets.checked_if_exists(if_exists) != "replace"
        segment(export_id, "export_id")
        first = ""
        if unpack:
            target = targets.folder_at(path)
        else:
            first = self._download_url(export_id) if targets.is_folder(path) else ""
            target = targets.target_in(path, export_id, first)
        if keeps and targets.is_there(target, unpack=unpack):
            if if_exists == "error":
                raise targets.already_there(target)
            size = 0 if unpack else target.stat().st_size
            return downloads.DownloadSummary(str(target), size, 0, skipped=True)
        first = first or self._download_url(export_id)
        urls = chain([first], iter(partial(self._download_url, export_id), None))
        return downloads.download(
            self._transport.open,
            urls.__next__,
            target,
            export_id=export_id,
            unpack=unpack,
            deliver=deliver,
            progress=progress,
            max_retry_seconds=self.settings.max_retry_seconds,
            clock=self._clock,
            chance=self._chance,
        )

    def export_file_name(self, export_id: str) -> str:
        """What the file of a finished export is called when it is downloaded to a folder.

        :param export_id: the export's id.
        :raises AvalaExportFailedError: if the export failed.
        :raises AvalaDownloadError: if the export is not finished.
        """
        from airflow_provider_avala.api import targets

        return targets.file_name(export_id, self._download_url(export_id))

    def export_slot(self, timeout: float) -> AbstractContextManager[float]:
        """Hold one of this host's places for running exports, for as long as somebody waits for the export here.

        :param timeout: the longest wait for a place in seconds.
        :raises AvalaRateLimitTimeout: if no place was free in time.
        """
        return self._export_slots.hold(timeout)

    def _download_url(self, export_id: str) -> str:
        for _ in range(2):  # documented to be there once the export is done; may lag behind the status
            export = self.get_export(export_id)
            if export.state is State.FAILED:
                raise AvalaExportFailedError(export)
            if export.state is State.RUNNING:
                raise AvalaDownloadError(
                    f"export {export_id} is {export.status!r}, so there is no file yet; wait with AvalaExportSensor"
                )
            if export.download_url:
                return _resolved(f"{self.settings.base_url}/", export)
            self._clock.sleep(1)
        raise AvalaProtocolError(f"export {export_id} is {export.status!r} but has no download_url")

    # Items, projects; what concerns datasets is in DatasetCalls

    def upload_slot(self) -> AbstractContextManager[float]:
        """Hold one of this host's places for uploads.

        :raises AvalaRateLimitTimeout: if no place was free in time.
        """
        return self._upload_slots.hold(SLOT_TIMEOUT)

    def store(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> requests.Response:
        """See :meth:`.Transport.store`."""
        return self._transport.store(method, url, headers, body)

    def get_project(self, project_id: str) -> Project:
        """Read one project of the key's owner.

        :param project_id: its id.
        :raises AvalaNotFoundError: if there is none of that id.
        """
        return Project.read(self.run("GET", f"/users/me/projects/{segment(project_id, 'project_id')}/"))

    def upload_items(
        self,
        dataset_id: str,
        source: Any = None,
        *,
        items: Iterable[dict[str, Any]] | None = None,
        **options: Any,
    ) -> UploadSummary:
        """Upload JSONL to a dataset, in parts.

        :param dataset_id: id of the dataset.
        :param source: files of JSONL; see :func:`.uploads.upload_items`.
        :param items: the items themselves, instead of ``source``.
        :param options: passed on to :func:`.uploads.upload_items`.
        :raises AvalaUploadError: if the upload stopped before its end.
        """
        from airflow_provider_avala.api import uploads

        endpoint = f"/datasets/{segment(dataset_id, 'dataset_id')}/items/"

        def send(body: Any, headers: Mapping[str, str], **how: Any) -> Any:
            try:
                with self._upload_slots.hold(SLOT_TIMEOUT):
                    return self._call("POST", endpoint, body=body, headers=headers, **how).json()
            except AvalaApiError as error:
                if error.status_code in (404, 405):
                    error.add_detail(
                        f"Either there is no dataset {dataset_id}, or this Avala takes no items here any more:"
                        " then bring files in with AvalaCreateDatasetOperator."
                    )
                raise

        total = partial(self._total, endpoint) if self.dialect is LEGACY else None
        return uploads.upload_items(send, dataset_id, source, items, total=total, **options)

    def _total(self, endpoint: str) -> int:
        """How many resources a list has, as the legacy dialect tells."""
        answer = self.run("GET", endpoint, params={"limit": 1})
        total = answer.get("total") if isinstance(answer, dict) else None
        if not isinstance(total, int) or isinstance(total, bool):
            raise AvalaProtocolError(f"GET {endpoint}: the answer does not tell the total of the list")
        return total

    # How requests go out

    def _fetch(self, url: str, params: Mapping[str, Any] | None, **options: Any) -> Answer:
        try:
            return self._transport.request("GET", url, params=params, **options)
        except SlashRedirect as redirect:
            self._switch(redirect)
            return self._transport.request("GET", redirect.location, **options)

    def _call(
        self,
        method: str,
        endpoint: str,
        *,
        json: Any = None,
        body_of: Callable[[Dialect], Any] | None = None,
        **options: Any,
    ) -> Answer:
        """Send a request written in the present dialect, and once more if the server prefers the other one."""

        def send(dialect: Dialect) -> Answer:
            body = body_of(dialect) if body_of else json
            return self._transport.request(method, dialect.path(endpoint), json=body, **options)

        try:
            return send(self.dialect)
        except SlashRedirect as redirect:
            return send(self._switch(redirect))

    def _switch(self, redirect: SlashRedirect) -> Dialect:
        """With ``auto``, a redirect that only moves the slash is the server's own word on its dialect."""
        if self.settings.dialect != "auto":
            raise redirect
        wanted = CURRENT if redirect.wants_slash else LEGACY
        self.dialect = wanted
        return wanted


def _resolved(base: str, export: Export) -> str:
    try:
        url = urljoin(base, export.download_url)
        urlsplit(url)
    except ValueError:
        raise AvalaProtocolError(f"export {export.id} has a download_url that is no URL") from None
    return url


def _ids(value: Ids | None, field: str) -> tuple[str, ...]:
    ids = (
        (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else (value,)
    )
    if value is None:
        return ()
    if not all(isinstance(one, str) and one.strip() for one in ids):
        raise AvalaConfigurationError(
            f"{field}: {value!r} holds no id; give the id as text, or a list of such"
        )
    return ids
