"""Bulk data, in and out, beside what a user would pick instead: ``python -m benchmarks.bulk``."""

from __future__ import annotations

from benchmarks import bulk_download, bulk_upload

if __name__ == "__main__":
    bulk_upload.main()
    bulk_download.main()
