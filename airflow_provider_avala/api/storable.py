"""Decoded JSON as every database takes it: JSON of its own is stricter than what servers send and Python reads."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

#: Deeper than this, nobody has nested anything on purpose, and what walks through it runs out of stack.
DEEPEST = 100
_TOO_DEEP = "(nested too deeply to be kept)"
# NUL, and halves of characters, which have no encoding.
_UNSTORABLE = "[\x00\ud800-\udfff]"


def storable(value: Any, depth: int = 0) -> Any:
    """Copy decoded JSON without what PostgreSQL's JSON, and the like, refuse.

    In place of characters that cannot be stored stands U+FFFD, in place of NaN and infinity null, and in place of what
    is nested deeper than :data:`DEEPEST` a text that says so.

    :param value: decoded JSON.
    :param depth: how deep it is nested already.
    """
    if isinstance(value, str):
        return re.sub(_UNSTORABLE, "\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, Mapping | list):
        return value
    if depth >= DEEPEST:
        return _TOO_DEEP
    if isinstance(value, list):
        return [storable(item, depth + 1) for item in value]
    return {storable(str(key)): storable(item, depth + 1) for key, item in value.items()}
