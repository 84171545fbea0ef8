"""Named ways for an emulator to misbehave: settings and recurring faults, the same in every run."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.emulator import faults
from airflow_provider_avala.emulator.tuning import tune

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator


@dataclass(frozen=True)
class Recurring:
    """A fault that comes back for as long as the scenario lasts.

    :param where: what else :meth:`.Emulator.inject` takes: ``method``, ``path``, ``origin``, ``skip``, ``every``.
    """

    fault: faults.Fault
    where: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """One row of :data:`SCENARIOS`.

    :param summary: what a client goes through.
    :param settings: fields of :class:`~.emulator.Settings` that differ from the defaults.
    :param faults: what goes wrong again and again, until the faults are cleared.
    """

    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Recurring, ...] = ()


SCENARIOS: Mapping[str, Scenario] = {
    "slow-exports": Scenario(
        "Exports take 2 minutes, datasets 30 seconds, and only 2 exports may run at once.",
        settings={"export_seconds": 120.0, "dataset_seconds": 30.0, "max_exports": 2},
    ),
    "flaky": Scenario(
        "Of the API's answers to GET every third is lost: 503, a gateway's HTML 502, a reset connection, half "
        "a body; of those to POST every fourth is a 429; of the downloads every second breaks off.",
        faults=(
            Recurring(faults.status(503), {"method": "GET", "skip": 1, "every": 12}),
            Recurring(faults.html(502), {"method": "GET", "skip": 3, "every": 11}),
            Recurring(faults.reset_before_commit(), {"method": "GET", "skip": 5, "every": 10}),
            Recurring(faults.truncated(), {"method": "GET", "skip": 7, "every": 9}),
            Recurring(faults.status(429, headers={"Retry-After": "1"}), {"method": "POST", "every": 4}),
            Recurring(faults.reset_mid_body(), {"origin": "storage", "every": 2}),
        ),
    ),
    # Not by tighter rate limits: their headers name no window, and a client would take them for a minute's.
    "throttled": Scenario(
        "Every third request is answered 429 with Retry-After: 1, and one export and one upload may run at a time.",
        settings={"max_exports": 1, "max_uploads": 1},
        faults=(Recurring(faults.status(429, headers={"Retry-After": "1"}), {"skip": 2, "every": 3}),),
    ),
    "outage": Scenario(
        "Every request to the API and every download is answered 503, until the faults are cleared.",
        faults=(
            Recurring(faults.status(503)),
            Recurring(faults.status(503), {"origin": "storage"}),
        ),
    ),
}


def find_scenario(name: str) -> Scenario:
    """Look up a scenario.

    :raises ValueError: names the ones there are.
    """
    if name not in SCENARIOS:
        raise ValueError(f"scenario={name!r}: say one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def describe() -> str:
    """List the scenarios, one paragraph each, as ``--help`` shows them."""
    return "scenarios:\n" + "\n".join(
        textwrap.fill(scenario.summary, 100, initial_indent=f"  {name:14}", subsequent_indent=" " * 16)
        for name, scenario in SCENARIOS.items()
    )


def play(emulator: Emulator, name: str) -> None:
    """Switch a running emulator to a scenario; what was ordered before stays.

    :raises ValueError: for a scenario that there is not.
    """
    scenario = find_scenario(name)
    tune(emulator, scenario.settings)
    order_faults(emulator, scenario)


def order_faults(emulator: Emulator, scenario: Scenario) -> None:
    """Order the recurring faults of a scenario."""
    for recurring in scenario.faults:
        emulator.inject(recurring.fault, times=None, **recurring.where)
