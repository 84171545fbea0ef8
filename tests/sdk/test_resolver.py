"""Public datasets through the SDK's loader and its command, without a key."""

from __future__ import annotations

import warnings

import avala
import avala.errors
import pytest

from airflow_provider_avala.emulator import SEED_OWNER
from tests.sdk.facade import covers

COUNT = 120


@pytest.fixture
def dataset(control, monkeypatch) -> str:
    """A public dataset; return its uid."""
    monkeypatch.setenv("AVALA_ALLOW_INSECURE_BASE_URL", "true")
    monkeypatch.delenv("AVALA_API_KEY", raising=False)
    rows = [{"key": f"{number}"} for number in range(COUNT)]
    hidden = {"name": "Hidden", "slug": "hidden"}
    planted = control.plant(
        datasets=[{"name": "Streets", "slug": "streets", "visibility": "public", "rows": rows}, hidden]
    )
    return planted["datasets"][0]


def load(control, reference: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", avala.datasets.MutableDatasetAliasWarning)
        return avala.load(reference, base_url=control.base_url)


def test_a_public_dataset_is_one_revision_with_its_objects(control, dataset):
    with load(control, f"{SEED_OWNER}/streets") as found:
        assert (found.dataset_uid, found.object_count) == (dataset, COUNT)
        objects = list(found.objects)
        assert [len(objects), sum(1 for _ in found.for_role("other"))] == [COUNT, 0]
        assert sum(one.size_bytes for one in objects) == found.total_size_bytes
        reference = found.canonical_reference
    with load(control, reference) as again:
        assert again.revision_uid == found.revision_uid
    assert all(
        "x-avala-api-key" not in request["headers"] for request in control.requests("GET", "/resolve/")
    )


@pytest.mark.parametrize("reference", ["hidden", "none", "streets@v1"])
def test_what_is_private_or_not_there_is_not_found(control, dataset, reference):
    with pytest.raises(avala.errors.DatasetResolverError) as caught:
        load(control, f"{SEED_OWNER}/{reference}")
    assert (caught.value.reason, caught.value.status_code) == ("not_found", 404)


@covers("datasets resolve")
def test_the_command_pins_a_dataset(cli, dataset):
    shown = cli.json("datasets", "resolve", f"{SEED_OWNER}/streets")
    assert (shown["dataset_uid"], shown["object_count"]) == (dataset, COUNT)
    assert shown["canonical_reference"] == f"avala://datasets/{dataset}@{shown['revision_sha256']}"
