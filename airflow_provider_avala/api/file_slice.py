"""Bytes of an open file that go out without passing through this process, where the connection allows it."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

#: At most so much is sent by one call of the kernel: in between, an upload can be stopped.
SLICE = 8 * 1024 * 1024
#: What may wait in a connection's buffer. Left to itself, the buffer grows to megabytes, which leave the processor's
#: caches before the other side takes them. This is for plain HTTP only: within a machine, or between neighbours.
_WAITING = 256 * 1024
#: At most so much is read by one call where it has to pass through this process.
_BLOCK = 256 * 1024
#: What a file system answers whose files the kernel cannot send by itself.
_UNABLE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class FileSlice:
    """Some bytes of an open file, one chunk of a request's body.

    To iterate over it reads it block by block: this is what ``http.client`` does with a chunk that a socket refuses
    to take, so it can be sent over TLS and through proxies, too. A file that has become too short gives fewer bytes.

    :param descriptor: the open file's; its position neither matters nor moves.
    :param offset: bytes before the slice.
    :param size: bytes in the slice.
    """

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor, self._offset, self._size = descriptor, offset, size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        offset, end = self._offset, self._offset + self._size
        while offset < end and (block := os.pread(self._descriptor, min(_BLOCK, end - offset), offset)):
            offset += len(block)
            yield block

    def send_to(self, connection: socket.socket) -> None:
        """Have the kernel send the slice.

        The pages of the file itself are queued, not copies: what is changed before the other side has them arrives
        changed.

        :param connection: a connected socket; its timeout holds for each wait for the other side.
        :raises TimeoutError: if the other side takes nothing for that long.
        :raises OSError: if the connection breaks.
        """
        timeout = connection.gettimeout()
        # The kernel keeps the time: to wait for each half-empty buffer here costs a turn at the GIL each.
        seconds, fraction = divmod(timeout or 0.0, 1)
        limit = struct.pack("@ll", int(seconds), int(fraction * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WAITING)
        connection.settimeout(None)
        sent = 0
        try:
            while sent < self._size:
                count = os.sendfile(
                    connection.fileno(), self._descriptor, self._offset + sent, self._size - sent
                )
                if not count:
                    break
                sent += count
        except BlockingIOError:
            raise TimeoutError("timed out") from None
        except OSError as error:
            if sent or error.errno not in _UNABLE:
                raise
            connection.settimeout(timeout)
            for block in self:
                connection.sendall(block)
        finally:
            connection.settimeout(timeout)


def file_slices(descriptor: int, offset: int, size: int) -> Iterator[FileSlice]:
    """Slices that are some bytes of an open file when put together.

    :param descriptor: the open file's.
    :param offset: bytes before them.
    :param size: how many.
    """
    for start in range(offset, offset + size, SLICE):
        yield FileSlice(descriptor, start, min(SLICE, offset + size - start))
