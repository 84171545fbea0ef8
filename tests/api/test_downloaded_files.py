"""What becomes of a downloaded file: verified, named, or refused in clear words."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import textwrap
import zipfile
from base64 import b64encode
from hashlib import md5, sha1, sha256, sha512
from pathlib import Path
from zlib import crc32

import pytest

from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaDownloadError,
)
from airflow_provider_avala.api.partfile import PartFile
from airflow_provider_avala.api.targets import target_in
from tests.api.export_server import DATA, ROOT, SIGNATURE, fetch, in_turn, leftovers, serve
from tests.api.loopback import Server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "export.bin"


OTHER = DATA[::-1][:700_000]


def make_zip(names=("a.json", "b.json")):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            archive.writestr(name, f"content of {name} " * 500)
    return buffer.getvalue()


ZIP = make_zip()


def test_a_good_zip_is_accepted(tmp_path):
    with Server(serve(ZIP, cuts=[3000])) as server:
        fetch(server, tmp_path / "export.zip", path="/export.zip")

    assert (tmp_path / "export.zip").read_bytes() == ZIP


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (ZIP.replace(b"content of b", b"CONTENT of b"), r"checksum of its member 'b\.json' is wrong"),
        (ZIP[:-30], "the zip is damaged"),
        (ZIP[:3000], "the zip is damaged"),
        (b"<html><title>Sign in</title></html>", "HTML page titled 'Sign in'"),
        (
            b'{"detail": "Export not found, see https://host/x?X-Amz-Signature=topsecret"}',
            r"Export not found",
        ),
        (b"", "the answer has no body"),
    ],
)
def test_what_is_not_the_zip_that_was_announced_is_refused_and_deleted(tmp_path, data, problem):
    with Server(serve(data)) as server, pytest.raises(AvalaDownloadError, match=problem) as caught:
        fetch(server, tmp_path / "export", path=f"/exports/1.zip?{SIGNATURE}")

    assert "topsecret" not in str(caught.value)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(("path", "name"), [("/1.zip", "export.bin"), ("/1", "export.zip")])
def test_another_format_under_the_name_of_a_zip_is_the_users_business(tmp_path, path, name, caplog):
    with Server(serve()) as server:
        fetch(server, tmp_path / name, path=path)

    assert (tmp_path / name).read_bytes() == DATA
    assert ("announced as a zip" in caplog.text) == path.endswith(".zip")


def test_a_zip_is_checked_whatever_its_name(target):
    with (
        Server(serve(ZIP.replace(b"content of b", b"CONTENT of b"))) as server,
        pytest.raises(AvalaDownloadError),
    ):
        fetch(server, target, path="/download")


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize(
    "headers",
    [
        lambda data: {"Content_MD5": b64encode(md5(data).digest()).decode()},
        lambda data: {"x_goog_hash": "crc32c=AAAAAA==, md5=" + b64encode(md5(data).digest()).decode()},
        lambda data: {"x_amz_checksum_sha256": b64encode(sha256(data).digest()).decode()},
        lambda data: {"x_amz_checksum_sha1": b64encode(sha1(data).digest()).decode()},
        lambda data: {"x_amz_checksum_crc32": b64encode(crc32(data).to_bytes(4, "big")).decode()},
        lambda data: {"Digest": "SHA-256=" + b64encode(sha256(data).digest()).decode()},
        lambda data: {"Digest": "unixsum=30637, MD5=" + b64encode(md5(data).digest()).decode()},
        lambda data: {"Repr_Digest": f"sha-512=:{b64encode(sha512(data).digest()).decode()}:"},
        lambda data: {"Content_Digest": f"sha-256=:{b64encode(sha256(data).digest()).decode()}:"},
    ],
)
def test_announced_checksums_are_checked(target, headers, good):
    announced = headers(DATA if good else OTHER)
    with Server(serve(cuts=[1000], **announced)) as server:
        if good:
            fetch(server, target)
            return
        with pytest.raises(AvalaDownloadError, match=r"checksum of the file is not the one"):
            fetch(server, target)

    assert leftovers(target.parent) == []


@pytest.mark.parametrize("value", ["", "nonsense", "AAAA", "abc-3", "==", "sha-256", "sha-256=:é:", ",=,:;"])
def test_checksums_that_make_no_sense_are_passed_over(target, value):
    names = (
        "x_amz_checksum_sha256",
        "x_amz_checksum_crc32",
        "Content_MD5",
        "Digest",
        "Repr_Digest",
        "x_goog_hash",
    )
    with Server(serve(**dict.fromkeys(names, value))) as server:
        fetch(server, target)


def test_the_checksum_of_a_whole_answer_holds_for_the_rest_that_another_process_adds(target):
    """The rest comes without any checksum."""
    announced = {"Content_MD5": b64encode(md5(OTHER).digest()).decode()}
    gone = in_turn(serve(cuts=[600_000], **announced), lambda exchange, seen, number: exchange.reset())
    with Server(gone) as server:
        with pytest.raises(AvalaDownloadError, match="goes on from there"):
            fetch(server, target)
        server.respond = serve()
        with pytest.raises(AvalaDownloadError, match="md5 checksum of the file is not the one"):
            fetch(server, target)

    assert server.seen[-1].headers["Range"] == "bytes=600000-"
    assert leftovers(target.parent) == []


def test_an_etag_is_no_checksum(target):
    with Server(serve(etag=f'"{md5(OTHER).hexdigest()}"')) as server:
        fetch(server, target)

    assert target.read_bytes() == DATA


def test_a_length_that_is_too_small_is_noticed(target):
    """The connection ends in an orderly way, only too early."""
    with (
        Server(lambda exchange, seen, number: exchange.reply(200, b"x" * 20, cut=10)) as server,
        pytest.raises(AvalaDownloadError, match="could not be downloaded"),
    ):
        fetch(server, target)

    assert not target.exists()


@pytest.fixture
def full_disk():
    """From half a megabyte on, this process can write no further byte to any file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))

    def free():
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    yield free
    free()


