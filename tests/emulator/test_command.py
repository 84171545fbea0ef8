"""``python -m airflow_provider_avala.emulator`` as a subprocess."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
import requests

from tests.emulator.support import eventually

COMMAND = [sys.executable, "-m", "airflow_provider_avala.emulator"]


class Command:
    """A running emulator command."""

    def __init__(self, ready_file, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "--ready-file", str(ready_file), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: ready_file.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()
        self.ready = json.loads(ready_file.read_text())

    def stop(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def run(tmp_path):
    commands = []

    def runner(*arguments: str) -> Command:
        commands.append(Command(tmp_path / f"ready-{len(commands)}.json", *arguments))
        return commands[-1]

    yield runner
    for command in commands:
        if command.process.poll() is None:
            command.process.kill()
        command.process.communicate()


def test_it_serves_at_once_and_says_where(run, tmp_path):
    command = run("--port", "0")
    ready = command.ready
    assert ready["pid"] == command.process.pid
    reply = requests.get(
        ready["base_url"] + "/users/me/", headers={"X-Avala-Api-Key": ready["api_key"]}, timeout=10
    )
    assert reply.status_code == 200
    assert reply.headers["X-RateLimit-Limit"] == "100"
    assert requests.get(ready["storage_url"], timeout=10).status_code == 404
    code, out, err = command.stop(signal.SIGTERM)
    assert (code, err) == (0, "")
    for value in (ready["base_url"], ready["storage_url"], ready["api_key"]):
        assert value in out
    assert list(tmp_path.iterdir()) == []


def test_the_banner_holds_a_connection_to_paste(run):
    command = run("--port", "0", "--dialect", "legacy", "--api-key", "it's mine")
    _, out, _ = command.stop(signal.SIGINT)
    line = re.search(r"export (AIRFLOW_CONN_AVALA_DEFAULT=.*)", out)
    name, _, value = shlex.split(line[1])[0].partition("=")
    assert name == "AIRFLOW_CONN_AVALA_DEFAULT"
    assert json.loads(value) == {
        "conn_type": "avala",
        "host": command.ready["base_url"],
        "password": "it's mine",
        "extra": {"dialect": "legacy"},
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_on_a_signal_even_with_an_open_connection(run, number):
    command = run("--port", "0")
    with requests.Session() as client:
        client.get(command.ready["base_url"], timeout=10)
        code, _, err = command.stop(number)
    assert (code, err) == (0, "")


def test_its_options_reach_the_emulator(run):
    command = run(
        *(
            "--port",
            "0",
            "--rate-limits",
            "none",
            "--strict-slash",
            "--export-seconds",
            "0.5",
            "--max-exports",
            "1",
        )
    )
    base, headers = command.ready["base_url"], {"X-Avala-Api-Key": command.ready["api_key"]}
    assert (
        requests.get(base + "/exports", headers=headers, timeout=10, allow_redirects=False).status_code == 301
    )
    reply = requests.get(base + "/exports/", headers=headers, timeout=10)
    assert "X-RateLimit-Limit" not in reply.headers
    state = requests.get(base.replace("/api/v1", "/__emulator__/state"), timeout=10).json()
    assert state["export_seconds"] == 0.5


def test_a_port_in_use_is_one_line_and_exit_code_1(run):
    port = run("--port", "0").ready["base_url"].split(":")[2].split("/")[0]
    for option in (["--port", port], ["--port", "0", "--storage-port", port]):
        done = subprocess.run([*COMMAND, *option], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"avala emulator: cannot listen on 127.0.0.1:{port}: Address already in use; "
            "choose another with --port or --storage-port (0 = a free one)\n"
        )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--rate-limits", "many"], 1, "avala emulator: rate limit 'many'"),
        (["--port", "0", "--ready-file", "/nonexistent/x/y"], 1, "avala emulator: "),
        (["--port", "70000"], 2, "--port: invalid port_number value"),
        (["--dialect", "other"], 2, "--dialect: invalid choice"),
    ],
)
def test_a_bad_option_is_one_clear_line(arguments, code, text):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_says_what_to_install(tmp_path):
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('no starlette', name='starlette')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        COMMAND, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 1
    assert done.stderr == (
        "avala emulator: the Avala emulator needs its extra: "
        "pip install 'airflow-provider-avala[emulator]' (missing: starlette)\n"
    )
