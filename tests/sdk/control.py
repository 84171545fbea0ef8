"""The emulator's control endpoint, for an emulator in another process."""

from __future__ import annotations

from typing import Any

import requests


class Control:
    """What a test may ask of the emulator beside its API.

    :param base_url: of the API.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.address = base_url.replace("/api/v1", "/__emulator__")

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        reply = requests.request(method, self.address + path, timeout=20, **options)
        assert reply.ok, reply.text
        return reply.json() if reply.content else None

    def turn(self, **changes: Any) -> Any:
        """Change what ``POST /__emulator__/state`` can change."""
        return self._ask("POST", "/state", json=changes)

    def plant(self, **tables: Any) -> dict[str, list[str]]:
        """Plant a seed and return its uids."""
        return self._ask("POST", "/seed", json=tables)

    def order(self, fault: str, **order: Any) -> None:
        """Order a fault."""
        self._ask("POST", "/faults", json={"fault": fault, **order})

    def requests(self, method: str | None = None, path: str = "") -> list[dict[str, Any]]:
        """Return the requests to paths that start so."""
        rows = self._ask("GET", "/requests")
        return [row for row in rows if method in (None, row["method"]) and row["path"].startswith(path)]

    def files(self) -> dict[str, dict[str, Any]]:
        """Return what managed uploads have stored."""
        return self._ask("GET", "/files")

    def stored(self, prefix: str) -> dict[str, str]:
        """Return the digests of what is in storage under a prefix, by path."""
        files = self.files()
        return {key.removeprefix(prefix): files[key]["sha256"] for key in files if key.startswith(prefix)}
