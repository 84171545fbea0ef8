"""What to do about an error answer, in the words of the API's errors page (``/docs/api/errors``)."""

from __future__ import annotations

import math
from http import HTTPStatus


def remedy(status_code: int, code: str | None, retry_after: float | None = None) -> str:
    """What to do about an error, following the API's error recovery decision tree.

    :param status_code: HTTP status of the answer.
    :param code: the API's machine-readable code, if any.
    :param retry_after: seconds that the server asked to wait.
    """
    if code in _REMEDIES_BY_CODE:
        return _REMEDIES_BY_CODE[code]
    if status_code == HTTPStatus.TOO_MANY_REQUESTS and retry_after is not None:
        return f"Wait {math.ceil(retry_after)} s, then retry."
    if status_code >= 500:
        return "The fault is on Avala's side: retry later; if it persists, write to support@avala.ai."
    return _REMEDIES.get(status_code, "")


_REMEDIES_BY_CODE = {
    "plan_insufficient": "Upgrade the organization's plan: this feature is not part of it.",
    "scope_required": (
        "Create a key with the scope named above (Mission Control > Settings > Security)"
        " and put it into the Airflow connection."
    ),
}

_REMEDIES = {
    400: "Fix the request body, or check the state of the resource.",
    401: "The key is missing, invalid, expired or revoked: rotate it and update the Airflow connection.",
    403: "Check that the resource belongs to the key's organization and that its owner has the permission.",
    404: "Check the id and that the key's owner can see the resource.",
    405: "Check the endpoint: it does not support this method.",
    409: "Change the conflicting value, or use the resource that exists already.",
    413: "Send smaller parts, or free storage.",
    422: "Fix the request body.",
    429: "Wait until the rate limit window resets, then retry.",
}
