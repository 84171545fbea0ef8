"""Bringing files into Avala as a new dataset."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import conf

from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaNotFoundError
from airflow_provider_avala.kinds import DATASETS
from airflow_provider_avala.operators.base import AvalaOperator, seconds
from airflow_provider_avala.outcomes import (
    ID,
    backstop,
    fatal_errors_end_the_task,
    is_successful,
    nothing_remains,
    resumed,
    told_id,
)
from airflow_provider_avala.triggers.avala import AvalaDatasetTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_avala.api.models import Dataset, Resource
    from airflow_provider_avala.operators.dataset_notes import DatasetNotes


class AvalaCreateDatasetOperator(AvalaOperator):
    """Uploads files and makes a dataset of them, exactly once for each run of the task; returns its uid.

    Before anything is sent, the files are found, their places in the dataset compared, and the storage quota is asked
    for. A retry, or a cleared task, goes on where the attempt before it stopped: it sends only the files that Avala
    does not have, and finds the dataset if it was made already. A cleared task whose dataset was deleted makes a new
    one; one whose files have changed says that the name is taken, because names are unique. What is stored is noted in
    Airflow's task state where there is such (3.3 and later), else in a file, for retries on the same host.

    :param name: name of the dataset (templated).
    :param slug: its name in URLs (templated).
    :param data_type: ``image``, ``image_3d``, ``lidar``, ``mcap``, ``splat`` or ``video`` (templated).
    :param source: a file, a folder with all that is in it, a pattern such as ``/data/**/*.jpg``, or a list of those:
        local paths or object storage URLs. A file's path in the dataset is the one below the folder or below the part
        before the first ``*`` (templated).
    :param visibility: ``private``, ``public`` or ``unlisted`` (templated).
    :param metadata: what to note with the dataset (templated).
    :param organization_uid: the organization that is to own it; by default the key's user does (templated).
    :param owner_name: slug or handle of the owner, where it is not the key's (templated).
    :param create_metadata: whether Avala reads metadata from the files.
    :param industry: Avala's number of an industry.
    :param license: Avala's number of a license.
    :param concurrency: files that are uploaded at a time, within the connection's ``max_concurrent_uploads``.
    :param wait_for_completion: whether to wait until the dataset has been created.
    :param require_healthy: whether to fail if the health report names an issue then, or if not every file has become an
        item. Needs ``wait_for_completion``.
    :param deferrable: whether to wait in the triggerer; by default Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds between two polls.
    :param timeout: seconds after which to stop waiting for the dataset, from the end of the upload.
    :param avala_conn_id: id of the Airflow connection (templated).
    """

    template_fields: Sequence[str] = (
        "name",
        "slug",
        "data_type",
        "source",
        "visibility",
        "metadata",
        "organization_uid",
        "owner_name",
        "avala_conn_id",
    )
    template_fields_renderers = {"metadata": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        name: str,
        slug: str,
        data_type: str,
        source: Any,
        visibility: str = "private",
        metadata: Mapping[str, Any] | None = None,
        organization_uid: str | None = None,
        owner_name: str | None = None,
        create_metadata: bool = True,
        industry: int | None = None,
        license: int | None = None,
        concurrency: int = 8,
        wait_for_completion: bool = True,
        require_healthy: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 10,
        timeout: float | timedelta = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.slug = slug
        self.data_type = data_type
        self.source = source
        self.visibility = visibility
        self.metadata = metadata
        self.organization_uid = organization_uid
        self.owner_name = owner_name
        self.create_metadata = create_metadata
        self.industry = industry
        self.license = license
        self.concurrency = concurrency
        self.wait_for_completion = wait_for_completion
        self.require_healthy = require_healthy
        self.deferrable = deferrable
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self.timeout = seconds(timeout, "timeout")
        if require_healthy and not wait_for_completion:
            raise AvalaConfigurationError(
                "require_healthy: there is no report before the dataset is created; set wait_for_completion, too"
            )

    def execute(self, context: Context) -> str:
        """Upload the files and make the dataset, or find the one of this task run; then wait, if that is wanted.

        :raises AirflowFailException: an error that no retry can mend.
        :raises AvalaError: an error that a retry may mend.
        """
        from airflow_provider_avala.operators.polling import poll_until_successful

        with fatal_errors_end_the_task():
            notes = self._notes(context)
            dataset = self._create(notes)
            self.log.info("Dataset %s (%s): %s", dataset.id, self.name, dataset.progress)
            self._created_id = dataset.id
            self.link_to(context, dataset)
            if not self.wait_for_completion:
                return dataset.id
            found: Resource = dataset
            files, deadline = notes.get("files"), time.time() + self.timeout
            if not is_successful(found):
                if self.deferrable:
                    self._wait_in_triggerer(dataset.id, deadline, files)
                found = poll_until_successful(
                    self.hook,
                    DATASETS,
                    dataset.id,
                    poll_interval=self.poll_interval,
                    deadline=deadline,
                    timeout=self.timeout,
                )
            return self._accepted(found, files)

    def _notes(self, context: Context) -> DatasetNotes:
        from airflow_provider_avala.operators.dataset_notes import dataset_notes

        dataset = (self.name, self.slug, self.owner_name, self.organization_uid)
        return dataset_notes(context, self.hook.settings, self.retries or 0, dataset)

    def _create(self, notes: DatasetNotes) -> Dataset:
        if dataset := self._remembered(notes):
            return dataset
        dataset = self.hook.create_dataset(
            self.name,
            self.slug,
            self.data_type,
            self.source,
            visibility=self.visibility,
            create_metadata=self.create_metadata,
            owner_name=self.owner_name,
            metadata=self.metadata,
            industry=self.industry,
            license=self.license,
            organization_uid=self.organization_uid,
            concurrency=self.concurrency,
            run_id=notes.scope,
            memory=notes,
            may_exist=notes.dataset_may_exist,
            created_after=notes.oldest,
        )
        notes.update(dataset_id=dataset.id)
        return dataset

    def _remembered(self, notes: DatasetNotes) -> Dataset | None:
        """The dataset that an earlier attempt has made, if it is there, and what a cleared task would make again."""
        if not notes.get("dataset_id"):
            return None
        try:
            dataset = self.hook.client.get_dataset(str(notes.get("dataset_id")))
        except AvalaNotFoundError:
            notes.begin_anew()
            return None
        if notes.made_before_clear:
            if not notes.are_about(self.source):
                self._require_renamed(dataset)
                notes.begin_anew()
                return None
            notes.update(dataset_id=dataset.id)
        return dataset

    def _require_renamed(self, dataset: Dataset) -> None:
        # Said here, where what is noted of the dataset stays as it is: the files may become again what they were.
        if (dataset.name.strip(), dataset.slug) == (self.name.strip(), self.slug):
            raise AvalaConfigurationError(
                f"name, slug: dataset {dataset.id} has them already; it was made of other files before the task was"
                " cleared. Delete or rename it, or choose others. Nothing was sent"
            )

    def _wait_in_triggerer(self, dataset_id: str, deadline: float, files: int | None) -> NoReturn:
        returns = ID if not self.require_healthy and nothing_remains(self) else ""
        self.defer(
            trigger=AvalaDatasetTrigger(
                dataset_id, self.avala_conn_id, self.poll_interval, deadline, returns
            ),
            method_name="execute_complete",
            kwargs={"dataset_id": dataset_id, "deadline": deadline, "files": files},
            timeout=backstop(deadline, self.poll_interval),
        )

    def execute_complete(
        self,
        context: Context,
        event: Any = None,
        dataset_id: str = "",
        deadline: float = 0.0,
        files: int | None = None,
    ) -> str:
        """Go on after the trigger's event.

        :param event: what the trigger sent.
        :param dataset_id: id of the dataset that was waited for.
        :param deadline: when to give up, in seconds since the epoch.
        :param files: how many files were sent.
        """
        with fatal_errors_end_the_task():
            dataset_id = dataset_id or told_id(
                event, DATASETS
            )  # dag.test() hands on the event and nothing else
            if files is None:
                files = self._notes(context).get("files")
            dataset = resumed(self.hook, dataset_id, event, DATASETS)
            if dataset is None:
                self._wait_in_triggerer(dataset_id, deadline or time.time() + self.timeout, files)
            self._created_id = dataset_id
            return self._accepted(dataset, files)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """What OpenLineage is told about this task.

        :param task_instance: the task's run; not used.
        """
        from airflow_provider_avala import lineage

        made = lineage.at_avala(datasets=getattr(self, "_created_id", None))
        return lineage.operator_lineage(lineage.files(self.source), made)

    def _accepted(self, dataset: Resource, files: int | None) -> str:
        """Hold the dataset to its health report, if that is wanted."""
        if self.require_healthy:
            owner = getattr(dataset, "owner_name", "") or self.owner_name or self._user_name()
            slug = getattr(dataset, "slug", "") or self.slug
            self.hook.client.get_dataset_health(owner, slug).require(files)
        return dataset.id

    def _user_name(self) -> str:
        me = self.hook.run("GET", "/users/me/")
        return str(me.get("username") or "") if isinstance(me, dict) else ""
