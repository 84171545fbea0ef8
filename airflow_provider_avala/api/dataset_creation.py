"""Making a dataset of files, exactly once, although answers get lost.

Follows the API's pages on managed uploads: quota, upload, and ``POST /datasets/manual-upload/``, which makes a dataset
of everything that lies under its name. Sending that twice makes no second dataset, since names are unique, but says
that the name is taken. So whether a taken name is our own dataset is looked up before that counts as an error.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from airflow_provider_avala.api import policy
from airflow_provider_avala.api.clock import Clock
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaAuthenticationError,
    AvalaConfigurationError,
    AvalaConflictError,
    AvalaError,
    AvalaNotFoundError,
    AvalaProtocolError,
    AvalaValidationError,
)
from airflow_provider_avala.api.exports import SETTLE, outcome_unknown
from airflow_provider_avala.api.ledger import Forgetful, Ledger, Memory, manifest_of
from airflow_provider_avala.api.managed_files import SourceFile, find_files
from airflow_provider_avala.api.managed_uploads import PATH, ManagedUpload, UploadPlan
from airflow_provider_avala.api.models import Dataset

if TYPE_CHECKING:
    from airflow_provider_avala.api.client import AvalaClient

log = logging.getLogger(__name__)

DATA_TYPES = ("image", "image_3d", "lidar", "mcap", "splat", "video")
VISIBILITIES = ("private", "public", "unlisted")
MAX_CONCURRENCY = 64
#: Datasets of a similar name that are looked through for one of the same name.
LOOK_BACK = 1000
#: The arguments of :class:`DatasetCreation` that are about earlier attempts.
CONCERNS_RETRIES = ("run_id", "memory", "may_exist", "created_after")

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NO_LIST = (403, 404, 405)


@dataclass(frozen=True, kw_only=True)
class NewDataset:
    """A dataset to be made of files.

    :param name: its name, which is also the folder of its files in Avala's storage.
    :param slug: its name in URLs.
    :param data_type: one of :data:`DATA_TYPES`.
    :param visibility: one of :data:`VISIBILITIES`.
    :param create_metadata: whether Avala reads metadata from the files.
    :param owner_name: who is to own it; by default the key's owner.
    :param metadata: what to note with it.
    :param industry: number of an industry.
    :param license: number of a license.
    :param organization_uid: the organization that is to own it.
    :raises AvalaConfigurationError: naming the first argument that cannot be used.
    """

    name: str
    slug: str
    data_type: str
    visibility: str = "private"
    create_metadata: bool = True
    owner_name: str | None = None
    metadata: Mapping[str, Any] | None = None
    industry: int | None = None
    license: int | None = None
    organization_uid: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or len(self.name) > 255:
            raise AvalaConfigurationError(f"name: {self.name!r} is not a name of 1 to 255 characters")
        if not isinstance(self.slug, str) or not _SLUG.fullmatch(self.slug):
            raise AvalaConfigurationError(
                f"slug: {self.slug!r} is not a name for URLs; use up to 100 letters, digits, '-', '_' and '.'"
            )
        for name, allowed in (("data_type", DATA_TYPES), ("visibility", VISIBILITIES)):
            if getattr(self, name) not in allowed:
                raise AvalaConfigurationError(
                    f"{name}: {getattr(self, name)!r} is not one of {', '.join(allowed)}"
                )
        for name, kind in (("metadata", Mapping), ("owner_name", str), ("organization_uid", str)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, kind) and value):
                raise AvalaConfigurationError(
                    f"{name}: {value!r} is not a {kind.__name__.lower()} with content"
                )

    def body(self, batch: str) -> dict[str, Any]:
        """The body that makes the dataset.

        :param batch: UUID of the upload.
        """
        optional = {
            "owner_name": self.owner_name,
            "metadata": None if self.metadata is None else dict(self.metadata),
            "industry": self.industry,
            "license": self.license,
            "organization_uid": self.organization_uid,
            "dataset_upload_uid": batch,
        }
        return {
            "name": self.name,
            "slug": self.slug,
            "data_type": self.data_type,
            "visibility": self.visibility,
            "create_metadata": self.create_metadata,
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass
class DatasetCreation:
    """One dataset to be made once.

    :param client: the API.
    :param wanted: the dataset.
    :param source: where its files are, see :func:`.find_files`.
    :param clock: the time to live by.
    :param chance: gives a random number between 0 and 1, for jitter.
    :param concurrency: files that are uploaded at a time.
    :param run_id: what the upload is known by over its retries; by default it is one that never was before.
    :param memory: what outlives an attempt.
    :param may_exist: whether an earlier attempt may have made the dataset already.
    :param created_after: no dataset older than this is one of an earlier attempt.
    """

    client: AvalaClient
    wanted: NewDataset
    source: Any
    clock: Clock
    chance: Callable[[], float]
    concurrency: int
    run_id: str = field(default_factory=lambda: uuid4().hex)
    memory: Memory = field(default_factory=Forgetful)
    may_exist: bool = False
    created_after: datetime | None = None

    def run(self) -> Dataset:
        """Make the dataset, or find the one that an earlier attempt has made.

        :raises AvalaError: if it could not be made, or if nobody can tell whether it was.
        """
        if type(self.concurrency) is not int or not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise AvalaConfigurationError(
                f"concurrency: {self.concurrency!r} is not possible; use a whole number from 1 to {MAX_CONCURRENCY}"
            )
        self._saw_none = False
        files = find_files(self.source)
        self.memory.update(files=len(files))
        known = self._looked()
        if ours := self._ours(known):
            if not self.memory.get("manifest"):  # it was lost, and this run has but one source
                self.memory.update(manifest=manifest_of(files))
            log.info("Dataset %s of this task run exists already (%s).", ours.id, ours.progress)
            return ours
        if known:
            raise AvalaConfigurationError(
                f"name, slug: dataset {known[0].id} has them already; choose others. Nothing was sent"
            )
        # Another batch for other files or another place: a session of the old ones would pass for complete.
        place = json.dumps([self.wanted.name, self.wanted.organization_uid])
        batch = str(uuid5(NAMESPACE_URL, f"avala:{self.run_id}:{place}:{manifest_of(files)}"))
        ledger = Ledger(files, self.memory)
        self._check_quota(files, ledger)
        plan = UploadPlan(self.wanted.name, batch, self.wanted.organization_uid, self.concurrency)
        ManagedUpload(plan, self.client, self.clock, self.chance).run(files, ledger)
        return self._finalize(self.wanted.body(batch))

    # Before the upload

    def _check_quota(self, files: Sequence[SourceFile], ledger: Ledger) -> None:
        needed = sum(file.size for number, file in enumerate(files) if number not in ledger.done)
        owner = self.wanted.organization_uid
        params = None if owner is None else {"organization_uid": owner}
        try:
            quota = self.client.run("GET", f"{PATH}/quota/", params=params)
            used, limit = int(quota["used"]), int(quota["limit"])
        except AvalaAuthenticationError:
            raise
        except (AvalaError, TypeError, KeyError, ValueError) as error:
            # Keys that may only write are refused here; whether the files fit is then said at the first that does not.
            log.info("The storage quota is not known, the upload goes on: %s", error)
            return
        # Used space includes what earlier attempts have reserved, so a retry may fit although it seems not to.
        if needed > limit or (needed > limit - used and not (self.may_exist or ledger.done)):
            raise AvalaConfigurationError(
                f"source: {needed} bytes in {len(files)} files do not fit into Avala's storage, where {used} of"
                f" {limit} bytes are used; free space there or send less. Nothing was sent"
            )

    # Is it there?

    def _looked(self) -> list[Dataset]:
        """The datasets of this name and slug; none if this key, or this server, does not show them."""
        try:
            found = self._namesakes(by_slug=self.may_exist)
            self._saw_none = not found
            return found
        except (AvalaApiError, AvalaProtocolError) as error:
            if isinstance(error, AvalaApiError) and error.status_code not in _NO_LIST:
                raise
            log.info("Whether the dataset exists already cannot be seen: %s", error)
            return []

    def _namesakes(self, *, by_slug: bool) -> list[Dataset]:
        wanted = self.wanted
        listed = islice(self.client.list_datasets(params={"name": wanted.name}), LOOK_BACK)
        found = [dataset for dataset in listed if self._is_named(dataset)]
        if by_slug and not found and wanted.owner_name:
            try:
                found = [self.client.get_dataset_by_slug(wanted.owner_name, wanted.slug)]
            except AvalaNotFoundError:
                return []
        return [dataset for dataset in found if self._is_named(dataset)]

    def _is_named(self, dataset: Dataset) -> bool:
        wanted = self.wanted
        owner = wanted.owner_name or dataset.owner_name
        return (
            dataset.name.strip() == wanted.name.strip()
            and dataset.slug == wanted.slug
            and dataset.owner_name in ("", owner)
        )

    def _ours(self, found: Sequence[Dataset]) -> Dataset | None:
        """The dataset that an earlier attempt of this run has made, if one may have."""
        if not self.may_exist:
            return None
        return next((each for each in found if self._may_be_ours(each)), None)

    def _may_be_ours(self, dataset: Dataset) -> bool:
        if self._saw_none:  # when this attempt began
            return True
        too_old = self.created_after and dataset.created_at and dataset.created_at < self.created_after
        return not too_old and dataset.data_type in ("", self.wanted.data_type)

    # After the upload

    def _finalize(self, body: Mapping[str, Any]) -> Dataset:
        self.memory.update(finalizing=True)
        begin, lost = self.clock.monotonic(), None
        for attempt in count(1):
            try:
                return Dataset.read(self.client.run("POST", f"{PATH}/", json=body, repeatable=False))
            except AvalaError as error:
                taken = isinstance(error, AvalaValidationError | AvalaConflictError)
                if not outcome_unknown(error) and not (taken and (lost or self.may_exist)):
                    if isinstance(error, AvalaApiError) and error.is_fatal:
                        self.memory.update(finalizing=False)
                    raise
                failure = error
            if not taken:
                lost = failure
            log.warning("Whether the dataset was created is unknown, so it is looked for: %s", failure)
            hint = failure.retry_after if isinstance(failure, AvalaApiError) else None
            wait = policy.wait_before(attempt, hint, self.chance())
            late = self.clock.monotonic() - begin + wait > self.client.settings.max_retry_seconds
            self.clock.sleep(SETTLE if taken or late else max(SETTLE, wait))
            found = next((each for each in self._after_loss(failure) if self._may_be_ours(each)), None)
            if found is not None:
                log.info("Dataset %s was created, although the answer was lost.", found.id)
                return found
            if taken or late:
                raise failure
        raise AssertionError("unreachable")

    def _after_loss(self, failure: AvalaError) -> list[Dataset]:
        try:
            return self._namesakes(by_slug=True)
        except AvalaError as error:
            log.warning("It cannot be looked for: %s", error)
            raise failure from None
