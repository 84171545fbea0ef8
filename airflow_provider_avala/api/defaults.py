"""What applies unless the caller says otherwise, where DAG files need to know it before anything is sent."""

from __future__ import annotations

#: Bytes of JSONL in one request, about half of what the API takes. What is cut short is sent anew as a whole.
DEFAULT_PART_SIZE = 48 * 1024 * 1024
