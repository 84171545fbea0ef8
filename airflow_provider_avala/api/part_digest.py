"""A digest of a part's content, bound to the upload and to the part's position in it.

It goes into the part's ``Idempotency-Key`` and into the journal, so every byte passes through it before the part is
sent, and of a file that was written just now once more while it is sent. AES-GMAC costs a fifth of SHA-256 here, and a
quarter of CRC-32, at 128 bits; ``cryptography`` comes with every Airflow. It tells different contents apart, and guards
against no attacker: whoever writes the rows can write any.
"""

from __future__ import annotations

import hashlib

_KEY_BYTES, _NONCE_BYTES = 16, 12


class PartDigest:
    """Digests the bytes of one part.

    :param scope: what sets the upload apart from others.
    :param number: the part's position in the upload, from 1.
    """

    def __init__(self, scope: str, number: int) -> None:
        # Only here: this module is read with the DAG files.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        key = hashlib.sha256(scope.encode()).digest()[:_KEY_BYTES]
        nonce = number.to_bytes(_NONCE_BYTES, "big")
        self._cipher = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()

    def update(self, data: bytes) -> None:
        """Take the next bytes.

        :param data: any number of them.
        """
        self._cipher.authenticate_additional_data(data)

    def hexdigest(self) -> str:
        """The digest of all bytes, in 32 hexadecimal digits; can be asked for once."""
        self._cipher.finalize()
        return self._cipher.tag.hex()
