"""Reading the bodies of requests as a server gets them."""

from airflow_provider_avala.api.file_slice import FileSlice


def joined(chunks):
    """All bytes of some chunks of a body."""
    return b"".join(b"".join(chunk) if isinstance(chunk, FileSlice) else chunk for chunk in chunks)
