"""Operators for Avala: create datasets, upload items, create and download exports, call any endpoint."""

from __future__ import annotations

from airflow_provider_avala.operators.api import AvalaApiOperator
from airflow_provider_avala.operators.datasets import AvalaCreateDatasetOperator
from airflow_provider_avala.operators.downloads import AvalaDownloadExportOperator
from airflow_provider_avala.operators.exports import AvalaCreateExportOperator
from airflow_provider_avala.operators.items import AvalaUploadItemsOperator

__all__ = [
    "AvalaApiOperator",
    "AvalaCreateDatasetOperator",
    "AvalaCreateExportOperator",
    "AvalaDownloadExportOperator",
    "AvalaUploadItemsOperator",
]
