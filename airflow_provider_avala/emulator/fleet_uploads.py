"""Uploading a recording: a session of named files, each sent to a signed target, confirmed, and finalized."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.manual_uploads import check_path
from airflow_provider_avala.emulator.resources_accounts import STORAGE_CONFIGS
from airflow_provider_avala.emulator.resources_fleet import RECORDINGS
from airflow_provider_avala.emulator.schema import Field, Record, Shape
from airflow_provider_avala.emulator.seeds import SEED_ORGANIZATION_ID

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

NO_SESSION = "No upload session found for this recording."  # the SDK takes these very words for "none yet"
MOST_FILES = 50_000
MOST_PENDING = 1000  # paths that a status names
MOST_TARGETS = 100  # files a request

COUNTS = {
    name: Field(int, required=True)
    for name in ("total_files", "total_bytes", "confirmed_files", "confirmed_bytes")
}
SESSION = {"session_uid": Field(required=True)}
FILES = Field(list, required=True, of=dict)
FILE = Shape(
    "fleet_file", {"path": Field(required=True, max_length=1024), "size_bytes": Field(int, required=True, minimum=0)}
)  # fmt: skip
SENT = Shape("fleet_sent_file", {**FILE.fields, "etag": Field(required=True, max_length=128)})
BEGIN = Shape("fleet_upload_request", {"files": FILES, "storage_config_uid": Field()})
BEGUN = Shape(
    "fleet_upload",
    {
        "uid": Field(required=True),
        "s3_prefix": Field(required=True),
        "status": Field(required=True),
        **COUNTS,
    },
)
TARGETS = Shape(
    "fleet_upload_targets_request",
    {
        **SESSION,
        "file_paths": Field(list, required=True, of=str),
        "ttl_seconds": Field(int, default=3600, minimum=1, maximum=7 * 24 * 3600),
    },
)
TARGETS_SHOWN = Shape("fleet_upload_targets", {"urls": FILES})
CONFIRM = Shape("fleet_upload_confirmation", {**SESSION, "files": FILES})
CONFIRMED = Shape(
    "fleet_upload_confirmed", {**SESSION, "confirmed": Field(int), "total_confirmed": Field(int), **COUNTS}
)
FINALIZE = Shape("fleet_upload_finalization", SESSION)
FINALIZED = Shape("fleet_upload_finalized", {**SESSION, "detail": Field(required=True)})
STATUS = Shape(
    "fleet_upload_status",
    {
        **SESSION,
        "status": Field(required=True),
        **COUNTS,
        "pending_paths": Field(list, required=True, of=str),
    },
)


@dataclass
class Session:
    """What is sent for one recording.

    :param prefix: where its files go in storage.
    :param sizes: bytes announced, by path.
    :ivar confirmed: the paths that the client has confirmed.
    :ivar status: ``initiated``, ``uploading``, ``completing`` (finalized), then ``completed``.
    """

    prefix: str
    sizes: dict[str, int]
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    confirmed: set[str] = field(default_factory=set)
    status: str = "initiated"

    @property
    def pending(self) -> list[str]:
        """The paths that are not confirmed yet."""
        return sorted(self.sizes.keys() - self.confirmed)

    @property
    def counts(self) -> dict[str, int]:
        """How much there is, and how much of it is confirmed."""
        return {
            "total_files": len(self.sizes),
            "total_bytes": sum(self.sizes.values()),
            "confirmed_files": len(self.confirmed),
            "confirmed_bytes": sum(self.sizes[path] for path in self.confirmed),
        }


def etag_of(content: bytes) -> str:
    """Return what storage tells of the bytes it took, without its quotation marks."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def read_files(rows: list[Any], shape: Shape, most: int) -> dict[str, Record]:
    """Check a list of files, and return them by path.

    :raises ApiError: 400 for none, too many, a path that is not relative, or one that comes twice.
    """
    if not 1 <= len(rows) <= most:
        raise ApiError.invalid(files=f"Give 1 to {most} files.")
    files = {file["path"]: file for file in map(shape.validate, rows)}
    for path in files:
        check_path(path, "path")
    if len(files) < len(rows):
        raise ApiError.invalid(files="A path comes twice.")
    return files


