"""Assets at Avala: what a DAG makes there, or is scheduled on.

========================================  =====================================================
``avala://datasets/<id>``                 a dataset
``avala://datasets/<id>@<sha256>``        one version of a dataset, as Avala's resolver writes it
``avala://projects/<id>``                 a project
``avala://slices/<id>``                   a slice
``avala://<any of these>/<id>/exports``    the exports made of it, each time another one
``avala://exports/<id>``                  one export
========================================  =====================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.common.compat.sdk import Asset

SCHEME = "avala"

_KINDS = ("datasets", "projects", "slices", "exports")
_ID = r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})+"
_PATH = rf"/(?P<id>{_ID})(?P<version>@[0-9A-Fa-f]{{64}})?(?P<exports>/exports)?"
_EXAMPLE = "for example avala://datasets/<id> or avala://projects/<id>/exports"


def create_asset(
    *,
    dataset_id: str | None = None,
    project_id: str | None = None,
    slice_id: str | None = None,
    export_id: str | None = None,
    exports: bool = False,
    extra: dict[str, Any] | None = None,
) -> Asset:
    """Make an asset, which Airflow 2 calls a dataset; exactly one id is to be given.

    :param dataset_id: a dataset.
    :param project_id: a project.
    :param slice_id: a slice.
    :param export_id: an export.
    :param exports: whether the exports of what is named are meant, not itself.
    :param extra: what the asset carries along.
    :raises ValueError: if not exactly one id is given, or it cannot be one.
    """
    from airflow.providers.common.compat.sdk import Asset

    ids = {"datasets": dataset_id, "projects": project_id, "slices": slice_id, "exports": export_id}
    given = [(kind, identity) for kind, identity in ids.items() if identity is not None]
    if len(given) != 1:
        raise ValueError("give exactly one of dataset_id, project_id, slice_id and export_id")
    return Asset(uri=uri_of(*given[0], exports=exports), extra=extra)


def uri_of(kind: str, identity: str, *, exports: bool = False) -> str:
    """The URI of something at Avala.

    :param kind: ``datasets``, ``projects``, ``slices`` or ``exports``.
    :param identity: its id.
    :param exports: whether the exports of it are meant.
    :raises ValueError: if this makes no URI.
    """
    uri = f"{SCHEME}://{kind}/{quote(str(identity), safe='')}{'/exports' if exports else ''}"
    return sanitize_uri(urlsplit(uri)).geturl()


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check and normalize a URI; Airflow calls this for each asset ``avala://``.

    :param uri: the URI, in parts.
    :raises ValueError: saying what is wrong with it.
    """
    kind = uri.netloc.lower()
    if kind not in _KINDS:
        raise ValueError(f"asset {uri.geturl()!r}: {uri.netloc!r} is none of {', '.join(_KINDS)}; {_EXAMPLE}")
    if uri.query or uri.fragment:
        raise ValueError(
            f"asset avala://{kind}{uri.path}: must have neither a query nor a fragment; {_EXAMPLE}"
        )
    found = re.fullmatch(_PATH, uri.path.rstrip("/"))
    if not found:
        raise ValueError(f"asset {uri.geturl()!r}: {uri.path!r} is not one id; {_EXAMPLE}")
    version = found["version"] or ""
    if version and kind != "datasets":
        raise ValueError(f"asset {uri.geturl()!r}: only datasets have versions; {_EXAMPLE}")
    if found["exports"] and kind == "exports":
        raise ValueError(f"asset {uri.geturl()!r}: an export has no exports; {_EXAMPLE}")
    path = f"/{found['id']}{version.lower()}{found['exports'] or ''}"
    return SplitResult(SCHEME, kind, path, "", "")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:
    """The asset as OpenLineage names it: kind and id, together the URI again.

    :param asset: an asset ``avala://``.
    :param lineage_context: the hook that met it; not used.
    """
    from airflow_provider_avala.lineage import openlineage_dataset

    return openlineage_dataset(asset.uri)
