"""What applies unless the caller says otherwise, where DAG files need to know it before anything is sent."""

from __future__ import annotations

#: Bytes of JSONL in one request.
DEFAULT_PART_SIZE = 32 * 1024 * 1024
