"""What was made of what, for OpenLineage and for Airflow's own hook lineage.

Lineage is a by-product: nothing here ever raises, and no address keeps its query, in which signatures are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_avala.assets.avala import uri_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.openlineage.extractors import OperatorLineage

log = logging.getLogger(__name__)


def operator_lineage(inputs: Iterable[str], outputs: Iterable[str]) -> OperatorLineage[Any, Any] | None:
    """What OpenLineage is told about a task; None where its provider is not installed.

    :param inputs: URIs of what was read.
    :param outputs: URIs of what was made.
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage

        return OperatorLineage(
            inputs=[openlineage_dataset(uri) for uri in inputs],
            outputs=[openlineage_dataset(uri) for uri in outputs],
        )
    except Exception:
        log.debug("No lineage of this task.", exc_info=True)
        return None


def openlineage_dataset(uri: str) -> OpenLineageDataset:
    """A URI as OpenLineage names datasets: ``s3://bucket`` and ``key``, ``avala://datasets`` and the id.

    :param uri: an absolute URI.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Dataset(namespace="file", name=parts.path)
    return Dataset(namespace=f"{parts.scheme}://{parts.netloc}", name=parts.path.lstrip("/") or "/")


def collect(hook: Any, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Tell Airflow what a call of a hook has read and made.

    :param hook: the hook.
    :param inputs: URIs of what was read.
    :param outputs: URIs of what was made.
    """
    try:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        collector = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
        for uri in inputs:
            collector.add_input_asset(context=hook, uri=uri)
        for uri in outputs:
            collector.add_output_asset(context=hook, uri=uri)
    except Exception:
        log.debug("No hook lineage of this call.", exc_info=True)


def at_avala(**ids: Any) -> list[str]:
    """The URIs of things at Avala; what is no id is left out.

    :param ids: for each kind (``datasets``, ...) an id, or a list of such.
    """
    found = []
    for kind, given in ids.items():
        for identity in (
            [given] if isinstance(given, str) else given if isinstance(given, list | tuple) else ()
        ):
            try:
                found += [uri_of(kind, identity)] if isinstance(identity, str) else []
            except ValueError:
                log.debug("No URI of %s %r.", kind, identity)
    return found


def of_export(project_id: Any, dataset_id: Any, slice_id: Any, payload: Any = None) -> list[str]:
    """The URIs of what an export is made from.

    :param project_id: a project, or a list of them.
    :param dataset_id: a dataset, or a list of them.
    :param slice_id: a slice, or a list of them.
    :param payload: a body that replaces these.
    """
    if not isinstance(payload, Mapping):
        return at_avala(projects=project_id, datasets=dataset_id, slices=slice_id)
    found = []
    for kind in ("project", "dataset", "slice"):
        for key in (f"{kind}s", kind, f"{kind}_id"):
            found += at_avala(**{f"{kind}s": payload.get(key)})
    return list(dict.fromkeys(found))


def files(places: Any) -> list[str]:
    """The URIs of files, without what may be secret in them; what is no file is left out.

    :param places: a local path or a URL, or a list of such.
    """
    found = []
    for place in places if isinstance(places, list | tuple) else [places]:
        text = str(place) if isinstance(place, str | PathLike) or hasattr(place, "protocol") else ""
        try:
            if "://" not in text:
                found += [Path(text).expanduser().absolute().as_uri()] if text else []
                continue
            parts = urlsplit(text)
            found.append(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
        except (ValueError, RuntimeError):
            log.debug("A source has no URI.")
    return found
