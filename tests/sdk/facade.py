"""One way to call both of the SDK's clients, which notes what was called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])


def covers(*methods: str) -> Callable[[Test], Test]:
    """Declare which methods of the SDK a test calls; the fixtures check that it does."""

    def mark(test: Test) -> Test:
        test.covers = set(methods)  # type: ignore[attr-defined]
        return test

    return mark


def resources_of(client: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Find the resources of a client, those within resources too, by their dotted names."""
    for name, value in vars(client).items():
        if not name.startswith("_") and type(value).__module__.startswith("avala.resources"):
            yield prefix + name, value
            yield from resources_of(value, f"{prefix}{name}.")


def methods_of(client: Any) -> set[str]:
    """List every public method of every resource of a client."""
    return {
        f"{resource}.{name}"
        for resource, value in resources_of(client)
        for name, _ in inspect.getmembers(type(value), callable)
        if not name.startswith("_")
    }


class Facade:
    """A client, or a resource of one, whose methods return plain results: what is awaitable is awaited.

    :param target: the client or the resource.
    :param called: takes the dotted name of each method that is called.
    :param runner: runs what the asynchronous client returns.
    """

    def __init__(
        self, target: Any, called: set[str], runner: asyncio.Runner | None, prefix: str = ""
    ) -> None:
        self._target = target
        self._called = called
        self._runner = runner
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        value, path = getattr(self._target, name), self._prefix + name
        if type(value).__module__.startswith("avala.resources"):
            return Facade(value, self._called, self._runner, f"{path}.")
        if not callable(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            self._called.add(path)
            return self._plain(value(*arguments, **options))

        return call

    def _plain(self, result: Any) -> Any:
        if inspect.isawaitable(result):
            assert self._runner is not None

            async def wait() -> Any:
                found = await result
                return [entry async for entry in found] if hasattr(found, "__aiter__") else found

            return self._runner.run(wait())
        return list(result) if inspect.isgenerator(result) else result
