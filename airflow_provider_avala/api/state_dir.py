"""The directory of the small files that the processes of one host share: rate limits and slots.

By default it is one directory for each user, below the system's directory for temporary files. A configured directory
(``[avala] state_dir``) lets all services of a host agree on one where their temporary directories differ (systemd's
``PrivateTmp``, containers that share a volume), and, if it is group-writable, lets several users share a key's limits.
It must be on a local file system: locks over a network are slow at best.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from functools import cache
from pathlib import Path

from airflow_provider_avala.api.errors import AvalaConfigurationError

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class StateDir:
    """Opens state files, and makes sure that nobody else has put them there.

    :param configured: an absolute path, or empty for the default.
    :raises AvalaConfigurationError: if the path is not absolute.
    """

    def __init__(self, configured: str = "") -> None:
        if configured and not configured.startswith("/"):
            raise AvalaConfigurationError(
                f"state_dir: {configured!r} is not an absolute path; processes with different working directories"
                " would not share it"
            )
        self.path = Path(configured) if configured else default_directory()
        self._is_default = not configured
        self._mode = 0

    def open(self, name: str) -> int:
        """Open a state file for reading and writing, made if need be, and return its descriptor.

        :param name: file name, see :func:`file_name`.
        :raises OSError: if the directory cannot be used, or not safely.
        """
        path = f"{self.path}/{name}"
        try:
            descriptor = os.open(path, _FLAGS, self._mode or self._check())
        except FileNotFoundError:  # somebody has tidied up
            descriptor = os.open(path, _FLAGS, self._check())
        if self._mode & stat.S_IRGRP:
            self._open_to_group(descriptor)
        return descriptor

    def folder(self, name: str) -> Path:
        """A folder in the directory, made if need be.

        :param name: its name.
        :raises OSError: if the directory cannot be used, or not safely.
        """
        self._check()
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _open_to_group(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        if (
            found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) != self._mode
        ):  # the umask took it away
            os.fchmod(descriptor, self._mode)

    def _check(self) -> int:
        """Make the directory, or check it, and return the mode of the files in it."""
        self.path.mkdir(mode=0o700, parents=not self._is_default, exist_ok=True)
        found = self.path.lstat() if self._is_default else self.path.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(f"{self.path} is not a directory")
        if self._is_default and found.st_uid != os.getuid():
            raise PermissionError(f"{self.path} belongs to another user")
        if self._is_default and found.st_mode & 0o077:
            self.path.chmod(0o700)
        elif found.st_mode & stat.S_IWOTH:
            raise PermissionError(f"{self.path} can be written by every user; chmod o-w it")
        self._mode = 0o660 if found.st_mode & stat.S_IWGRP and not self._is_default else 0o600
        return self._mode


def default_directory() -> Path:
    """The directory of this user's state files, unless another one is configured."""
    return Path(tempfile.gettempdir()) / f"airflow-provider-avala-{os.getuid()}"


def file_name(kind: str, *parts: object) -> str:
    """A file name that says nothing about what it stands for.

    :param kind: the ending of the name.
    :param parts: what makes the file different from others of its kind.
    """
    return f"{digest(*parts)}.{kind}"


def digest(*parts: object) -> str:
    """A short digest of some values, the same in every process.

    :param parts: values whose text tells them apart.
    """
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


@cache
def boot_id() -> str:
    """What distinguishes this start of the machine from others, as its monotonic clock begins anew with each.

    Empty where the system does not tell.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
