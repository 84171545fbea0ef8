"""The unfinished file beside a download's target, and a note of which content it is the beginning of."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from airflow_provider_avala.api.checksums import is_digest
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaDownloadError
from airflow_provider_avala.api.ranges import checked_etag

# Its name can be foretold: a link there that somebody else has laid would have us write wherever it points.
_HOW_TO_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class PartFile:
    """``<target>.<digest of the export>.part``, locked as long as it is open.

    The strong ETag of what it holds stands beside it, so that a task that was killed can be resumed by the
    next one. Without such a note nothing is resumed.

    :param target: where the finished file will be.
    :param export_id: what is downloaded; another export to the same target has a part file of its own.
    :param to_folder: whether the target is a folder, to be filled with what is in the file.
    """

    def __init__(self, target: Path, export_id: str = "", *, to_folder: bool = False) -> None:
        digest = hashlib.sha256(export_id.encode()).hexdigest()[:8]
        self.target = target
        self._to_folder = to_folder
        self.path = target.with_name(f"{target.name}.{digest}.part")
        self._note = self.path.with_name(f"{self.path.name}.json")
        self._descriptor = -1
        self.etag: str | None = None
        self.total: int | None = None
        self.checksums: dict[str, str] = {}

    def __enter__(self) -> PartFile:
        if self._to_folder and self.target.is_file():
            raise AvalaConfigurationError(f"path: {self.target} is a file; name the folder to unpack to")
        if not self._to_folder and self.target.is_dir():
            raise AvalaConfigurationError(f"path: {self.target} is a directory; name a file in it")
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._lock()
        except OSError as error:
            raise AvalaDownloadError(
                f"cannot write {error.filename or self.path}: {error.strerror}; check the path and its permissions"
            ) from error
        self._read_note()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.size == 0:
            self.discard()
        os.close(self._descriptor)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return os.fstat(self._descriptor).st_size

    @property
    def resumable(self) -> bool:
        """Whether a server can be asked for the rest."""
        return self.etag is not None and self.size > 0

    def restart(
        self, etag: str | None = None, total: int | None = None, checksums: Mapping[str, str] | None = None
    ) -> None:
        """Empty the file.

        :param etag: strong ETag of the content that will be written; without one it cannot be resumed.
        :param total: length of that content in bytes, if known.
        :param checksums: its announced digests, in hexadecimal digits by algorithm.
        :raises AvalaDownloadError: if the disk does not allow it.
        """
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            self.etag, self.total, self.checksums = etag, total, dict(checksums or {})
            self._note.unlink(missing_ok=True)  # what is written through a link would not be ours
            if etag is not None:
                note = {"etag": etag, "total": total, "checksums": self.checksums}
                self._note.write_text(json.dumps(note))
        except OSError as error:
            raise self.unwritable(error) from error

    def append(self, chunk: bytes) -> None:
        """Write bytes at the end.

        :param chunk: the bytes.
        :raises AvalaDownloadError: if the disk does not take them; what was written before is kept.
        """
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise self.unwritable(error) from error

    def publish(self) -> None:
        """Make the finished file durable and give it its name, in place of what may be there."""
        try:
            os.fsync(self._descriptor)
            self.path.replace(self.target)
        except OSError as error:
            raise self.unwritable(error) from error
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete the file and the note."""
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def unwritable(self, error: OSError) -> AvalaDownloadError:
        """The error that tells of a disk that did not take what was to be written; what there is of the file is kept.

        :param error: what the operating system said.
        """
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        free = shutil.disk_usage(self.path.parent).free
        written, missing = f"{self.size}", ""
        if self.total is not None:
            written += f" of {self.total}"
            missing = f"{self.total - self.size} more bytes are needed, " if self.total > self.size else ""
        return AvalaDownloadError(
            f"cannot write {error.filename or self.path}: {error.strerror}; {missing}{free} bytes are free there."
            f" {written} bytes were written to {self.path} and are kept"
            + ("; free space, then run the task again." if full else ".")
        )

    def _lock(self) -> None:
        while True:
            self._descriptor = os.open(self.path, _HOW_TO_OPEN, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._descriptor)
                raise AvalaDownloadError(
                    f"another process is downloading to {self.path} right now; let it finish, or stop it"
                ) from None
            except OSError:
                break  # some network file systems have no locks
            if self._is_current():
                break
            os.close(self._descriptor)
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def _is_current(self) -> bool:
        """Whether the locked file still has its name, or whoever had the lock before published it."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _read_note(self) -> None:
        try:
            note = json.loads(self._note.read_text())
            etag, total, checksums = note["etag"], note["total"], dict(note.get("checksums", {}))
            sound = checked_etag(etag) and (total is None or (type(total) is int and total >= 0))
            sound = sound and all(is_digest(*pair) for pair in checksums.items())
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return  # what is not ours to the last sign is no ground to resume on
        if sound:
            self.etag, self.total, self.checksums = etag, total, checksums
        if self.total and self.size == self.total:
            # Complete, but its task ended before it was verified. No server can be asked for nothing, so ask for
            # the last byte again.
            os.ftruncate(self._descriptor, self.total - 1)
            os.lseek(self._descriptor, 0, os.SEEK_END)
