"""The commands as users call them: real processes, against the emulator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_avala.emulator import SEED_PROJECT_ID, Emulator, running_emulator
from tests import installed
from tests.airflow_support import AIRFLOW, connection
from tests.emulator.support import eventually

MODULE = [sys.executable, "-m", "airflow_provider_avala"]
OF_AIRFLOW = [sys.executable, "-m", "airflow", "avala"]
#: Airflow takes a provider's commands from 3.2 on.
PROGRAMS = [MODULE, OF_AIRFLOW] if AIRFLOW >= (3, 2) else [MODULE]


@pytest.fixture(scope="module")
def avala() -> Iterator[Emulator]:
    with running_emulator(rate_limits=None, export_seconds=0.0, max_exports=1000) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def fresh(avala: Emulator) -> None:
    avala.reset()


def environment(avala: Emulator, home: Path) -> dict[str, str]:
    return (
        os.environ
        | installed.variables()
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_AVALA_DEFAULT": connection(avala.base_url, avala.api_key),
            "AIRFLOW_CONN_AVALA_WRONG_KEY": connection(avala.base_url, "avk_wrong_key"),
            "AIRFLOW_CONN_AVALA_WRONG_URL": connection("not a url", "avk_wrong_key"),
        }
    )


def call(avala: Emulator, home: Path, *arguments: str, program: list[str] = MODULE) -> tuple[int, str, str]:
    done = subprocess.run(
        [*program, *arguments],
        env=environment(avala, home),
        cwd=installed.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    for text in (done.stdout, done.stderr):
        assert avala.api_key not in text
        assert "avk_wrong_key" not in text
        assert avala.storage_url not in text
        assert "Traceback" not in text
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=["module", "airflow"][: len(PROGRAMS)])
def test_a_connection_that_works_is_described(program: list[str], avala: Emulator, tmp_path: Path) -> None:
    code, out, _ = call(avala, tmp_path, "check", program=program)
    assert code == 0
    assert f"works Avala answers at {avala.base_url}" in out
    assert "The key is that of emulator." in out
    assert "standard" in out
    assert "inference" in out


@pytest.mark.parametrize(
    ("conn_id", "words"),
    [
        ("avala_wrong_key", "refuses the key"),
        ("avala_wrong_url", "host: 'not a url' is not a URL"),
        ("nowhere", "nowhere"),
    ],
)
def test_a_connection_that_does_not_is_explained(
    conn_id: str, words: str, avala: Emulator, tmp_path: Path
) -> None:
    code, out, err = call(avala, tmp_path, "check", "--conn-id", conn_id)
    assert code == 1
    assert words in out + err


@pytest.mark.parametrize("program", PROGRAMS, ids=["module", "airflow"][: len(PROGRAMS)])
@pytest.mark.parametrize("arguments", [["exports", "watch", "--interval", "x"], ["nonsense"], []])
def test_a_wrong_command_line_ends_with_2(
    program: list[str], arguments: list[str], avala: Emulator, tmp_path: Path
) -> None:
    code, _, err = call(avala, tmp_path, *arguments, program=program)
    assert code == 2
    assert err


def test_exports_are_listed(avala: Emulator, tmp_path: Path) -> None:
    ids = [avala.add_export(status=status) for status in ("processing", "exported", "failed")]
    code, out, _ = call(avala, tmp_path, "exports", "list")
    assert code == 0
    assert all(export_id in out for export_id in ids)
    code, out, _ = call(avala, tmp_path, "exports", "list", "--newest", "2", "--output", "json")
    assert code == 0
    listed = json.loads(out)
    assert len(listed) == 2
    assert {export["status"] for export in listed} <= {"processing", "exported", "failed"}


def test_airflow_prints_json_that_a_program_can_read(avala: Emulator, tmp_path: Path) -> None:
    avala.add_export(status="exported")
    code, out, _ = call(avala, tmp_path, "exports", "list", "-o", "json", program=PROGRAMS[-1])
    assert code == 0
    assert [export["status"] for export in json.loads(out)] == ["exported"]


def test_watching_ends_when_the_exports_have_finished(avala: Emulator, tmp_path: Path) -> None:
    avala.export_seconds = 3.0
    export_id = avala.add_export()
    code, out, err = call(
        avala, tmp_path, "exports", "watch", export_id, "--interval", "0.2", "--timeout", "60"
    )
    assert code == 0
    assert "avala: " not in err
    assert export_id in out
    assert "exported" in out


@pytest.mark.parametrize(
    ("status", "words"), [("failed", "failed: "), ("processing", "not finished within 0.5 s")]
)
def test_watching_fails_with_an_export_and_with_the_time(
    status: str, words: str, avala: Emulator, tmp_path: Path
) -> None:
    export_id = avala.add_export(status=status)
    code, out, err = call(
        avala, tmp_path, "exports", "watch", export_id, "--interval", "0.1", "--timeout", "0.5"
    )
    assert code == 1
    assert export_id in out
    assert words in err


def test_watching_nothing_is_said(avala: Emulator, tmp_path: Path) -> None:
    avala.add_export(status="exported")
    assert call(avala, tmp_path, "exports", "watch")[:2] == (0, "No export is running.\n")


def test_an_export_is_downloaded_and_its_path_printed(avala: Emulator, tmp_path: Path) -> None:
    export_id = avala.add_export(project_id=SEED_PROJECT_ID, status="exported")
    code, out, err = call(avala, tmp_path, "exports", "download", export_id, f"{tmp_path}/files/")
    assert code == 0
    path = Path(out.strip())
    assert path.parent == tmp_path / "files"
    assert zipfile.is_zipfile(path)
    assert "100%" in err or "bytes" in err


@pytest.mark.parametrize(("status", "words"), [("processing", "no file yet"), (None, "404 Not Found")])
def test_an_export_without_a_file_is_an_error_in_one_line(
    status: str | None, words: str, avala: Emulator, tmp_path: Path
) -> None:
    export_id = avala.add_export(status=status) if status else "unknown"
    code, out, err = call(avala, tmp_path, "exports", "download", export_id, f"{tmp_path}/")
    assert (code, out) == (1, "")
    [line] = [line for line in err.splitlines() if line.startswith("avala: ")]
    assert words in line


def test_the_pools_are_printed_and_created(avala: Emulator, tmp_path: Path) -> None:
    code, out, _ = call(avala, tmp_path, "pools")
    assert code == 0
    printed = json.loads(out)
    assert {name: pool["slots"] for name, pool in printed.items()} == {
        "avala_exports": 5,
        "avala_uploads": 10,
    }
    for arguments in (("db", "migrate"), ("pools", "list")):
        subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=environment(avala, tmp_path),
            check=True,
            capture_output=True,
            timeout=120,
        )
    for _ in range(2):  # again changes nothing
        code, out, _ = call(avala, tmp_path, "pools", "--create")
        assert code == 0
        assert out == "avala_exports: 5 slots\navala_uploads: 10 slots\n"
    listed = subprocess.run(
        [sys.executable, "-m", "airflow", "pools", "list", "--output", "json"],
        env=environment(avala, tmp_path),
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    pools = {pool["pool"] for pool in json.loads(listed[listed.index("[{") :])}
    assert {"avala_exports", "avala_uploads"} <= pools


@pytest.mark.parametrize("program", PROGRAMS, ids=["module", "airflow"][: len(PROGRAMS)])
def test_the_emulator_runs_until_it_is_interrupted(
    program: list[str], avala: Emulator, tmp_path: Path
) -> None:
    ready = tmp_path / "ready.json"
    with subprocess.Popen(
        [*program, "emulator", "--port", "0", "--dialect", "legacy", "--ready-file", str(ready)],
        env=environment(avala, tmp_path),
        cwd=installed.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            eventually(lambda: ready.exists() or process.poll() is not None, 60)
            told = json.loads(ready.read_text())
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "legacy dialect" in out
    assert told["base_url"] in out


def test_airflow_itself_loads_no_command_that_was_not_asked_for() -> None:
    program = (
        "import sys; from airflow_provider_avala.cli.airflow import get_cli_commands; get_cli_commands();"
        "print(sorted(name for name in sys.modules if name.startswith('airflow_provider_avala')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=installed.ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "airflow_provider_avala.cli.definition" in done.stdout
    for heavy in ("emulator", "api", "hooks", "cli.exports"):
        assert f"'airflow_provider_avala.{heavy}'" not in done.stdout
