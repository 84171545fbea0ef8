"""A local Avala for demos and tests: both dialects, exports that run, limits, and faults on order.

In a test::

    from airflow_provider_avala.emulator import faults, running_emulator

    with running_emulator(dialect="current", export_seconds=0.1) as avala:
        avala.inject(faults.status(503), path="/exports/", times=2)
        ...  # talk to avala.base_url with avala.api_key
        assert len(avala.requests_to("POST", "/exports/")) == 3

On the command line: ``python -m airflow_provider_avala.emulator --port 8765``. Needs the extra ``emulator``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.emulator import faults
from airflow_provider_avala.emulator.recorder import RequestRecord
from airflow_provider_avala.emulator.seeds import (
    SEED_API_KEY,
    SEED_DATASET_ID,
    SEED_ORGANIZATION_ID,
    SEED_OWNER,
    SEED_PROJECT_ID,
    SEED_SLICE_ID,
    SEED_USER_ID,
)

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator, Settings

__all__ = [
    "SEED_API_KEY",
    "SEED_DATASET_ID",
    "SEED_ORGANIZATION_ID",
    "SEED_OWNER",
    "SEED_PROJECT_ID",
    "SEED_SLICE_ID",
    "SEED_USER_ID",
    "Emulator",
    "RequestRecord",
    "Settings",
    "faults",
    "require_extra",
    "running_emulator",
]

MISSING_EXTRA = "the Avala emulator needs its extra: pip install 'airflow-provider-avala[emulator]'"


def __getattr__(name: str) -> Any:
    # Loaded on demand: both need the extra, and importing this package must not.
    if name in ("Emulator", "Settings"):
        require_extra()
        from airflow_provider_avala.emulator import emulator

        return getattr(emulator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def require_extra() -> None:
    """Check that what the emulator runs on is installed.

    :raises ImportError: says what to install.
    """
    try:
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{MISSING_EXTRA} (missing: {error.name})") from None


@contextmanager
def running_emulator(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    storage_port: int = 0,
    scenario: str | None = None,
    seed: str | Path | Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Emulator]:
    """Run an emulator in a thread of this process for the length of the block.

    :param host: address to listen on.
    :param port: of the API; 0 takes a free one.
    :param storage_port: of the storage origin; 0 takes a free one.
    :param scenario: a way to misbehave: ``slow-exports``, ``flaky``, ``throttled``, ``outage``; see
        :mod:`~.scenarios`.
    :param seed: what it holds besides its own seeds: a YAML or JSON file, or what such a file would hold; see
        :mod:`~.seeding`.
    :param settings: the fields of :class:`~.emulator.Settings`, such as ``dialect="legacy"``,
        ``rate_limits=None`` or ``export_seconds=0``; they go before those of the scenario.
    :raises ImportError: when the extra is not installed.
    :raises ValueError: for a setting, a scenario or a seed that makes no sense; names the place.
    :raises OSError: when a port is in use.
    """
    require_extra()
    from airflow_provider_avala.emulator.emulator import Settings
    from airflow_provider_avala.emulator.scenarios import Scenario, find_scenario, order_faults
    from airflow_provider_avala.emulator.seedfiles import read_seed
    from airflow_provider_avala.emulator.server import serving

    played = Scenario("") if scenario is None else find_scenario(scenario)
    planted = None if seed is None else read_seed(seed)
    chosen = Settings(seed=planted, **{**played.settings, **settings})
    with serving(chosen, host, port, storage_port) as emulator:
        order_faults(emulator, played)
        yield emulator
