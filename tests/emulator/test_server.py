"""Start, stop, several clients at once, and the import without the extra."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from airflow_provider_avala.emulator import (
    SEED_API_KEY,
    SEED_DATASET_ID,
    SEED_PROJECT_ID,
    faults,
    running_emulator,
)


def test_two_emulators_live_side_by_side(start):
    (one, client_one), (two, client_two) = start(), start(dialect="legacy", api_key="other")
    assert one.api_key == SEED_API_KEY
    assert len({one.base_url, two.base_url, one.storage_url, two.storage_url}) == 4
    one.add_dataset()
    assert len(client_one.get("/datasets").json()["results"]) == 2
    assert len(client_two.get("/datasets").json()["items"]) == 1


def test_it_starts_and_stops_fast_and_leaves_no_thread_and_no_port():
    with running_emulator():
        pass
    before = threading.active_count()
    began = time.monotonic()
    with running_emulator() as avala, requests.Session() as client:
        assert client.get(avala.base_url).status_code == 401
        assert threading.active_count() > before
    assert time.monotonic() - began < 1
    assert threading.active_count() == before
    for url in (avala.base_url, avala.storage_url):
        with pytest.raises(requests.ConnectionError, match="refused"):
            requests.get(url, timeout=5)


def test_it_stops_when_the_block_fails():
    with pytest.raises(ZeroDivisionError), running_emulator() as avala:
        _ = 1 / 0
    with pytest.raises(requests.ConnectionError):
        requests.get(avala.base_url, timeout=5)


def test_a_port_in_use_is_an_error_that_names_it(start):
    avala, _ = start()
    port = int(avala.storage_url.rpartition(":")[2])
    for ports in ({"port": port}, {"storage_port": port}):
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"), running_emulator(**ports):
            pass


@pytest.mark.parametrize(
    ("name", "value"), [("dialect", "other"), ("download", "elsewhere"), ("rate_limits", "many")]
)
def test_a_setting_that_makes_no_sense_is_refused(name, value):
    with pytest.raises(ValueError, match=value), running_emulator(**{name: value}):
        pass


def test_many_uploads_at_once_store_every_row_once(start):
    avala, client = start()
    url = f"{avala.base_url}/datasets/{SEED_DATASET_ID}/items/"

    def upload(part: int) -> int:
        content = b"".join(json.dumps({"part": part, "n": n}).encode() + b"\n" for n in range(50))
        with requests.Session() as session:
            reply = session.post(
                url, files={"file": ("f", content)}, headers=dict(client.headers), timeout=30
            )
        return reply.status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(upload, range(40))) == {201}
    rows = [(row["part"], row["n"]) for row in avala.items(SEED_DATASET_ID)]
    assert sorted(rows) == [(part, n) for part in range(40) for n in range(50)]
    assert all(rows[at : at + 50] == [(rows[at][0], n) for n in range(50)] for at in range(0, 2000, 50))
    assert len(avala.requests) == 40


def test_clients_and_the_handle_may_work_at_the_same_time(start):
    avala, client = start(max_exports=1000, export_seconds=0)

    def create(number: int) -> str:
        with requests.Session() as session:
            session.headers.update(client.headers)
            body = {"project": SEED_PROJECT_ID, "name": str(number)}
            uid = session.post(avala.base_url + "/exports/", json=body, timeout=30).json()["uid"]
            session.get(avala.base_url + "/exports/", timeout=30).raise_for_status()
            url = session.get(f"{avala.base_url}/exports/{uid}/", timeout=30).json()["download_url"]
            requests.get(url, timeout=30).raise_for_status()
        avala.add_dataset(f"Dataset {number}")
        return uid

    with ThreadPoolExecutor(8) as pool:
        uids = list(pool.map(create, range(40)))
    assert sorted(uids) == sorted(export["uid"] for export in avala.exports)
    assert len(avala.datasets) == 41
    assert len({dataset["slug"] for dataset in avala.datasets}) == 41


def test_answers_do_not_wait_for_delayed_acknowledgements(start):
    _, client = start()
    began = time.monotonic()
    for _ in range(50):
        client.get("/users/me/")
    assert time.monotonic() - began < 1  # 40 ms each would make 2


def test_reset_goes_back_to_the_seeds(start):
    avala, client = start(rate_limits="3/60")
    avala.add_dataset()
    avala.add_export()
    avala.fail_next_export()
    avala.inject(faults.html())
    client.get("/exports/")
    avala.inject(faults.html())
    avala.reset()
    assert (len(avala.datasets), avala.exports, avala.requests) == (1, [], [])
    assert [client.get("/exports/").status_code for _ in range(3)] == [200, 200, 200]


def run_without(modules: list[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that cannot import these modules."""
    blocked = f"import sys\nfor name in {modules!r}: sys.modules[name] = None\n"
    return subprocess.run([sys.executable, "-c", blocked + code], capture_output=True, text=True, timeout=60)


def test_importing_it_needs_neither_the_extra_nor_airflow():
    code = "from airflow_provider_avala.emulator import faults, running_emulator; faults.status(500)"
    done = run_without(["starlette", "uvicorn", "python_multipart", "airflow", "requests"], code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "python_multipart"])
def test_without_the_extra_it_says_what_to_install(missing):
    code = "from airflow_provider_avala.emulator import running_emulator\nwith running_emulator(): pass"
    done = run_without([missing], code)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: the Avala emulator needs its extra: pip install 'airflow-provider-avala[emulator]' "
        f"(missing: {missing})"
    )


def test_it_runs_without_airflow_and_without_the_api_package():
    code = (
        "from airflow_provider_avala.emulator import running_emulator\n"
        "with running_emulator(): pass\n"
        "assert not [name for name in sys.modules if name.startswith('airflow_provider_avala.api')]\n"
    )
    done = run_without(["airflow", "requests"], code)
    assert (done.returncode, done.stderr) == (0, "")