class FleetUploads:
    """The handlers of one emulator. A recording keeps its session, and is forgotten together with it.

    :param emulator: whose recordings they are.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.store = emulator.store

    def endpoints(self) -> list[Endpoint]:
        """List the endpoints."""
        path = "/fleet/recordings/{uid}/upload"
        return [
            Endpoint("POST", f"{path}/init", self.begin, "Begin to upload", takes=BEGIN, gives=BEGUN, status=201),
            Endpoint("POST", f"{path}/urls", self.targets, "Ask where to send files", takes=TARGETS,
                     gives=TARGETS_SHOWN),
            Endpoint("POST", f"{path}/confirm", self.confirm, "Say what was sent", takes=CONFIRM, gives=CONFIRMED),
            Endpoint("POST", f"{path}/finalize", self.finalize, "Say that everything was sent", takes=FINALIZE,
                     gives=FINALIZED, status=202),
            Endpoint("GET", f"{path}/status", self.status, "Show the upload", gives=STATUS),
        ]  # fmt: skip

    def begin(self, call: Call) -> Json:
        """Answer POST .../init/: a session for these files, the only one of its recording."""
        files = read_files(call.body["files"], FILE, MOST_FILES)
        config = call.body["storage_config_uid"]
        if config is not None and not self.store.known(STORAGE_CONFIGS, config):
            raise ApiError.invalid(storage_config_uid=f'Invalid pk "{config}" - object does not exist.')
        with self.store.lock:
            recording = self.store.find(RECORDINGS, call.params["uid"])
            if "_upload" in recording:
                raise ApiError(409, "This recording has an upload session already.")
            prefix = f"fleet/{SEED_ORGANIZATION_ID}/{recording['uid']}/"
            session = Session(prefix, {path: file["size_bytes"] for path, file in files.items()})
            recording.update(_upload=session, status="uploading", updated_at=self.store.now())
        return {"uid": session.uid, "s3_prefix": prefix, "status": session.status, **session.counts}

    def targets(self, call: Call) -> Json:
        """Answer POST .../urls/: where to send some of the files."""
        session, paths = self._session(call), call.body["file_paths"]
        if not 1 <= len(paths) <= MOST_TARGETS:
            raise ApiError.invalid(file_paths=f"Give 1 to {MOST_TARGETS} paths.")
        unknown = [path for path in paths if path not in session.sizes]
        if unknown:
            raise ApiError.invalid(file_paths=f"Not in this session: {unknown[:10]}.")
        origin, sign = self.emulator.storage_origin(call), self.emulator.signer.sign
        urls = []
        for path in paths:
            key = session.prefix + path
            url = origin + sign("/" + quote(key), call.body["ttl_seconds"])
            headers = {"Content-Type": "application/octet-stream"}
            urls.append({"path": path, "s3_key": key, "put_url": url, "headers": headers})
        session.status = "uploading"
        return {"urls": urls}

    def confirm(self, call: Call) -> Json:
        """Answer POST .../confirm/: these files were sent, if storage agrees."""
        session = self._session(call)
        files = read_files(call.body["files"], SENT, MOST_TARGETS)
        for path, file in files.items():
            stored = self.emulator.files.get(session.prefix + path)
            if stored is None or session.sizes.get(path) != stored.size:
                raise ApiError.invalid(files=f"{path}: has not been uploaded as announced.")
            if (file["size_bytes"], file["etag"]) != (stored.size, etag_of(stored.content)):
                raise ApiError.invalid(files=f"{path}: differs from what has been uploaded.")
        with self.store.lock:
            session.confirmed |= files.keys()
            counts = session.counts
        shown = {
            "session_uid": session.uid,
            "confirmed": len(files),
            "total_confirmed": counts["confirmed_files"],
        }
        return {**shown, **counts}

    def finalize(self, call: Call) -> Json:
        """Answer POST .../finalize/: process what was sent."""
        uid = call.params["uid"]
        with self.store.lock:
            session = self._session(call, "initiated", "uploading", "completing", "completed")
            if session.pending:
                raise ApiError(400, f"Not confirmed: {session.pending[:10]}.")
            if session.status not in ("completing", "completed"):
                session.status = "completing"
                self.store.find(RECORDINGS, uid).update(status="processing", updated_at=self.store.now())
                due = self.store.now() + self.emulator.dataset_seconds
                self.emulator.timeline.at(due, lambda: self._complete(uid, session))
        return {"session_uid": session.uid, "detail": "Processing of the recording is queued."}

    def _complete(self, uid: str, session: Session) -> None:
        with self.store.lock:
            if self.store.known(RECORDINGS, uid):
                session.status = "completed"
                size, now = sum(session.sizes.values()), self.store.now()
                self.store.find(RECORDINGS, uid).update(status="ready", size_bytes=size, updated_at=now)

    def status(self, call: Call) -> Json:
        """Answer GET .../status/: how far the upload is."""
        session = self._any(call)
        shown = {"session_uid": session.uid, "status": session.status, **session.counts}
        return {**shown, "pending_paths": session.pending[:MOST_PENDING]}

    def _any(self, call: Call) -> Session:
        session: Session | None = self.store.find(RECORDINGS, call.params["uid"]).get("_upload")
        if session is None:
            raise ApiError(404, NO_SESSION)
        return session

    def _session(self, call: Call, *states: str) -> Session:
        session = self._any(call)
        if session.uid != call.body["session_uid"]:
            raise ApiError(404, NO_SESSION)
        if session.status not in (states or ("initiated", "uploading")):
            raise ApiError(400, f"The upload session is {session.status}.")
        return session
