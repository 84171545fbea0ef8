"""A pytest plugin: the fixture ``avala_emulator``, for offline tests of DAGs.

Registered by entry point, so it is there wherever this package is installed::

    def test_my_dag(avala_emulator):
        my_dag.test()
        assert len(avala_emulator.exports) == 1

Loaded in every pytest run, wanted or not: nothing heavy may be imported here at the top.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

MARKER = "avala_emulator"
MARKER_HELP = (
    "avala_emulator(conn_id='avala_default', scope='function', scenario=None, seed=None, **settings): "
    "how the emulator of the avala_emulator fixture behaves, and which tests share it"
)
SCOPES: dict[str, type[pytest.Item | pytest.Collector]] = {
    "class": pytest.Class,
    "module": pytest.Module,
    "session": pytest.Session,
}
SHARED = pytest.StashKey["list[tuple[dict[str, Any], Emulator]]"]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, so that ``--strict-markers`` takes it."""
    config.addinivalue_line("markers", MARKER_HELP)


@pytest.fixture(scope="session")
def avala_emulator_settings() -> dict[str, Any]:
    """What every emulator of this run starts with; override it in a ``conftest.py``. Markers go before it.

    The names are those of the marker: ``conn_id``, ``scope``, ``scenario``, ``seed``, and the settings that
    :func:`airflow_provider_avala.emulator.running_emulator` takes.
    """
    return {}


@pytest.fixture
def avala_emulator(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, avala_emulator_settings: dict[str, Any]
) -> Iterator[Emulator]:
    """A local Avala on free ports, fresh for each test; the Airflow connection ``avala_default`` points to it.

    Change it for a test, a class or a module by the marker ``avala_emulator``, for example
    ``@pytest.mark.avala_emulator(scenario="flaky", export_seconds=0)``; of several markers the nearest one
    decides, setting by setting. ``scope="class"``, ``"module"`` or ``"session"`` lets all tests there that ask
    for the same settings share one emulator and what it holds.
    """
    from airflow_provider_avala.emulator.connection import connection_of

    settings = dict(avala_emulator_settings)
    for marker in reversed([*request.node.iter_markers(MARKER)]):
        if marker.args:
            _refuse(f"give names, such as scenario='flaky'; got {marker.args[0]!r}")
        settings.update(marker.kwargs)
    conn_id, scope = settings.pop("conn_id", "avala_default"), settings.pop("scope", "function")
    with _emulator(request, scope, settings) as emulator:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", connection_of(emulator))
        yield emulator


@contextmanager
def _emulator(request: pytest.FixtureRequest, scope: str, settings: dict[str, Any]) -> Iterator[Emulator]:
    if scope == "function":
        with _started(settings) as emulator:
            yield emulator
        return
    if scope not in SCOPES:
        _refuse(f"scope={scope!r}: say one of function, {', '.join(SCOPES)}")
    # A test outside of any class shares with nobody in that scope: its own node is the nearest one.
    node = request.node.getparent(SCOPES[scope]) or request.node
    shared = node.stash.setdefault(SHARED, [])
    for known, emulator in shared:
        if known == settings:
            yield emulator
            return
    running = _started(settings)
    emulator = running.__enter__()

    def stop() -> None:
        shared.remove((settings, emulator))
        running.__exit__(None, None, None)

    node.addfinalizer(stop)
    shared.append((settings, emulator))
    yield emulator


@contextmanager
def _started(settings: dict[str, Any]) -> Iterator[Emulator]:
    from airflow_provider_avala.emulator import running_emulator

    try:
        running = running_emulator(**settings)
        emulator = running.__enter__()
    except (ImportError, TypeError, ValueError) as error:
        _refuse(str(error))
    try:
        yield emulator
    finally:
        running.__exit__(None, None, None)


def _refuse(problem: str) -> None:
    pytest.fail(f"@pytest.mark.{MARKER}: {problem}", pytrace=False)
