"""What a failed program's output means to the person in front of it, in one sentence with the remedy."""

from __future__ import annotations

import re

DISK_IS_FULL = "The disk is full: free some space and run make again."

KNOWN = (
    (r"No space left on device|database or disk is full", DISK_IS_FULL),
    (
        r"[Aa]ddress already in use|Connection in use",
        "A port of 127.0.0.1 is taken by another program: run make again, or choose another port.",
    ),
    (
        r"failure in name resolution|NewConnectionError|ConnectTimeout|ProxyError|CERTIFICATE_VERIFY_FAILED",
        "The package index cannot be reached: check the network and pip's proxy and certificate settings.",
    ),
    (
        r"No matching distribution found for (\S+)",
        r"The package \1 is not to be had from the package index that pip uses here.",
    ),
    (
        r"No module named '([\w.]+)'",
        r"The Python package \1 is missing: run 'make clean', then make again.",
    ),
    (
        r"Permission denied|Read-only file system",
        "This folder cannot be written: give yourself the right to, or use another one.",
    ),
)


def explain(output: str) -> str:
    """The remedy for the first known trouble in a program's output, or nothing."""
    for pattern, remedy in KNOWN:
        found = re.search(pattern, output)
        if found:
            return found.expand(remedy)
    return ""


def last_error(output: str) -> str:
    """The most telling line of a failed program: its last error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["nothing"])[-1]
