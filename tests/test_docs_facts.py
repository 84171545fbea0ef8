"""What the documentation tells of defaults, limits, names and commands is what the code has."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from airflow_provider_avala.api import archives, dataset_creation, jsonl, limiter, managed_uploads, uploads
from airflow_provider_avala.api.defaults import DEFAULT_PART_SIZE
from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.assets.avala import create_asset
from airflow_provider_avala.cli.definition import COMMANDS, Argument, Command
from airflow_provider_avala.operators.avala import AvalaCreateDatasetOperator, AvalaUploadItemsOperator
from airflow_provider_avala.plugins import overview, page
from tests.docs_support import DOCS

SETTINGS = Settings()
MIB = 1024**2


def default(operator: type, argument: str) -> object:
    """The default of an operator's argument."""
    return inspect.signature(operator.__init__).parameters[argument].default


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("upload", f"({DEFAULT_PART_SIZE // MIB} MiB; at most just under 100 MB)"),
        ("upload", f"parts ({default(AvalaUploadItemsOperator, 'concurrency')};\nat most"),
        ("upload", f"at most {uploads.MAX_CONCURRENCY})"),
        ("upload", f'`"{default(AvalaUploadItemsOperator, "on_unknown")}"` (default)'),
        ("datasets", f"files ({default(AvalaCreateDatasetOperator, 'concurrency')}; at most"),
        ("datasets", f"at most {dataset_creation.MAX_CONCURRENCY})"),
        ("datasets", f"up to {managed_uploads.ATTEMPTS} times"),
        ("download", f"more than {archives.LIMITS.ratio} times its size (beyond the first MiB)"),
        (
            "limits",
            "{} requests a minute and {} a second".format(*(each.requests for each in SETTINGS.rate_limits)),
        ),
        ("limits", f"`max_retry_seconds` ({SETTINGS.max_retry_seconds:g})"),
        ("limits", f"poll_share = {SETTINGS.poll_share:g}"),
        ("many-hosts", f"every {limiter.SECOND_CHANCE:g} seconds"),
        ("on-call", f"every {page.REFRESH_SECONDS} seconds"),
        ("on-call", f"one request in {overview.FRESH_SECONDS:g} seconds"),
    ],
)
def test_the_numbers_are_those_of_the_code(name: str, fact: str) -> None:
    assert _flat(fact) in _flat((DOCS / f"{name}.md").read_text())


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_the_largest_part_is_just_under_100_mb() -> None:
    assert 99_000_000 < jsonl.MAX_PART_SIZE < 100_000_000
    assert (archives.LIMITS.small, archives.LIMITS.bytes, archives.LIMITS.files) == (MIB, 1024**4, 1_000_000)


def test_the_table_of_assets_is_what_the_factory_makes() -> None:
    guide = (DOCS / "schedule.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| `([^|`]+)` \| `(avala:[^|`]+)` \|$", guide, re.MULTILINE)
    assert len(rows) == 5
    for arguments, uri in rows:
        given = {
            name: value.strip('"') if '"' in value else value == "True"
            for name, value in re.findall(r"(\w+)=([^,]+)", arguments)
        }
        assert create_asset(**given).uri == uri


def test_the_table_of_pools_is_the_file() -> None:
    rows = re.findall(r"^\| `(avala_\w+)` \| (\d+) \|", (DOCS / "pools.md").read_text(), re.MULTILINE)
    file = Path(import_module("airflow_provider_avala").__path__[0]) / "pools.json"
    assert {name: int(slots) for name, slots in rows} == {
        name: pool["slots"] for name, pool in json.loads(file.read_text()).items()
    }


def commands(among: tuple[Command, ...] = COMMANDS, path: str = "") -> Iterator[tuple[str, Command]]:
    for command in among:
        yield from commands(command.subcommands, f"{path}{command.name} ")
        if not command.subcommands:
            yield f"{path}{command.name}", command


def test_every_command_and_option_is_in_the_guide() -> None:
    guide = (DOCS / "command-line.md").read_text()
    for path, command in commands():
        assert f"python -m airflow_provider_avala {path}" in guide
        for argument in command.arguments:
            if isinstance(argument, Argument) and argument.flags[0].startswith("-"):
                assert any(f"{flag} " in guide or f"{flag}`" in guide for flag in argument.flags), argument
