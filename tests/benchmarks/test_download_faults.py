"""Whatever goes wrong at the storage, a download is byte-equal, or a clear error and no file."""

from __future__ import annotations

import pytest

from benchmarks.download_faults import BrokenPromiseError, draw, run, run_plan
from benchmarks.flawed_storage import FAULTS, FlawedStorage

SEEDS = 60


def test_every_download_is_byte_equal_or_a_clear_error() -> None:
    counted = run(SEEDS)
    assert counted["plans"] == SEEDS
    assert counted["whole at once"] + counted["whole after a retry"] == SEEDS
    assert counted["resumed with Range"] > 0
    assert counted["unpacked"] > 0
    assert counted["whole after a retry"] == counted["a clear error, and nothing under the final name"] > 0


def test_the_seeds_have_every_fault() -> None:
    assert {fault for seed in range(SEEDS) for fault in draw(seed).faults} == set(FAULTS)


def test_a_wrong_byte_is_noticed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_avala.api.partfile import PartFile

    append = PartFile.append
    monkeypatch.setattr(PartFile, "append", lambda part, chunk: append(part, bytes(len(chunk))))
    monkeypatch.setattr("airflow_provider_avala.api.archives.check", lambda *_, **__: None)
    seed = next(
        seed
        for seed in range(SEEDS)
        if not draw(seed).checksum and not draw(seed).faults and any(draw(seed).contents[0])
    )
    with FlawedStorage() as server, pytest.raises(BrokenPromiseError, match=f"seed {seed}: "):
        run_plan(server, seed, tmp_path)
