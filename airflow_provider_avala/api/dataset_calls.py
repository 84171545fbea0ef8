"""The part of :class:`.AvalaClient` that is about datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_avala.api.clock import Clock
from airflow_provider_avala.api.dialects import segment
from airflow_provider_avala.api.models import Dataset

if TYPE_CHECKING:
    from airflow_provider_avala.api.client import AvalaClient
    from airflow_provider_avala.api.health import DatasetHealth


class DatasetCalls:
    """Reads datasets, and makes them."""

    _clock: Clock
    _chance: Callable[[], float]

    def run(self, method: str, endpoint: str, **options: Any) -> Any:
        """See :meth:`.AvalaClient.run`."""
        raise NotImplementedError

    def paginate(self, endpoint: str, *, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """See :meth:`.AvalaClient.paginate`."""
        raise NotImplementedError

    def get_dataset(self, dataset_id: str, **options: Any) -> Dataset:
        """Read one dataset.

        :param dataset_id: its id.
        :param options: passed on to :meth:`.Transport.request`.
        :raises AvalaNotFoundError: if there is none of that id.
        """
        return Dataset.read(self.run("GET", f"/datasets/{segment(dataset_id, 'dataset_id')}/", **options))

    def list_datasets(self, *, params: Mapping[str, Any] | None = None) -> Iterator[Dataset]:
        """Iterate over all datasets.

        :param params: query parameters, for example ``status`` or ``name``.
        """
        return map(Dataset.read, self.paginate("/datasets/", params=params))

    def get_dataset_by_slug(self, owner: str, slug: str) -> Dataset:
        """Read one dataset.

        :param owner: slug of the organization or handle of the user that owns it.
        :param slug: its name in URLs.
        :raises AvalaNotFoundError: if there is none.
        """
        return Dataset.read(self.run("GET", f"/datasets/{segment(owner, 'owner')}/{segment(slug, 'slug')}/"))

    def get_dataset_health(self, owner: str, slug: str) -> DatasetHealth:
        """Read the health report of a dataset.

        :param owner: slug of the organization or handle of the user that owns it.
        :param slug: its name in URLs.
        :raises AvalaNotFoundError: if there is none.
        """
        from airflow_provider_avala.api.health import DatasetHealth

        endpoint = f"/datasets/{segment(owner, 'owner')}/{segment(slug, 'slug')}/health/"
        return DatasetHealth.read(self.run("GET", endpoint))

    def create_dataset(
        self, name: str, slug: str, data_type: str, source: Any, *, concurrency: int = 8, **options: Any
    ) -> Dataset:
        """Upload files and make a dataset of them, once, even if the answer gets lost.

        :param name: the dataset's name.
        :param slug: its name in URLs.
        :param data_type: ``image``, ``image_3d``, ``lidar``, ``mcap``, ``splat`` or ``video``.
        :param source: a file, a folder, a pattern, or a list of those; see :func:`.managed_files.find_files`.
        :param concurrency: files that are uploaded at a time.
        :param options: further fields, see :class:`.NewDataset`, and what concerns retries, see
            :class:`.DatasetCreation`.
        :raises AvalaError: see :mod:`.errors`.
        """
        from airflow_provider_avala.api.dataset_creation import CONCERNS_RETRIES, DatasetCreation, NewDataset

        retries = {name: options.pop(name) for name in CONCERNS_RETRIES if name in options}
        wanted = NewDataset(name=name, slug=slug, data_type=data_type, **options)
        client = cast("AvalaClient", self)
        return DatasetCreation(
            client, wanted, source, self._clock, self._chance, concurrency, **retries
        ).run()
