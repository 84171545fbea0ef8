"""The two servers in one thread of this process, on connections whose sockets the faults can reach."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_avala.emulator.app import build_api
from airflow_provider_avala.emulator.control import build_control
from airflow_provider_avala.emulator.delivery import TRANSPORT
from airflow_provider_avala.emulator.emulator import API_PREFIX, Emulator, Settings
from airflow_provider_avala.emulator.fleet_storage import fleet_routes
from airflow_provider_avala.emulator.gate import Gate
from airflow_provider_avala.emulator.storage import build_storage
from airflow_provider_avala.emulator.upload_storage import upload_routes

STARTUP = 10.0  # seconds
TICK = 0.1  # seconds between looks at what is due
GRACE = 0.5  # seconds that requests under way get when the emulator stops


class TransportProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with the connection's transport in the request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the application once per connection."""
        super().connection_made(transport)
        app: Any = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = transport
            await app(scope, receive, send)

        self.app = with_transport


class Server(uvicorn.Server):
    """A uvicorn server that stops the moment an event says so, instead of looking ten times a second."""

    def __init__(self, app: ASGIApp, stopping: asyncio.Event) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=TransportProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",  # the faults make uvicorn complain, as they should
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=60,
            )
        )
        self.stopping = stopping
        self.listening = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until told to stop; the tick keeps the Date header right."""
        self.listening.set()
        while not self.stopping.is_set():
            await self.on_tick(0)
            try:
                await asyncio.wait_for(self.stopping.wait(), 1.0)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let the requests under way finish, then cut what is left."""
        for server in self.servers:
            server.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        deadline = time.monotonic() + GRACE
        while (state.connections or state.tasks) and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        for connection in list(state.connections):
            connection.transport.abort()
        for task in state.tasks:
            task.cancel()


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free one.

    :raises OSError: when the address is in use or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off; without, each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def _url(host: str, listener: socket.socket) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


@contextmanager
def serving(
    settings: Settings, host: str = "127.0.0.1", port: int = 0, storage_port: int = 0
) -> Iterator[Emulator]:
    """Run both servers in a thread until the block ends.

    :raises OSError: when a port is in use.
    """
    emulator = Emulator(settings)
    api_socket = listen(host, port)
    try:
        storage_socket = listen(host, storage_port)
    except OSError:
        api_socket.close()
        raise
    emulator.base_url = _url(host, api_socket) + API_PREFIX
    emulator.storage_url = _url(host, storage_socket)
    started: Future[Callable[[], None]] = Future()

    def run() -> None:
        try:
            asyncio.run(_serve(emulator, api_socket, storage_socket, started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="avala-emulator", daemon=True)
    thread.start()
    stop = started.result(STARTUP)
    try:
        yield emulator
    finally:
        stop()
        thread.join()
        emulator.events.outbox.wait(GRACE)


async def _tick(emulator: Emulator, stopping: asyncio.Event) -> None:
    """Let happen what is due, also while nobody asks for anything."""
    while not stopping.is_set():
        emulator.timeline.run()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), TICK)


async def _serve(
    emulator: Emulator,
    api_socket: socket.socket,
    storage_socket: socket.socket,
    started: Future[Callable[[], None]],
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    taking = [*upload_routes(emulator.manual_uploads, emulator.signer), *fleet_routes(emulator)]
    storage = build_storage(emulator.export_service, emulator.signer, emulator.storage_options, taking)
    api_gate = Gate(emulator, "api", build_api(emulator), stopping, build_control(emulator))
    storage_gate = Gate(emulator, "storage", storage, stopping)
    async with asyncio.TaskGroup() as tasks:
        for gate, listener in ((api_gate, api_socket), (storage_gate, storage_socket)):
            server = Server(gate, stopping)
            tasks.create_task(server.serve([listener]))
            await server.listening.wait()
        tasks.create_task(_tick(emulator, stopping))

        def stop() -> None:
            loop.call_soon_threadsafe(stopping.set)

        started.set_result(stop)
