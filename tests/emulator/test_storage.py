"""The download origin: signed URLs that expire, Range, ETag, and no API key."""

from __future__ import annotations

import pytest
import requests

DATA = bytes(range(256)) * 40


@pytest.fixture
def stored(start, clock):
    """A finished export, its emulator, and a function that asks for a fresh URL."""
    avala, client = start(clock=clock, url_seconds=60)
    uid = avala.add_export(status="exported", artifact=DATA)

    def url() -> str:
        return client.get(f"/exports/{uid}/").json()["download_url"]

    return avala, uid, url


def fetch(url: str, method="GET", **headers) -> requests.Response:
    return requests.request(method, url, headers=headers, timeout=10)


def test_the_url_is_on_another_origin_and_needs_no_key(stored):
    avala, uid, url = stored
    address = url()
    assert address.startswith(f"{avala.storage_url}/exports/{uid}.zip?")
    assert not address.startswith(avala.base_url.removesuffix("/api/v1"))
    reply = fetch(address)
    assert (reply.status_code, reply.content, reply.headers["Content-Type"]) == (200, DATA, "application/zip")
    (record,) = avala.requests_to("GET", "/exports/", origin="storage")
    assert (record.key_present, record.status) == (False, 200)


def test_a_key_that_leaks_to_storage_is_recorded(stored):
    avala, _, url = stored
    fetch(url(), **{"X-Avala-Api-Key": avala.api_key})
    assert [record.key_present for record in avala.requests_to(origin="storage")] == [True]


def test_a_url_opens_nothing_once_expired_and_a_fresh_one_does(stored):
    avala, _, url = stored
    old = url()
    avala.advance(59)
    assert fetch(old).status_code == 200
    avala.advance(1)
    reply = fetch(old)
    assert reply.status_code == 403
    assert "AccessDenied" in reply.text
    fresh = url()
    assert fresh != old
    assert fetch(fresh).status_code == 200


def test_no_two_urls_are_the_same_even_at_the_same_moment(stored):
    _, _, url = stored
    assert url() != url()


@pytest.mark.parametrize(
    "change", [("Expires=1", "Expires=9"), ("Signature=", "Signature=0"), ("Nonce=", "Nonce=7")]
)
def test_a_url_that_was_altered_opens_nothing(stored, change):
    _, _, url = stored
    address = url()
    assert fetch(address.replace(*change)).status_code == 403
    assert fetch(address.partition("?")[0]).status_code == 403


def test_a_signature_opens_its_own_path_only(stored):
    avala, uid, url = stored
    other = avala.add_export(status="exported")
    assert fetch(url().replace(uid, other)).status_code == 403
    assert fetch(avala.storage_url + "/elsewhere").status_code == 404


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-", 0, len(DATA)),
        ("bytes=100-", 100, len(DATA)),
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=100-999999", 100, len(DATA)),
        ("bytes=-10", len(DATA) - 10, len(DATA)),
        ("bytes=-999999", 0, len(DATA)),
    ],
)
def test_a_range_is_206_with_where_it_lies(stored, asked, first, end):
    _, _, url = stored
    reply = fetch(url(), Range=asked)
    assert (reply.status_code, reply.content) == (206, DATA[first:end])
    assert reply.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(DATA)}"
    assert reply.headers["Content-Length"] == str(end - first)


@pytest.mark.parametrize("asked", [f"bytes={len(DATA)}-", "bytes=999999-", "bytes=-0"])
def test_a_range_past_the_end_is_416(stored, asked):
    _, _, url = stored
    reply = fetch(url(), Range=asked)
    assert (reply.status_code, reply.content) == (416, b"")
    assert reply.headers["Content-Range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize("asked", ["bytes=5-1", "bytes=-", "bytes=0-1,4-5", "items=0-1", "bytes=a-"])
def test_a_range_it_does_not_understand_gets_the_whole(stored, asked):
    _, _, url = stored
    reply = fetch(url(), Range=asked)
    assert (reply.status_code, reply.content) == (200, DATA)


def test_if_range_decides_between_the_rest_and_the_whole(stored):
    avala, uid, url = stored
    etag = fetch(url()).headers["ETag"]
    assert etag.startswith('"')
    assert fetch(url(), Range="bytes=9-", **{"If-Range": etag}).status_code == 206
    avala.set_artifact(uid, DATA[::-1])
    changed = fetch(url(), Range="bytes=9-", **{"If-Range": etag})
    assert (changed.status_code, changed.content) == (200, DATA[::-1])
    assert changed.headers["ETag"] != etag


def test_head_tells_the_length_without_the_body(stored):
    _, _, url = stored
    reply = fetch(url(), "HEAD")
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["Content-Length"] == str(len(DATA))
    assert reply.headers["ETag"]
    assert reply.headers["Accept-Ranges"] == "bytes"


def test_a_weak_etag_never_allows_a_resume(stored):
    avala, _, url = stored
    avala.storage_options.etag = "weak"
    etag = fetch(url()).headers["ETag"]
    assert etag.startswith('W/"')
    assert fetch(url(), Range="bytes=9-", **{"If-Range": etag}).status_code == 200


def test_storage_can_do_without_etag_and_ranges(stored):
    avala, _, url = stored
    avala.storage_options.etag, avala.storage_options.ranges = "none", False
    reply = fetch(url(), Range="bytes=9-")
    assert (reply.status_code, reply.content) == (200, DATA)
    assert "ETag" not in reply.headers
    assert "Accept-Ranges" not in reply.headers


def test_the_download_can_be_a_path_of_the_api_that_needs_the_key(start):
    avala, client = start(download="api")
    uid = avala.add_export(status="exported", artifact=DATA)
    url = client.get(f"/exports/{uid}/").json()["download_url"]
    assert url == f"{avala.base_url}/exports/{uid}/download"
    assert requests.get(url, timeout=10).status_code == 401
    assert client.get(url).content == DATA
    assert client.get(url, headers={"Range": "bytes=9-"}).content == DATA[9:]


def test_the_download_path_can_redirect_to_storage(start):
    avala, client = start(download="api-redirect")
    uid = avala.add_export(status="exported", artifact=DATA)
    url = client.get(f"/exports/{uid}/").json()["download_url"]
    reply = client.get(url)
    assert reply.status_code == 302
    assert reply.headers["Location"].startswith(avala.storage_url)
    assert requests.get(reply.headers["Location"], timeout=10).content == DATA


def test_storage_is_asked_on_the_host_the_api_was_asked_on(stored):
    avala, uid, _ = stored
    address = avala.base_url.replace("127.0.0.1", "localhost") + f"/exports/{uid}/"
    reply = requests.get(address, headers={"X-Avala-Api-Key": avala.api_key}, timeout=10)
    assert reply.json()["download_url"].startswith(avala.storage_url.replace("127.0.0.1", "localhost"))
