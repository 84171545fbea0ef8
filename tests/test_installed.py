"""Tests know an installed package from what a build has left in the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installed import is_installed


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), False),
        (("airflow_provider_avala.egg-info/PKG-INFO",), False),
        (
            (
                "airflow_provider_avala-0.1.0.dist-info/METADATA",
                "airflow_provider_avala-0.1.0.dist-info/RECORD",
            ),
            True,
        ),
        (
            (
                "airflow_provider_avala.egg-info/PKG-INFO",
                "airflow_provider_avala-0.1.0.dist-info/METADATA",
                "airflow_provider_avala-0.1.0.dist-info/RECORD",
            ),
            True,
        ),
    ],
    ids=["nothing", "left by a build", "installed", "both"],
)
def test_only_what_an_installer_has_recorded_counts(
    files: tuple[str, ...], expected: bool, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("Name: airflow-provider-avala\nVersion: 0.1.0\n")
    assert is_installed([str(tmp_path)]) is expected
