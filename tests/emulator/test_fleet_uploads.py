"""What uploads of recordings refuse; that they work is shown with the SDK as the client."""

from __future__ import annotations

import hashlib
import time
import uuid
from urllib.parse import parse_qsl

import pytest
import requests

from airflow_provider_avala.emulator.fleet_managed import MAGIC, PROTOCOL
from airflow_provider_avala.emulator.resources_fleet import RECORDINGS
from airflow_provider_avala.emulator.storage import Signer

SESSION = str(uuid.uuid4())
CONTENT = MAGIC + b"content"
ORIGINAL = {
    "path": "a.mcap", "size_bytes": len(CONTENT), "content_sha256": hashlib.sha256(CONTENT).hexdigest(),
}  # fmt: skip


class Recording:
    """A recording, and what is asked about it."""

    def __init__(self, start) -> None:
        self.avala, self.client = start(dataset_seconds=0)
        self.uid = self.avala.add(RECORDINGS)

    def upload(self, step: str, **body) -> requests.Response:
        return self.client.post(f"/fleet/recordings/{self.uid}/upload/{step}/", json=body)

    def managed(self, step: str, session: str = SESSION, **body) -> requests.Response:
        whole = {"protocol": PROTOCOL, "session_uid": session, **body}
        return self.client.post(f"/fleet/recordings/{self.uid}/managed-upload/{step}/", json=whole)

    def begin(self) -> str:
        reply = self.upload("init", files=[{"path": "a b.mcap", "size_bytes": 3}])
        assert reply.status_code == 201
        return reply.json()["uid"]

    def admit(self) -> dict[str, str]:
        """Begin a managed upload of one file; return what names its parts."""
        [file] = self.managed("admit", files=[ORIGINAL]).json()["files"]
        begun = self.managed("multipart/init", file_uid=file["file_uid"]).json()
        return {"file_uid": file["file_uid"], "generation_uid": begun["generation_uid"]}


@pytest.fixture
def recording(start) -> Recording:
    return Recording(start)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "files"),
        ({"files": []}, "files"),
        ({"files": [{"path": "a"}]}, "size_bytes"),
        ({"files": [{"path": "../a", "size_bytes": 1}]}, "path"),
        ({"files": [{"path": "\ud800", "size_bytes": 1}]}, "path"),
        ({"files": [{"path": "a", "size_bytes": 1}] * 2}, "files"),
        ({"files": [{"path": "a", "size_bytes": 1}], "storage_config_uid": "none"}, "storage_config_uid"),
    ],
)
def test_a_session_needs_named_files(recording, body, field):
    reply = recording.upload("init", **body)
    assert (reply.status_code, list(reply.json()["detail"])) == (400, [field])


def test_a_recording_has_one_session(recording):
    session = recording.begin()
    assert recording.upload("init", files=[{"path": "b", "size_bytes": 3}]).status_code == 409
    assert recording.upload("urls", session_uid="other", file_paths=["a b.mcap"]).status_code == 404
    for paths in ([], ["b"]):
        assert recording.upload("urls", session_uid=session, file_paths=paths).status_code == 400
    assert recording.upload("finalize", session_uid=session).status_code == 400
    recording.uid = str(uuid.uuid4())
    assert recording.upload("finalize", session_uid=session).status_code == 404


def test_only_what_storage_has_can_be_confirmed_and_only_at_a_signed_target(recording):
    session = recording.begin()
    [target] = recording.upload("urls", session_uid=session, file_paths=["a b.mcap"]).json()["urls"]
    assert requests.put(target["put_url"].replace("Nonce=", "Nonce=1"), b"abc", timeout=10).status_code == 403
    sent = {"path": "a b.mcap", "size_bytes": 3, "etag": "x"}
    assert "not been uploaded" in recording.upload("confirm", session_uid=session, files=[sent]).text
    assert requests.put(target["put_url"], b"abcd", timeout=10).status_code == 200
    assert (
        "not been uploaded as announced"
        in recording.upload("confirm", session_uid=session, files=[sent]).text
    )
    etag = requests.put(target["put_url"], b"abc", timeout=10).headers["ETag"].strip('"')
    assert "differs" in recording.upload("confirm", session_uid=session, files=[sent]).text
    assert recording.upload("confirm", session_uid=session, files=[{**sent, "etag": etag}]).status_code == 200
    for _ in range(2):
        assert recording.upload("finalize", session_uid=session).status_code == 202
    assert recording.upload("urls", session_uid=session, file_paths=["a b.mcap"]).status_code == 400


def test_an_admission_may_be_repeated_but_not_changed(recording):
    first, second = (recording.managed("admit", files=[ORIGINAL]) for _ in range(2))
    assert (first.status_code, first.json()) == (200, second.json())
    assert recording.managed("admit", files=[{**ORIGINAL, "size_bytes": 1}]).status_code == 409
    assert recording.managed("admit", str(uuid.uuid4()), files=[ORIGINAL]).status_code == 409
    assert recording.managed("admit", "no uuid", files=[ORIGINAL]).status_code == 400


def test_parts_are_of_files_that_there_are_and_have_their_length(recording):
    named = recording.admit()
    assert recording.managed("multipart/init", file_uid="other").status_code == 404
    assert (
        recording.managed("multipart/parts", **{**named, "generation_uid": "other"}, numbers=[1]).status_code
        == 404
    )
    for numbers in ([], [0], [2]):
        assert recording.managed("multipart/parts", **named, numbers=numbers).status_code == 400
    [part] = recording.managed("multipart/parts", **named, numbers=[1]).json()["parts"]
    assert requests.put(part["url"] + "0", CONTENT, timeout=10).status_code == 403
    assert requests.put(part["url"], CONTENT[:-1], timeout=10).status_code == 403
    assert recording.managed("finalize", files=[named]).json()["detail"] == "Parts are missing of ['a.mcap']."
    assert requests.put(part["url"], CONTENT, timeout=10).status_code == 200
    assert recording.managed("finalize", files=[]).status_code == 400
    first, second = (recording.managed("finalize", files=[named]).json()["finalization"] for _ in range(2))
    assert (first["state"], second["state"], first["uid"]) == ("pending", "succeeded", second["uid"])
    assert requests.put(part["url"], CONTENT, timeout=10).status_code == 404


def test_content_that_differs_from_its_digest_is_not_published(recording):
    named = recording.admit()
    [part] = recording.managed("multipart/parts", **named, numbers=[1]).json()["parts"]
    requests.put(part["url"], CONTENT[::-1], timeout=10)
    recording.managed("finalize", files=[named])
    ended = recording.managed("finalize", files=[named]).json()["finalization"]
    assert (ended["state"], ended["code"], ended["dataset_uid"]) == ("failed", "content_mismatch", None)
    assert len(recording.avala.datasets) == 1


@pytest.mark.parametrize(("lifetime", "open_now"), [(300, True), (0, False)])
def test_a_target_of_a_part_opens_its_own_path_for_a_while(lifetime, open_now):
    signer = Signer(lambda: 0.0)
    path, ends = signer.presign("/b/a%3D", {"uploadId": "u", "partNumber": "1"}, lifetime)
    assert ends <= time.time() + lifetime
    query = dict(parse_qsl(path.partition("?")[2]))
    assert signer.admits_presigned("/b/a%3D", query) is open_now
    assert not signer.admits_presigned("/b/other", query)
    assert not signer.admits_presigned("/b/a%3D", {**query, "X-Amz-Signature": "\u00e9"})
