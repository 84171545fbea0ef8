"""Managed uploads of a recording's originals: admitted by digest, sent in parts, verified, published as a dataset.

The SDK speaks ``fleet-managed-mcap-v1`` and takes targets at an R2 account endpoint only.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.fleet_uploads import COUNTS, FILES, read_files
from airflow_provider_avala.emulator.manual_uploads import StoredFile
from airflow_provider_avala.emulator.resources_fleet import RECORDINGS
from airflow_provider_avala.emulator.schema import Field, Record, Shape, timestamp
from airflow_provider_avala.emulator.seeds import SEED_ORGANIZATION_ID
from airflow_provider_avala.emulator.store import Store

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

PROTOCOL = "fleet-managed-mcap-v1"
PART_SIZE = 64 * 1024**2
MOST_FILES = 64
MOST_BYTES = 8 * 1024**3  # of a file
PAGE = 100  # parts
TARGET_SECONDS = 300
BUCKET = "emulator"
MAGIC = b"\x89MCAP0\r\n"
KIND = "application/octet-stream"

IDENTITY = {
    "protocol": Field(required=True, choices=(PROTOCOL,)),
    "session_uid": Field(required=True, format="uuid"),
}
OF_FILE = {**IDENTITY, "file_uid": Field(required=True)}
OF_PARTS = {**OF_FILE, "generation_uid": Field(required=True)}
ORIGINAL = Shape(
    "managed_original",
    {
        "path": Field(required=True, max_length=1024),
        "size_bytes": Field(int, required=True, minimum=1, maximum=MOST_BYTES),
        "content_sha256": Field(required=True, max_length=64),
    },
)
ADMIT = Shape("managed_admission", {**IDENTITY, "files": FILES})
BEGIN = Shape("managed_multipart_request", OF_FILE)
BEGUN = Shape(
    "managed_multipart",
    {
        **OF_PARTS,
        "number": Field(int, required=True),
        "state": Field(required=True),
        "part_size": Field(int, required=True),
        "part_count": Field(int, required=True),
        "initialization_deadline": Field(required=True, format="date-time"),
    },
)
PROGRESS = Shape(
    "managed_progress", {**OF_PARTS, "parts": Field(list, required=True, of=dict), "next_cursor": Field(int)}
)
TARGETS = Shape("managed_targets_request", {**OF_PARTS, "numbers": Field(list, required=True, of=int)})
TARGETS_SHOWN = Shape("managed_targets", {**OF_PARTS, "parts": Field(list, required=True, of=dict)})
FINALIZE = Shape("managed_finalization_request", {**IDENTITY, "files": FILES})
FINALIZED = Shape("managed_finalization", {**IDENTITY, "finalization": Field(dict, required=True)})
STATUS = Shape(
    "managed_upload",
    {
        **IDENTITY,
        "recording_uid": Field(required=True),
        "status": Field(required=True),
        **COUNTS,
        "files": FILES,
        "finalization": Field(dict),
    },
)


@dataclass
class Original:
    """One file on its way.

    :param key: where it goes in storage.
    :ivar generation: the uid of its multipart upload, once begun.
    :ivar parts: the parts that arrived.
    """

    path: str
    key: str
    size: int
    sha256: str
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    generation: str | None = None
    state: str = "active"
    verified: bool = False
    parts: dict[int, bytes] = field(default_factory=dict)

    @property
    def part_count(self) -> int:
        """How many parts it has."""
        return -(-self.size // PART_SIZE)

    def length_of(self, number: int) -> int:
        """Return how many bytes part ``number`` (from 1) has."""
        return min(PART_SIZE, self.size - (number - 1) * PART_SIZE)

    def view(self) -> Json:
        """Show it."""
        generation = None
        if self.generation is not None:
            generation = {"generation_uid": self.generation, "number": 1, "state": self.state}
        return {
            "file_uid": self.uid, "path": self.path, "size_bytes": self.size, "content_sha256": self.sha256,
            "content_type": KIND, "content_encoding": "", "part_size": PART_SIZE, "part_count": self.part_count,
            "verified": self.verified, "generation": generation,
        }  # fmt: skip


@dataclass
class Session:
    """What is sent for one recording under a session of the client's own making.

    :ivar finalization: None until the client asked for it.
    """

    uid: str
    files: list[Original]
    finalization: Json | None = None

    @property
    def identity(self) -> Json:
        """What every answer begins with."""
        return {"protocol": PROTOCOL, "session_uid": self.uid}

    @property
    def status(self) -> str:
        """How far it is."""
        if self.finalization is not None:
            return "completed" if all(file.verified for file in self.files) else "completing"
        return "uploading" if any(file.generation for file in self.files) else "initiated"


class ManagedFleetUploads:
    """The handlers of one emulator; every organization is enrolled.

    :param emulator: whose recordings they are.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.store = emulator.store

    def endpoints(self) -> list[Endpoint]:
        """List the endpoints."""
        path = "/fleet/recordings/{uid}/managed-upload"
        return [
            Endpoint("POST", f"{path}/admit", self.admit, "Begin a managed upload", takes=ADMIT, gives=STATUS),
            Endpoint("GET", f"{path}/status", self.status, "Show the managed upload", gives=STATUS, query=IDENTITY),
            Endpoint("POST", f"{path}/multipart/init", self.begin, "Begin a file", takes=BEGIN, gives=BEGUN),
            Endpoint("GET", f"{path}/multipart/progress", self.progress, "List the parts that arrived",
                     gives=PROGRESS, query={**OF_PARTS, "after": Field(int)}),
            Endpoint("POST", f"{path}/multipart/parts", self.targets, "Ask where to send parts", takes=TARGETS,
                     gives=TARGETS_SHOWN),
            Endpoint("POST", f"{path}/finalize", self.finalize, "Verify and publish what was sent", takes=FINALIZE,
                     gives=FINALIZED),
        ]  # fmt: skip

    # -- sessions and files

    def admit(self, call: Call) -> Json:
        """Answer POST .../admit/: a session for these originals; the same one when asked again."""
        wanted = read_files(call.body["files"], ORIGINAL, MOST_FILES)
        uid = call.body["session_uid"]
        root = f"{self.emulator.manual_uploads.root(SEED_ORGANIZATION_ID)}/__cloud__/{uid}"
        with self.store.lock:
            recording = self.store.find(RECORDINGS, call.params["uid"])
            session: Session = recording.setdefault("_managed", Session(uid, _originals(wanted, root)))
        admitted = {file.path: (file.size, file.sha256) for file in session.files}
        asked = {path: (file["size_bytes"], file["content_sha256"]) for path, file in wanted.items()}
        if (session.uid, admitted) != (uid, asked):
            raise ApiError(409, "This recording has another managed upload.")
        return self._view(recording["uid"], session)

    def status(self, call: Call) -> Json:
        """Answer GET .../status/."""
        return self._view(call.params["uid"], self._session(call, call.query))

    def begin(self, call: Call) -> Json:
        """Answer POST .../multipart/init/: the one multipart upload of a file."""
        session = self._session(call, call.body)
        with self.store.lock:
            file = _file(session, call.body)
            file.generation = file.generation or str(uuid.uuid4())
        return {
            **session.identity, "file_uid": file.uid, "generation_uid": file.generation, "number": 1,
            "state": file.state, "part_size": PART_SIZE, "part_count": file.part_count,
            "initialization_deadline": timestamp(self.store.now() + TARGET_SECONDS),
        }  # fmt: skip

    def progress(self, call: Call) -> Json:
        """Answer GET .../multipart/progress/: the parts that arrived, in pages."""
        session, file = self._sending(call, call.query)
        after = call.query.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            raise ApiError.invalid(after="A valid integer is required.")
        numbers = [number for number in sorted(file.parts) if number > int(after[:9])]
        page = numbers[:PAGE]
        return {
            **_named(session, file),
            "parts": [{"part_number": number, "size": file.length_of(number)} for number in page],
            "next_cursor": page[-1] if len(numbers) > PAGE else None,
        }

    def targets(self, call: Call) -> Json:
        """Answer POST .../multipart/parts/: where to send parts of a file."""
        session, file = self._sending(call, call.body)
        numbers = call.body["numbers"]
        if not numbers or not all(1 <= number <= file.part_count for number in numbers):
            raise ApiError.invalid(numbers=f"Part numbers of this file go from 1 to {file.part_count}.")
        parts = [self._target(call, file, number) for number in numbers[:PAGE]]
        return {**_named(session, file), "parts": parts}

    def _target(self, call: Call, file: Original, number: int) -> Json:
        wanted = {"uploadId": str(file.generation), "partNumber": str(number)}
        path, expires = self.emulator.signer.presign(f"/{BUCKET}/{quote(file.key)}", wanted, TARGET_SECONDS)
        return {
            "grant_uid": str(uuid.uuid4()), "part_number": number, "offset": (number - 1) * PART_SIZE,
            "size_bytes": file.length_of(number), "url": self.emulator.storage_origin(call) + path,
            "headers": {"Content-Length": str(file.length_of(number))}, "expires_at": timestamp(expires),
        }  # fmt: skip

    # -- the end

    def finalize(self, call: Call) -> Json:
        """Answer POST .../finalize/: verify and publish on the clock; may be repeated."""
        session, recording = self._session(call, call.body), call.params["uid"]
        given = {(row.get("file_uid"), row.get("generation_uid")) for row in call.body["files"]}
        with self.store.lock:
            if given != {(file.uid, file.generation) for file in session.files}:
                raise ApiError.invalid(files="Name every file of the session with its generation.")
            missing = [
                file.path for file in session.files if len(file.parts) < file.part_count and not file.verified
            ]
            if missing and session.finalization is None:
                raise ApiError(400, f"Parts are missing of {missing[:10]}.")
            if session.finalization is None:
                due = self.store.now() + self.emulator.dataset_seconds
                session.finalization = outcome = _outcome(due)
                for file in session.files:
                    file.state = "completing"
                self.emulator.timeline.at(due, lambda: self._settle(recording, session, outcome))
        return {**session.identity, "finalization": session.finalization}

    def _settle(self, recording: str, session: Session, outcome: Json) -> None:
        with self.store.lock:
            if not self.store.known(RECORDINGS, recording):
                return
            problem = next(filter(None, map(self._verify, session.files)), None)
            if problem is not None:
                outcome |= {"state": "failed", "stage": "verify", "code": problem, "failures": 1}
                return
            published = {
                "publication_uid": str(uuid.uuid4()),
                "dataset_uid": self._publish(recording, session),
            }
            outcome |= {
                "state": "succeeded",
                "stage": "publish",
                "code": "published",
                **published,
            }

    def _verify(self, file: Original) -> str | None:
        content = b"".join(file.parts[number] for number in sorted(file.parts))
        file.parts.clear()
        file.state = "completed"
        if hashlib.sha256(content).hexdigest() != file.sha256:
            return "content_mismatch"
        if not content.startswith(MAGIC):
            return "invalid_mcap"
        self.emulator.manual_uploads.keep(file.key, StoredFile(content, file.size, KIND))
        file.verified = True
        return None

    def _publish(self, recording: str, session: Session) -> str:
        fields = {
            "name": f"Recording {recording}", "slug": f"recording-{recording}", "data_type": "mcap",
            "visibility": "private", "is_sequence": False, "metadata": {"recording": recording},
            "owner_name": self.emulator.username,
        }  # fmt: skip
        made = self.emulator.dataset_service.index(fields, [file.path for file in session.files])
        self.emulator.announce_dataset(made)
        return str(made["uid"])

    # -- finding and showing

    def _session(self, call: Call, named: Any) -> Session:
        session: Session | None = self.store.find(RECORDINGS, call.params["uid"]).get("_managed")
        if session is None or session.uid != named.get("session_uid"):
            raise ApiError(404, "No managed upload with this session_uid for this recording.")
        return session

    def _sending(self, call: Call, named: Any) -> tuple[Session, Original]:
        session = self._session(call, named)
        file = _file(session, named)
        if file.generation is None or file.generation != named.get("generation_uid"):
            raise ApiError(404, "No such generation of this file.")
        return session, file

    def _view(self, recording: str, session: Session) -> Json:
        verified = [file.size for file in session.files if file.verified]
        return {
            **session.identity, "recording_uid": recording, "status": session.status,
            "total_files": len(session.files), "total_bytes": sum(file.size for file in session.files),
            "confirmed_files": len(verified), "confirmed_bytes": sum(verified),
            "files": [file.view() for file in session.files], "finalization": session.finalization,
        }  # fmt: skip


def sending(store: Store, generation: str) -> Original | None:
    """Return the file whose parts go up under this generation; None when it takes no more."""
    sessions = [row["_managed"] for row in store.among(RECORDINGS) if "_managed" in row]
    files = [file for session in sessions for file in session.files]
    return next((file for file in files if file.generation == generation and file.state == "active"), None)


def _originals(wanted: dict[str, Record], root: str) -> list[Original]:
    return [
        Original(path, f"{root}/{path}", file["size_bytes"], file["content_sha256"])
        for path, file in wanted.items()
    ]


def _file(session: Session, named: Any) -> Original:
    found = next((file for file in session.files if file.uid == named.get("file_uid")), None)
    if found is None:
        raise ApiError(404, "No such file in this session.")
    return found


def _named(session: Session, file: Original) -> Json:
    return {**session.identity, "file_uid": file.uid, "generation_uid": file.generation}


def _outcome(due: float) -> Json:
    return {
        "uid": str(uuid.uuid4()), "state": "pending", "stage": "complete", "code": "pending", "attempts": 1,
        "failures": 0, "available_at": timestamp(due), "publication_uid": None, "dataset_uid": None,
    }  # fmt: skip
