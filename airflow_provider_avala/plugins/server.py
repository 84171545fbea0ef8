"""Serves the page for whoever is on call, to those whom Airflow lets see connections."""

# Without "from __future__ import annotations": FastAPI reads the annotations of functions within functions.

from typing import Annotated, Any

from airflow_provider_avala.plugins.overview import Overviews, connection_ids
from airflow_provider_avala.plugins.page import SCRIPT_SOURCE, render

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {SCRIPT_SOURCE}; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def make_server() -> Any:
    """The ASGI application. Airflow's own dependency finds out who asks: 401 for nobody, 403 for who may not."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
    from airflow.api_fastapi.core_api.security import get_user, requires_access_connection
    from fastapi import Depends, FastAPI
    from fastapi.responses import HTMLResponse

    server = FastAPI(title="Avala", docs_url=None, redoc_url=None, openapi_url=None)
    overviews = Overviews()

    @server.get("/", dependencies=[Depends(requires_access_connection("GET"))])
    def page(user: Annotated[Any, Depends(get_user)]) -> HTMLResponse:
        """Everything that this user may see."""
        may_see = get_auth_manager().is_authorized_connection
        seen = [
            conn_id
            for conn_id in connection_ids()
            if may_see(method="GET", details=ConnectionDetails(conn_id=conn_id), user=user)
        ]
        return HTMLResponse(render(overviews.of(seen)), headers=HEADERS)

    return server
