"""A control surface over HTTP, for an emulator in another process: loopback only, neither logged nor limited."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_avala.emulator.emulator import API_PREFIX, Emulator
from airflow_provider_avala.emulator.faults import CONSTRUCTORS
from airflow_provider_avala.emulator.manual_uploads import StoredFile
from airflow_provider_avala.emulator.openapi import describe
from airflow_provider_avala.emulator.recorder import KEY_HEADER, RequestRecord
from airflow_provider_avala.emulator.scenarios import find_scenario, play
from airflow_provider_avala.emulator.seedfiles import read_seed
from airflow_provider_avala.emulator.seeding import plant
from airflow_provider_avala.emulator.tuning import tune

ORDER_KEYS = ("method", "times", "origin", "skip", "every")


def record_view(record: RequestRecord) -> dict[str, Any]:
    """Show a record as JSON; the key stays inside."""
    shown = {name: value for name, value in vars(record).items() if name != "body"}
    shown["headers"] = {
        name: "***" if name == KEY_HEADER else value for name, value in record.headers.items()
    }
    shown["query"] = dict(record.query)
    return {**shown, "body": record.body.decode("utf-8", "replace"), "json": record.json}


def file_view(file: StoredFile) -> dict[str, Any]:
    """Show a file that a managed upload has stored, by what tells whether it arrived whole."""
    return {
        "size": file.size,
        "received": len(file.content),
        "sha256": hashlib.sha256(file.content).hexdigest(),
        "content_type": file.content_type,
    }


class LoopbackOnly:
    """Turn away whoever is not on this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a local request on."""
        host = scope["client"][0] if scope.get("client") else ""
        try:
            local = ipaddress.ip_address(host).is_loopback
        except ValueError:
            local = False
        app = self.app if local else JSONResponse({"detail": "Loopback only."}, 403)
        await app(scope, receive, send)


def build_control(emulator: Emulator) -> ASGIApp:
    """Build the application behind ``/__emulator__/``."""

    async def state(request: Request) -> Response:
        if request.method == "POST":
            problem = turn(emulator, await request.json())
            if problem:
                return JSONResponse({"detail": problem}, 400)
        return JSONResponse(
            {
                "dialect": emulator.dialect.name,
                "base_url": emulator.base_url,
                "storage_url": emulator.storage_url,
                "now": emulator.now(),
                "export_seconds": emulator.export_seconds,
                "projects": emulator.projects,
                "datasets": emulator.datasets,
                "exports": emulator.exports,
                "requests": len(emulator.requests),
            }
        )

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            emulator.clear_requests()
        return JSONResponse([record_view(record) for record in emulator.requests])

    async def faults(request: Request) -> Response:
        if request.method == "DELETE":
            emulator.clear_faults()
            return Response(status_code=204)
        try:
            order_fault(emulator, await request.json())
        except (TypeError, ValueError, KeyError, re.error) as error:
            return JSONResponse({"detail": f"{type(error).__name__}: {error}"}, 400)
        return JSONResponse({"ordered": True}, 201)

    async def seed(request: Request) -> Response:
        content = await request.json()
        try:
            if not isinstance(content, dict):
                raise ValueError('must map resources to lists, such as {"datasets": [...]}')
            uids = plant(emulator, read_seed(content))
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, 400)
        return JSONResponse(uids, 201)

    async def files(request: Request) -> Response:
        found = emulator.files
        return JSONResponse({key: file_view(found[key]) for key in sorted(found)})

    routes = [
        Route("/seed", seed, methods=["POST"]),
        Route("/files", files, methods=["GET"]),
        Route("/state", state, methods=["GET", "POST"]),
        Route("/requests", requests, methods=["GET", "DELETE"]),
        Route("/faults", faults, methods=["POST", "DELETE"]),
    ]

    async def openapi(request: Request) -> Response:
        return JSONResponse(describe(emulator))

    described = [
        Route(path, openapi, methods=["GET"]) for path in ("/openapi.json", f"{API_PREFIX}/openapi.json")
    ]
    control = Mount("/__emulator__", LoopbackOnly(Starlette(routes=routes)))
    return Starlette(routes=[*described, control])


def order_fault(emulator: Emulator, order: dict[str, Any]) -> None:
    """Order a fault: ``{"fault": "status", "args": {"code": 503}, "path": "/exports/", "times": 2}``.

    :param order: ``fault`` and its ``args``, then the parameters of :meth:`Emulator.inject`; ``path_regex``
        stands for a compiled ``path``.
    :raises KeyError: for an unknown fault.
    """
    fault = CONSTRUCTORS[order["fault"]](**order.get("args", {}))
    path = re.compile(order["path_regex"]) if "path_regex" in order else order.get("path")
    emulator.inject(fault, path=path, **{name: order[name] for name in ORDER_KEYS if name in order})


def turn(emulator: Emulator, changes: dict[str, Any]) -> str | None:
    """Apply what ``POST /__emulator__/state`` asks for; return what is wrong with it, and change nothing then.

    :param changes: ``advance`` (seconds), ``export_seconds``, ``fail_next_export`` (count), ``reset`` (true),
        ``scenario`` (its name), ``settings`` (see :func:`~.tuning.tune`).
    """
    unknown = set(changes) - {
        "advance",
        "fail_next_export",
        "reset",
        "scenario",
        "settings",
        "export_seconds",
    }
    if unknown:
        return f"unknown: {', '.join(sorted(unknown))}"
    try:
        advance, failing = float(changes.get("advance", 0)), int(changes.get("fail_next_export", 0))
        settings = dict(changes.get("settings", {}))
        if "export_seconds" in changes:
            settings["export_seconds"] = changes["export_seconds"]
        if "scenario" in changes:
            find_scenario(changes["scenario"])
        tune(emulator, settings)
    except (TypeError, ValueError) as error:
        return str(error)
    if changes.get("reset"):
        emulator.reset()
    if "scenario" in changes:
        play(emulator, changes["scenario"])
    emulator.fail_next_export(failing)
    emulator.advance(advance)
    return None
