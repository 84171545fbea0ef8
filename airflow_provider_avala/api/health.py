"""What Avala says about a dataset's condition: the gate between an upload and those who use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_avala.api.envelopes import describe
from airflow_provider_avala.api.errors import AvalaError, AvalaProtocolError
from airflow_provider_avala.api.secrets import without_signed_urls


class AvalaUnhealthyDatasetError(AvalaError):
    """A dataset was created, but its health report says that something is wrong with it."""


@dataclass(frozen=True)
class DatasetHealth:
    """A dataset's health report.

    :param dataset_id: id of the dataset.
    :param ingest_ok: whether Avala could read everything.
    :param item_count: how many items it found.
    :param issues: what is wrong, in Avala's words.
    """

    dataset_id: str
    ingest_ok: bool
    item_count: int
    issues: tuple[str, ...] = ()

    @classmethod
    def read(cls, payload: Any) -> DatasetHealth:
        """Read a report from decoded JSON.

        :param payload: what the API sent.
        :raises AvalaProtocolError: if it is none.
        """
        if not isinstance(payload, Mapping) or not isinstance(payload.get("ingest_ok"), bool):
            raise AvalaProtocolError(f"expected a dataset's health report, got {describe(payload)}")
        count, issues = payload.get("item_count"), payload.get("issues")
        return cls(
            dataset_id=str(payload.get("dataset_uid") or payload.get("dataset_id") or ""),
            ingest_ok=payload["ingest_ok"],
            item_count=count if isinstance(count, int) else 0,
            issues=tuple(without_signed_urls(str(issue)) for issue in issues)
            if isinstance(issues, list)
            else (),
        )

    def require(self, files: int | None) -> None:
        """Hold the dataset to its report.

        :param files: how many files were sent, None if that is not known.
        :raises AvalaUnhealthyDatasetError: if the report names an issue, or not every file has become an item.
        """
        problems = list(self.issues)
        if not self.ingest_ok and not problems:
            problems.append("its files could not all be read (ingest_ok is false)")
        if files is not None and self.item_count != files:
            problems.append(f"{files} files were sent, but it has {self.item_count} items")
        if not self.ingest_ok or len(problems) > len(self.issues):
            raise AvalaUnhealthyDatasetError(
                f"dataset {self.dataset_id} was created but is not healthy: {'; '.join(problems)}. Look at its files"
                " in Avala; files whose type does not belong to the dataset's data_type become no items."
            )
