"""From an Airflow connection to the Avala API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowConfigException, BaseHook, conf, mask_secret

from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaError
from airflow_provider_avala.api.secrets import without_signed_urls

if TYPE_CHECKING:
    from airflow_provider_avala.api.client import AvalaClient
    from airflow_provider_avala.api.downloads import DownloadSummary
    from airflow_provider_avala.api.limiter import LimiterStatus
    from airflow_provider_avala.api.models import Dataset, Export
    from airflow_provider_avala.api.settings import Settings
    from airflow_provider_avala.api.uploads import UploadSummary

#: The longest that a poll queues for the key's rate limit, in seconds; then the next one has its turn.
POLL_QUEUE = 60.0


class AvalaHook(BaseHook):
    """Calls the Avala API: authenticated, within the key's limits, retried where that is right.

    The connection's host is the base URL, its password the API key; see the guide to the connection for its extras.

    :param avala_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "avala_conn_id"
    default_conn_name = "avala_default"
    conn_type = "avala"
    hook_name = "Avala"

    def __init__(self, avala_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.avala_conn_id = avala_conn_id

    @cached_property
    def settings(self) -> Settings:
        """The connection, parsed and validated.

        :raises AvalaConfigurationError: naming the field that cannot be used.
        """
        from airflow_provider_avala.api.settings import Settings

        connection = self.get_connection(self.avala_conn_id)
        extra = _extra(connection)
        store = str(extra.get("rate_limit_store") or "")
        for secret in (
            connection.password,
            store if "://" in store else "",
        ):  # "memory" is no secret, but a word
            if secret:
                mask_secret(secret)
        settings = Settings.parse(
            host=connection.host,
            port=connection.port,
            schema=connection.schema,
            password=connection.password,
            extra=extra,
        )
        return replace(settings, **_configured())

    @cached_property
    def client(self) -> AvalaClient:
        """The API client of this connection.

        :raises AvalaConfigurationError: naming the connection's field that cannot be used.
        """
        from airflow.providers.common.compat.sdk import Stats

        from airflow_provider_avala.api.client import AvalaClient

        return AvalaClient(self.settings, count=lambda event: Stats.incr(f"avala.{event}"))

    def get_conn(self) -> AvalaClient:
        """The API client of this connection; the same as :attr:`client`."""
        return self.client

    def run(
        self,
        method: str,
        endpoint: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> Any:
        """Call any endpoint and return the decoded JSON of the answer, or None if it has no body.

        :param method: HTTP method.
        :param endpoint: relative to the base URL, such as ``/datasets/``, with or without slashes.
        :param params: query parameters.
        :param json: body, sent as JSON.
        :raises AvalaError: see :mod:`airflow_provider_avala.api.errors`.
        """
        return self.client.run(method, endpoint, params=params, json=json)

    def paginate(self, endpoint: str, *, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Iterate over all resources of a list, page after page.

        :param endpoint: relative to the base URL, such as ``/datasets/``, with or without slashes.
        :param params: query parameters; ``limit`` is the page size, 100 unless given.
        :raises AvalaError: see :mod:`airflow_provider_avala.api.errors`.
        """
        return self.client.paginate(endpoint, params=params)

    def create_export(self, **arguments: Any) -> Export:
        """Create an export, once, even if the answer gets lost.

        :param arguments: see :meth:`airflow_provider_avala.api.client.AvalaClient.create_export`.
        :raises AvalaError: see :mod:`airflow_provider_avala.api.errors`.
        """
        from airflow_provider_avala import lineage

        export = self.client.create_export(**arguments)
        sources = (arguments.get(name) for name in ("project_id", "dataset_id", "slice_id", "payload"))
        lineage.collect(self, lineage.of_export(*sources), lineage.at_avala(exports=export.id))
        return export

    def get_export(self, export_id: str) -> Export:
        """Read one export.

        :param export_id: its id.
        :raises AvalaNotFoundError: if there is none of that id.
        """
        return self.client.get_export(export_id)

    def poll_export(self, export_id: str, *, patience: float = 0.0, queue: float = POLL_QUEUE) -> Export:
        """Read one export as one of many polls: the next poll is the retry, so little is done to save this one.

        :param export_id: its id.
        :param patience: seconds in which a failed request may be retried.
        :param queue: seconds to wait at most for the key's rate limit.
        :raises AvalaError: if this poll failed; see :func:`airflow_provider_avala.api.errors.is_transient`.
        """
        return self.client.get_export(export_id, **self._poll_options(patience, queue))

    def poll_dataset(self, dataset_id: str, *, patience: float = 0.0, queue: float = POLL_QUEUE) -> Dataset:
        """Read one dataset as one of many polls; see :meth:`poll_export`.

        :param dataset_id: its id.
        :param patience: seconds in which a failed request may be retried.
        :param queue: seconds to wait at most for the key's rate limit.
        :raises AvalaError: if this poll failed.
        """
        return self.client.get_dataset(dataset_id, **self._poll_options(patience, queue))

    def poll_exports(self) -> Iterator[list[Export]]:
        """Read the list of exports, newest first, a page for each step: one poll for a hundred exports.

        :raises AvalaError: if the request for a page failed; the iteration is over then.
        """
        from airflow_provider_avala.api.models import Export

        for page in self.client.pages("/exports/", **self._poll_options()):
            yield [Export.read(each) for each in page]

    def poll_datasets(self) -> Iterator[list[Dataset]]:
        """Read the list of datasets, newest first, a page for each step; see :meth:`poll_exports`.

        :raises AvalaError: if the request for a page failed; the iteration is over then.
        """
        from airflow_provider_avala.api.models import Dataset

        for page in self.client.pages("/datasets/", **self._poll_options()):
            yield [Dataset.read(each) for each in page]

    def _poll_options(self, patience: float = 0.0, queue: float = POLL_QUEUE) -> dict[str, Any]:
        return {
            "max_retry_seconds": min(patience, self.settings.max_retry_seconds),
            "slot_timeout": queue,
            "poll": True,
        }

    def list_exports(self, *, params: Mapping[str, Any] | None = None) -> Iterator[Export]:
        """Iterate over all exports, newest first.

        :param params: query parameters.
        """
        return self.client.list_exports(params=params)

    def upload_items(
        self,
        dataset_id: str,
        source: Any = None,
        *,
        items: Iterable[dict[str, Any]] | None = None,
        **options: Any,
    ) -> UploadSummary:
        """Upload JSONL to a dataset, in parts; no part is ever held in memory.

        Each part has an ``Idempotency-Key`` that is made of ``idempotency_scope``, the part's position and its content.
        Give the same scope when the same upload is tried again, and another one for another upload; without one, each
        call is an upload of its own.

        :param dataset_id: id of the dataset.
        :param source: a local path, a glob, a directory, or anything that ObjectStoragePath opens, or a list of such:
            files of JSONL, which may be compressed with gzip; or an iterable of dicts, as in ``items``.
        :param items: the items themselves, instead of ``source``.
        :param options: ``part_size`` in bytes, ``concurrency``, the number of parts in flight, ``validate``,
            ``on_unknown``, ``idempotency_scope``, ``journal`` and ``progress``; see
            :func:`airflow_provider_avala.api.uploads.upload_items`.
        :raises AvalaConfigurationError: if an argument or a line cannot be used, and nothing was stored.
        :raises AvalaUploadError: if the upload stopped before its end.
        """
        from airflow_provider_avala import lineage
        from airflow_provider_avala.api.sources import holds_rows

        places = source if holds_rows(source) else _openable(source, "source")
        summary = self.client.upload_items(dataset_id, places, items=items, **options)
        lineage.collect(self, lineage.files(source), lineage.at_avala(datasets=dataset_id))
        return summary

    def create_dataset(self, name: str, slug: str, data_type: str, source: Any, **options: Any) -> Dataset:
        """Upload files and make a dataset of them, once, even if the answer gets lost; it may not be ready yet then.

        :param name: the dataset's name.
        :param slug: its name in URLs.
        :param data_type: ``image``, ``image_3d``, ``lidar``, ``mcap``, ``splat`` or ``video``.
        :param source: a file, a folder, a pattern, or a list of those: local paths or object storage URLs.
        :param options: see :meth:`airflow_provider_avala.api.client.AvalaClient.create_dataset`.
        :raises AvalaError: see :mod:`airflow_provider_avala.api.errors`.
        """
        from airflow_provider_avala import lineage

        dataset = self.client.create_dataset(name, slug, data_type, _openable(source, "source"), **options)
        lineage.collect(self, lineage.files(source), lineage.at_avala(datasets=dataset.id))
        return dataset

    def download_export(
        self, export_id: str, path: Any, *, if_exists: str = "replace", unpack: bool = False
    ) -> DownloadSummary:
        """Download the file of a finished export: resumed after a cut, verified, then renamed into place.

        On its way to an object storage it rests in a folder of this machine, below its directory for temporary files,
        because only a whole and verified file is to be seen there; a retry on this machine goes on with what it finds.

        :param export_id: its id.
        :param path: local path or object storage URL; a folder if it ends with a slash or is one. With ``unpack``, the
            folder for what is in the file, which cannot be in an object storage.
        :param if_exists: what to do if the file is there already, or with ``unpack`` anything in the folder:
            ``replace`` it, ``skip`` the download, or raise an ``error``. What has its final name is complete.
        :param unpack: whether to unpack the file, a zip, which is not kept; nothing gets out of the folder. It gets its
            name when all is in it; if there is such a folder, files of the same names are replaced and others stay.
        :raises AvalaConfigurationError: if an argument cannot be used.
        :raises AvalaDownloadError: if the export is not finished, the file could not be had whole or not be written, or
            is there already.
        """
        from airflow_provider_avala import lineage

        summary = self._download(export_id, path, if_exists, unpack)
        lineage.collect(self, lineage.at_avala(exports=export_id), lineage.files(summary.path))
        return summary

    def _download(self, export_id: str, path: Any, if_exists: str, unpack: bool) -> DownloadSummary:
        is_path = isinstance(path, str | PathLike) or hasattr(
            path, "protocol"
        )  # as paths of object storages have
        text = str(path) if is_path else ""
        if not text.strip() or "\0" in text:
            raise AvalaConfigurationError(
                f"path: {path!r} says not where to put the file; name a file or a folder"
            )
        place = _openable(path, "path")
        if place is path:
            return self.client.download_export(export_id, path, if_exists=if_exists, unpack=unpack)
        if place.protocol == "file":
            local = place.path + "/" * str(path).endswith("/")
            summary = self.client.download_export(export_id, local, if_exists=if_exists, unpack=unpack)
            return replace(summary, path=f"file://{summary.path}")
        if unpack:
            raise AvalaConfigurationError(
                f"unpack: a zip is unpacked to a local folder, not to {place}; name one, or download it as it is"
            )
        from airflow_provider_avala.hooks import object_storage

        return object_storage.download(self.client, export_id, path, place, if_exists)

    def rate_limit_status(self) -> dict[str, LimiterStatus]:
        """What is used of the key's limits at present, by class of endpoint: ``standard``, ``polls``, ``inference``."""
        return self.client.rate_limit_status()

    def test_connection(self) -> tuple[bool, str]:
        """Make one authenticated call, quickly and without retry, and say in plain words how it went."""
        from airflow_provider_avala.api.check import check

        try:
            return check(self.settings)
        except AvalaError as error:
            return False, str(error)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels and placeholders of the connection form, for Airflow before 3.2."""
        from airflow_provider_avala.get_provider_info import get_provider_info

        behaviour = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
        return {key.replace("-", "_"): value for key, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Further fields of the connection form, for Airflow before 3.2."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import BooleanField, IntegerField, PasswordField, StringField
        from wtforms.validators import Optional, any_of

        from airflow_provider_avala.get_provider_info import get_provider_info

        def widget(spec: Mapping[str, Any]) -> Any:
            schema, text = spec["schema"], {"label": spec["label"], "description": spec["description"]}
            if "boolean" in schema["type"]:
                return BooleanField(**text)
            if schema.get("format") == "password":
                return PasswordField(widget=BS3PasswordFieldWidget(), **text)
            kind = IntegerField if "integer" in schema["type"] else StringField
            checks = [Optional(), any_of(schema["enum"])] if "enum" in schema else [Optional()]
            return kind(widget=BS3TextFieldWidget(), validators=checks, **text)

        fields = get_provider_info()["connection-types"][0]["conn-fields"]
        return {name: widget(spec) for name, spec in fields.items()}


def _extra(connection: Any) -> dict[str, Any]:
    """A connection's extra fields; Airflow by itself would take what is not JSON for none at all.

    :raises AvalaConfigurationError: if they are not a JSON object.
    """
    try:
        given = json.loads((connection.extra or "").strip() or "{}")
    except ValueError:
        given = ""
    if not isinstance(given, dict | None):
        raise AvalaConfigurationError('extra: must be a JSON object, for example {"dialect": "auto"}')
    return connection.extra_dejson if given else {}  # asked for them, Airflow masks the secret ones in logs


def _configured() -> dict[str, Any]:
    """What Airflow's configuration, section ``avala``, says.

    :raises AvalaConfigurationError: naming the option that cannot be used.
    """
    try:
        poll_share = conf.getfloat("avala", "poll_share", fallback=0.5)
    except AirflowConfigException as error:
        raise AvalaConfigurationError(f"[avala] poll_share: not a number: {error}") from None
    if not 0 < poll_share <= 1:
        raise AvalaConfigurationError(f"[avala] poll_share: {poll_share!r} is not above 0 and at most 1")
    state_dir = conf.get("avala", "state_dir", fallback="") or ""
    return {"poll_share": poll_share, "state_dir": str(Path(state_dir).expanduser()) if state_dir else ""}


def _openable(place: Any, field: str) -> Any:
    """Turn URLs of object storage into paths that can be opened; leave local paths as they are."""
    if isinstance(place, str) and "://" not in place:
        return place  # what follows is slow to import
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if isinstance(place, list | tuple):
        return [_openable(one, field) for one in place]
    if not isinstance(place, ObjectStoragePath) and "://" not in str(place):
        return place
    try:
        storage = ObjectStoragePath(place)
        storage.fs  # noqa: B018  # made when it is first asked for
    except (ImportError, ValueError) as error:
        raise AvalaConfigurationError(
            f"{field}: {without_signed_urls(str(place))} cannot be opened: {error}; install Airflow's provider"
            " for this storage, with its file system"
        ) from error
    return storage
