"""Managed uploads as the API keeps them: targets handed out, sessions, quota, and the files that arrived."""

from __future__ import annotations

import mimetypes
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_avala.emulator.datasets import SLUG, Datasets
from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.resources_accounts import ORGANIZATIONS
from airflow_provider_avala.emulator.resources_data import DATASETS
from airflow_provider_avala.emulator.schema import Field, Record, Shape
from airflow_provider_avala.emulator.seeds import SEED_OWNER, SEED_USER_ID
from airflow_provider_avala.emulator.store import Store

MODES = ("put", "post", "multipart", "complete")
RESERVED_SECONDS = 24 * 3600  # how long a target that nobody used counts against the quota
MOST_PARTS = 10_000
PART_SIZES = (5 * 1024**2, 128 * 1024**2)

# What becomes an item, by data type; other files are kept and stay invisible.
SUFFIXES = {
    "image": (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    "video": (".mp4", ".webm", ".mkv", ".mov", ".episode"),
    "lidar": (".alp", ".alp.gz"),
    "mcap": (".mcap",),
    "splat": (".ply", ".splat", ".sog", ".spz", ".ksplat"),
}
SUFFIXES["image_3d"] = SUFFIXES["image"] + SUFFIXES["lidar"]
ALLOWED_MIMES = {
    "mime_types": ["image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "image/tiff"],
    "video_prefix": "video/",
}

TARGET = Shape(
    "upload_request",
    {
        "dataset_name": Field(required=True, max_length=255),
        "file_path_in_dataset": Field(required=True, max_length=1024),
        "content_length": Field(int, minimum=0),
        "organization_uid": Field(),
        "upload_protocol_version": Field(int),
        "dataset_upload_uid": Field(),
    },
)
TAKEN = ("name", "slug", "data_type", "visibility", "metadata", "owner_name", "industry", "license")
FINALIZE = Shape(
    "upload_finalization",
    {
        **{name: DATASETS.fields[name] for name in TAKEN},
        "create_metadata": Field(bool, default=True),
        "organization_uid": Field(),
        "dataset_upload_uid": Field(),
    },
)


@dataclass
class UploadOptions:
    """What a test may turn while the emulator runs.

    :param mode: how targets are handed out: ``put``, ``post`` (forms), ``multipart`` or ``complete`` (as if the bytes
        were there already). A client that does not speak version 2 of the protocol gets forms in every mode.
    :param quota: bytes that one owner may store.
    :param part_size: bytes per part of a multipart session.
    """

    mode: str = "put"
    quota: int = 100 * 1024**3
    part_size: int = PART_SIZES[0]

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"upload_mode={self.mode!r}: say one of {', '.join(MODES)}")
        if not PART_SIZES[0] <= self.part_size <= PART_SIZES[1]:
            raise ValueError(f"part_size={self.part_size}: between {PART_SIZES[0]} and {PART_SIZES[1]}")


@dataclass(frozen=True)
class StoredFile:
    """One file in storage.

    :param content: its bytes; empty when it was only said to be there (mode ``complete``).
    :param size: its length in bytes, as declared.
    :param content_type: as it was sent.
    """

    content: bytes
    size: int
    content_type: str


@dataclass
class Session:
    """One file on its way under version 2 of the protocol; it outlives the client that began it.

    :param key: where the file goes in storage.
    :param size: bytes announced.
    :param content_type: what the file will be served as.
    :param part_size: bytes per part, 0 when the file goes up in one piece.
    :ivar parts: the parts that arrived.
    :ivar stored: whether the bytes are all there.
    :ivar complete: whether the client has confirmed it.
    """

    key: str
    size: int
    content_type: str
    part_size: int = 0
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    parts: dict[int, bytes] = field(default_factory=dict)
    stored: bool = False
    complete: bool = False

    @property
    def part_count(self) -> int:
        """How many parts the file has."""
        return -(-self.size // self.part_size) if self.part_size else 0

    def length_of(self, number: int) -> int:
        """Return how many bytes part ``number`` (from 1) has."""
        return min(self.part_size, self.size - (number - 1) * self.part_size)


class ManualUploads:
    """Hand out targets, take what arrives at them, and make datasets of it.

    :param store: the tables, whose lock guards everything here too.
    :param datasets: where finished uploads become datasets.
    :param options: see :class:`UploadOptions`.
    :ivar files: what is in storage, by key: ``__u__=/<user uid>/<dataset name>/<path>``, of an organization
        ``__o__=/<organization uid>/...``.
    """

    def __init__(self, store: Store, datasets: Datasets, options: UploadOptions) -> None:
        self.store = store
        self.datasets = datasets
        self.options = options
        self.clear()

    def clear(self) -> None:
        """Forget all files and sessions."""
        self.files: dict[str, StoredFile] = {}
        self.sessions: dict[str, Session] = {}
        self._by_file: dict[tuple[str, str], Session] = {}
        self._reserved: dict[str, tuple[int, float]] = {}

    # -- quota

    def root(self, organization: str | None) -> str:
        """Return the prefix of an owner's files.

        :raises ApiError: 403 for an organization that is not the key's.
        """
        if organization is None:
            return f"__u__=/{SEED_USER_ID}"
        if not self.store.known(ORGANIZATIONS, organization):
            raise ApiError(403)
        return f"__o__=/{organization}"

    def quota(self, organization: str | None, without: str = "") -> dict[str, int]:
        """Return ``used`` and ``limit`` of an owner in bytes; open targets count, the key ``without`` does not."""
        prefix = self.root(organization) + "/"
        with self.store.lock:
            fresh = self.store.now() - RESERVED_SECONDS
            sizes = {key: size for key, (size, at) in self._reserved.items() if at > fresh}
            for key, file in self.files.items():
                sizes[key] = max(file.size, sizes.get(key, 0))
        used = sum(size for key, size in sizes.items() if key.startswith(prefix) and key != without)
        return {"used": used, "limit": self.options.quota}

    # -- targets

    def begin(self, wanted: Record) -> tuple[str, int | None, Session | None]:
        """Check a request for a target and reserve its space.

        :param wanted: the body, checked by :data:`TARGET`.
        :return: the key in storage, the announced length, and the session when the client speaks version 2.
        :raises ApiError: 400 for a bad body, 403 for a foreign organization, 413 when it would not fit.
        """
        batch = read_batch(wanted)
        size: int | None = wanted["content_length"]
        check_path(wanted["file_path_in_dataset"])
        if "/" in wanted["dataset_name"]:
            raise ApiError.invalid(dataset_name="A dataset's name has no '/'.")
        root = self.root(wanted["organization_uid"])
        key = f"{root}/{wanted['dataset_name']}/{wanted['file_path_in_dataset']}"
        with self.store.lock:
            quota = self.quota(wanted["organization_uid"], without=key)
            if quota["used"] + (size or 0) > quota["limit"]:
                raise ApiError(413, "Storage quota exceeded.", extra=quota)
            self._reserved[key] = (size or 0, self.store.now())
            if batch is None or self.options.mode == "post":
                return key, size, None
            return key, size, self._session(batch, key, size or 0)

    def _session(self, batch: str, key: str, size: int) -> Session:
        session = self._by_file.get((batch, key))
        if session is None or session.size != size:
            part_size = self.options.part_size if self.options.mode == "multipart" and size else 0
            session = Session(key, size, content_type_of(key), part_size)
            self.sessions[session.uid] = self._by_file[batch, key] = session
            if self.options.mode == "complete":
                self.keep(key, StoredFile(b"", size, session.content_type))
                session.stored = session.complete = True
        return session

    def session(self, uid: str) -> Session:
        """Return a session.

        :raises ApiError: 404 when there is none.
        """
        with self.store.lock:
            if uid not in self.sessions:
                raise ApiError.missing("Upload")
            return self.sessions[uid]

    def part_numbers(self, session: Session, body: Any) -> list[int]:
        """Read which parts of a session targets are wanted for.

        :raises ApiError: 400 for numbers it does not have.
        """
        numbers = body.get("part_numbers") if isinstance(body, dict) else None
        if not isinstance(numbers, list) or not numbers:
            raise ApiError.invalid(part_numbers="This field must be a list that is not empty.")
        if not all(type(number) is int and 1 <= number <= session.part_count for number in numbers):
            raise ApiError.invalid(
                part_numbers=f"Part numbers of this upload go from 1 to {session.part_count}."
            )
        return numbers

    # -- bytes

    def keep(self, key: str, file: StoredFile) -> None:
        """Store a file; it takes the place of its reservation."""
        with self.store.lock:
            self.files[key] = file
            self._reserved.pop(key, None)

    def put(self, session: Session, content: bytes) -> None:
        """Take the bytes of a session that goes up in one piece."""
        with self.store.lock:
            self.keep(session.key, StoredFile(content, len(content), session.content_type))
            session.stored = True

    def complete(self, uid: str) -> Session:
        """Confirm that everything was sent; may be repeated.

        :raises ApiError: 404 for an unknown session, 400 when bytes are missing.
        """
        with self.store.lock:
            session = self.session(uid)
            if not session.stored:
                missing = [n for n in range(1, session.part_count + 1) if n not in session.parts]
                if missing or not session.part_size:
                    what = f"Missing parts: {missing[:10]}." if missing else "The file has not been uploaded."
                    raise ApiError(400, what)
                self.put(session, b"".join(session.parts[n] for n in sorted(session.parts)))
                session.parts.clear()
            session.complete = True
            return session

    # -- datasets

    def finalize(self, wanted: Record) -> Record:
        """Make a dataset of everything under its name's prefix.

        :param wanted: the body, checked by :data:`FINALIZE`.
        :raises ApiError: 400 for a bad body or a name or slug that is taken, 403 for a foreign organization.
        """
        if not SLUG.fullmatch(wanted["slug"]):
            raise ApiError.invalid(slug="Enter a valid slug of lower-case letters, digits, '.', '_' and '-'.")
        read_uuid(wanted["dataset_upload_uid"])
        prefix = f"{self.root(wanted['organization_uid'])}/{wanted['name']}/"
        owner = wanted["owner_name"] or SEED_OWNER
        if wanted["organization_uid"] is not None:
            owner = self.store.find(ORGANIZATIONS, wanted["organization_uid"])["slug"]
        with self.store.lock:
            for name in ("name", "slug"):
                if self.store.first(DATASETS, owner_name=owner, **{name: wanted[name]}):
                    raise ApiError.invalid(**{name: f"A dataset with this {name} already exists."})
            kept = {name: wanted[name] for name in TAKEN}
            paths = indexed(wanted["data_type"], self.files, prefix)
            return self.datasets.index({**kept, "is_sequence": False, "owner_name": owner}, paths)


def read_batch(wanted: Record) -> str | None:
    """Return the batch of a version 2 request, None for the older form.

    :raises ApiError: 400 for another version or a batch that is no UUID.
    """
    if wanted["upload_protocol_version"] is None:
        return None
    if wanted["upload_protocol_version"] != 2:
        raise ApiError.invalid(upload_protocol_version="Only version 2 is supported.")
    if wanted["dataset_upload_uid"] is None:
        raise ApiError.invalid(dataset_upload_uid="This field is required.")
    return read_uuid(wanted["dataset_upload_uid"])


def read_uuid(text: str | None) -> str | None:
    """Return the UUID of a batch in its usual writing.

    :raises ApiError: 400 when it is none.
    """
    try:
        return None if text is None else str(uuid.UUID(text))
    except ValueError:
        raise ApiError.invalid(dataset_upload_uid="Must be a valid UUID.") from None


def check_path(path: str, field: str = "file_path_in_dataset") -> None:
    """Check that a path is relative, stays inside, and can be a part of a URL.

    :param field: which holds it.
    :raises ApiError: 400.
    """
    odd = "\\" in path or "\x00" in path or any("\ud800" <= letter <= "\udfff" for letter in path)
    if odd or any(step in ("", ".", "..") for step in path.split("/")):
        raise ApiError.invalid(**{field: "Must be a relative POSIX path without '.', '..' or '\\'."})


def content_type_of(key: str) -> str:
    """Guess what a file will be served as."""
    return mimetypes.guess_type(key)[0] or "application/octet-stream"


def indexed(data_type: str, keys: Iterable[str], prefix: str) -> list[str]:
    """Return the paths under a prefix that become items, in order."""
    return sorted(
        key.removeprefix(prefix)
        for key in keys
        if key.startswith(prefix) and key.lower().endswith(SUFFIXES[data_type])
    )


def target(session: Session, url: str) -> Json:
    """Show a session to the client that asked for it.

    :param session: the session.
    :param url: where its bytes go, if it goes up in one piece.
    """
    shown: Json = {"method": "MULTIPART" if session.part_size else "PUT", "upload_uid": session.uid}
    if session.complete or session.stored:
        return {**shown, "complete": True}
    if session.part_size:
        parts = [{"part_number": n, "size": len(session.parts[n])} for n in sorted(session.parts)]
        counts = {"part_size": session.part_size, "part_count": session.part_count}
        return {**shown, **counts, "uploaded_parts": parts}
    return {**shown, "url": url, "headers": {"Content-Type": session.content_type, "If-None-Match": "*"}}
