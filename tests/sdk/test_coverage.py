"""No method of the SDK is left out: a new one turns this red until a test calls it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import tests.sdk
from tests.sdk.facade import methods_of


def covered(fixtures: set[str]) -> set[str]:
    """Collect what the tests that use one of these fixtures declare."""
    found: set[str] = set()
    for module in pkgutil.iter_modules(tests.sdk.__path__, "tests.sdk."):
        if not module.name.startswith("tests.sdk.test_"):
            continue
        for _, test in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction):
            if test.__name__.startswith("test_") and fixtures & set(inspect.signature(test).parameters):
                found |= getattr(test, "covers", set())
    return found


@pytest.mark.parametrize(("kind", "fixtures"), [("sync", {"sdk", "sync_sdk"}), ("async", {"sdk"})])
def test_every_public_method_of_every_resource_is_called_by_a_test(clients, kind, fixtures):
    methods = methods_of(clients[kind][0])
    assert len(methods) > 90
    assert not methods - covered(fixtures), "no test calls these"
    if kind == "sync":
        assert not covered(fixtures) - methods, "there are no such methods"