def test_a_full_disk_is_named_and_keeps_what_was_written(target, full_disk):
    with Server(serve()) as server:
        with pytest.raises(AvalaDownloadError, match=r"bytes are free there\. 500000 of 900000") as caught:
            fetch(server, target)
        full_disk()
        summary = fetch(server, target)

    assert str(PartFile(target).path) in str(caught.value)
    assert summary.resumed == 1
    assert target.read_bytes() == DATA


def test_a_target_that_is_a_folder_is_refused(tmp_path):
    with Server(serve()) as server, pytest.raises(AvalaConfigurationError, match="is a directory"):
        fetch(server, tmp_path)


def test_a_target_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with Server(serve()) as server, pytest.raises(AvalaDownloadError, match="cannot write"):
        fetch(server, tmp_path / "file" / "export.bin")


def test_a_link_in_the_place_of_the_part_file_is_not_followed(target):
    victim = target.with_name("victim")
    victim.write_bytes(b"not ours")
    PartFile(target).path.symlink_to(victim)
    with Server(serve()) as server, pytest.raises(AvalaDownloadError, match="cannot write"):
        fetch(server, target)
    assert victim.read_bytes() == b"not ours"


def test_a_link_in_the_place_of_its_note_is_not_followed(target):
    victim = target.with_name("victim")
    victim.write_bytes(b"not ours")
    PartFile(target).path.with_suffix(".part.json").symlink_to(victim)
    with Server(serve(cuts=[1000])) as server:
        assert fetch(server, target).resumed == 1
    assert victim.read_bytes() == b"not ours"


@pytest.mark.parametrize(
    ("path", "export_id", "url", "expected"),
    [
        ("out/", "exp_1", "https://host/exports/1.zip?sig=.exe", "out/exp_1.zip"),
        ("out/", "exp_1", "https://host/exports/1/download", "out/exp_1"),
        ("out/", "exp_1", "https://host/a.tar.gz", "out/exp_1.tar.gz"),
        ("out/", "exp_1", "https://host/v1.2.zip", "out/exp_1.zip"),
        ("out/", "exp_1", "https://host/data.json.gz", "out/exp_1.json.gz"),
        ("out/", "exp_1", "https://host/x.%2F..", "out/exp_1"),
        ("out/", "../../etc/cron.d/x", "https://host/1.zip", "out/_.._etc_cron.d_x.zip"),
        ("out/file.dat", "exp_1", "https://host/1.zip", "out/file.dat"),
        (Path("out/file.dat"), "exp_1", "https://host/1.zip", "out/file.dat"),
    ],
)
def test_where_a_download_goes(path, export_id, url, expected):
    assert target_in(path, export_id, url) == Path(expected)


def test_an_existing_folder_needs_no_slash(tmp_path):
    assert target_in(tmp_path, "exp_1", "https://host/1.zip") == tmp_path / "exp_1.zip"


def test_memory_does_not_grow_with_the_file(target):
    script = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        import requests
        from airflow_provider_avala.api.downloads import download
        from tests.api.loopback import get

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        before = peak()
        assert download(get, lambda: sys.argv[1], Path(sys.argv[2])).bytes == 80_000_000
        print(peak() - before)
    """)
    data = bytes(80_000_000)
    with Server(lambda exchange, seen, number: exchange.reply(200, data)) as server:
        done = subprocess.run(
            [sys.executable, "-c", script, server.url, str(target)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=ROOT,
        )

    assert float(done.stdout) < 20


def test_dag_files_load_no_http_library():
    script = (
        "import sys, airflow_provider_avala.api.downloads; print({'requests', 'urllib3'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
    )

    assert done.stdout.strip() == "set()"
