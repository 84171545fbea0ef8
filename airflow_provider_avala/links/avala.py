"""The button "Avala" on a task: to the dataset's page where that is known, else to the web app."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_avala.api.models import Resource
    from airflow_provider_avala.hooks.avala import AvalaHook

log = logging.getLogger(__name__)


class AvalaLink(BaseOperatorLink):
    """Leads to what a task works on at Avala.

    The address is an XCom that the task pushes as soon as it knows it, so the button is there while the task waits.
    """

    name = "Avala"
    xcom_key = "_link_AvalaLink"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address that the task has pushed, or empty; no connection is read and nothing is called.

        :param operator: the task; not used.
        :param ti_key: which run of it.
        """
        from airflow.providers.common.compat.sdk import XCom

        try:
            url = XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        except Exception:  # one link that raises would hide all others
            log.debug("The link to Avala cannot be read.", exc_info=True)
            return ""
        return url if isinstance(url, str) and url.startswith(("https://", "http://")) else ""


class LinksToAvala:
    """What gives an operator or a sensor the button; to be named before Airflow's base class."""

    operator_extra_links: ClassVar[Collection[BaseOperatorLink]] = (AvalaLink(),)

    if TYPE_CHECKING:

        @property
        def hook(self) -> AvalaHook: ...  # noqa: D102

    def pre_execute(self, context: Context) -> None:
        """Push the address of the web app, before anything else is done.

        :param context: Airflow's context.
        """
        super().pre_execute(context)  # type: ignore[misc]
        self.link_to(context)

    def link_to(self, context: Context, resource: Resource | None = None) -> None:
        """Push the address that the button leads to; a task never fails for it.

        :param context: Airflow's context.
        :param resource: what the task works on, as last read.
        """
        try:
            context["ti"].xcom_push(
                key=AvalaLink.xcom_key, value=page_of(self.hook.settings.web_url, resource)
            )
        except Exception:
            log.debug("The link to Avala cannot be pushed.", exc_info=True)


def page_of(web_url: str, resource: Resource | None = None) -> str:
    """The page of a resource's dataset in the web app, or else the web app's own.

    :param web_url: address of the web app, as in the connection.
    :param resource: a dataset, or an export whose single dataset is told in full.
    :raises ValueError: if the address is not an http or https URL.
    """
    parts = urlsplit(web_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("web_url: not an http or https URL")
    home = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    owner, slug = _owner_and_slug(resource.raw) if resource else ("", "")
    return f"{home}/@{_segment(owner)}/datasets/{_segment(slug)}" if owner and slug else home


def _owner_and_slug(raw: Mapping[str, Any]) -> tuple[str, str]:
    datasets = raw.get("datasets")
    told = raw.get("dataset") or (datasets[0] if isinstance(datasets, list) and len(datasets) == 1 else raw)
    if not isinstance(told, Mapping):
        return "", ""
    owner, slug = told.get("owner_name"), told.get("slug")
    return (owner, slug) if isinstance(owner, str) and isinstance(slug, str) else ("", "")


def _segment(text: str) -> str:
    """One segment of a path, whatever it holds; a browser would take dots for a step up."""
    return quote(text, safe="").replace(".", "%2E") if set(text) == {"."} else quote(text, safe="")
