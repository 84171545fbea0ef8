"""Zips, good and evil, unpacked to a folder."""

from __future__ import annotations

import io
import os
import stat
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_avala.api.archives import Limits
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaDownloadError, is_fatal
from airflow_provider_avala.api.partfile import PartFile
from airflow_provider_avala.api.unpacking import unpack
from tests.api.export_server import fetch, leftovers, serve
from tests.api.loopback import Server


def zipped(*members, compression=zipfile.ZIP_DEFLATED):
    """A zip of (name or ZipInfo, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content, compression)
    return buffer.getvalue()


def special(name, kind):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def files_in(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


GOOD = zipped(("a.json", "[]"), ("images/1.png", b"\x89PNG"), ("images/deep/2.png", b""), ("empty/", ""))
CONTENT = {"a.json": b"[]", "images/1.png": b"\x89PNG", "images/deep/2.png": b""}


def test_a_zip_becomes_a_folder(tmp_path):
    with Server(serve(GOOD, cuts=[30])) as server:
        summary = fetch(server, tmp_path / "labels", unpack=True)

    assert (summary.path, summary.bytes, summary.files) == (str(tmp_path / "labels"), len(GOOD), 3)
    assert files_in(tmp_path / "labels") == CONTENT
    assert leftovers(tmp_path) == ["labels"]


def test_of_a_folder_that_is_there_files_of_the_same_names_are_replaced(tmp_path):
    target = tmp_path / "labels"
    (target / "images").mkdir(parents=True)
    (target / "a.json").write_text("old")
    (target / "images" / "mine.txt").write_text("mine")
    with Server(serve(GOOD)) as server:
        fetch(server, target, unpack=True)

    assert files_in(target) == {**CONTENT, "images/mine.txt": b"mine"}
    assert leftovers(tmp_path) == ["labels"]


def test_an_empty_folder_is_filled(tmp_path):
    with Server(serve(GOOD)) as server:
        (tmp_path / "labels").mkdir()
        fetch(server, tmp_path / "labels", unpack=True)

    assert files_in(tmp_path / "labels") == CONTENT


@pytest.mark.parametrize("elsewhere", [None, "/dev/shm"], ids=["same file system", "another one"])
@pytest.mark.parametrize("held", [{}, {"a.json": b"old", "mine.txt": b"kept"}], ids=["empty", "filled"])
def test_a_link_to_a_folder_will_do(tmp_path, elsewhere, held):
    with tempfile.TemporaryDirectory(dir=elsewhere or tmp_path) as real:
        for name, content in held.items():
            (Path(real) / name).write_bytes(content)
        target = tmp_path / "labels"
        target.symlink_to(real)
        with Server(serve(GOOD)) as server:
            assert fetch(server, target, unpack=True).path == str(target)
        assert target.is_symlink()
        assert files_in(real) == held | CONTENT
        assert "labels" in leftovers(tmp_path)
        assert not [name for name in leftovers(tmp_path) if name.startswith("labels.")]


def test_a_link_in_the_folder_leads_nothing_out_of_it(tmp_path):
    target, outside = tmp_path / "labels", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "a.json").write_bytes(b"old")
    (target / "images").symlink_to(outside)
    with Server(serve(GOOD)) as server, pytest.raises(AvalaDownloadError, match="images is a link") as caught:
        fetch(server, target, unpack=True)
    assert is_fatal(caught.value)
    assert not files_in(outside)
    assert (target / "a.json").read_bytes() == b"old"


def test_a_link_in_the_folder_to_another_place_in_it_is_kept(tmp_path):
    target = tmp_path / "labels"
    (target / "pictures").mkdir(parents=True)
    (target / "images").symlink_to("pictures")
    with Server(serve(GOOD)) as server:
        fetch(server, target, unpack=True)
    assert (target / "pictures" / "1.png").read_bytes() == CONTENT["images/1.png"]


def test_an_empty_zip_is_an_empty_folder(tmp_path):
    with Server(serve(zipped())) as server:
        assert fetch(server, tmp_path / "labels", unpack=True).files == 0

    assert leftovers(tmp_path) == ["labels"]


def test_permissions_come_from_the_system_and_not_from_the_zip(tmp_path):
    info = special("run.sh", stat.S_IFREG | stat.S_ISUID)
    with Server(serve(zipped((info, "x")))) as server:
        fetch(server, tmp_path / "labels", unpack=True)

    assert stat.S_IMODE((tmp_path / "labels" / "run.sh").stat().st_mode) & ~0o666 == 0


BOMB = zipped(("zeros", bytes(20_000_000)))
EVIL = [
    pytest.param(zipped(("../out.txt", "x")), "leads out of the folder", id="up"),
    pytest.param(zipped(("a/../../out.txt", "x")), "leads out of the folder", id="down and up"),
    pytest.param(zipped(("a/..", "x")), "leads out of the folder", id="dots at the end"),
    pytest.param(zipped(("..\\out.txt", "x")), "leads out of the folder", id="up with backslash"),
    pytest.param(zipped(("/etc/out.txt", "x")), "absolute path", id="absolute"),
    pytest.param(zipped(("//host/out.txt", "x")), "absolute path", id="network"),
    pytest.param(zipped(("\\out.txt", "x")), "absolute path", id="absolute with backslash"),
    pytest.param(zipped(("C:out.txt", "x")), "absolute path", id="drive"),
    pytest.param(zipped(("c:\\out.txt", "x")), "absolute path", id="drive and backslash"),
    pytest.param(zipped(("a\nb", "x")), "control character", id="line feed"),
    pytest.param(zipped((".", "x")), "no name", id="no name"),
    pytest.param(zipped((special("link", stat.S_IFLNK), "/etc/passwd")), "link or a special", id="symlink"),
    pytest.param(zipped((special("pipe", stat.S_IFIFO), "")), "link or a special", id="pipe"),
    pytest.param(zipped((special("disk", stat.S_IFBLK), "")), "link or a special", id="device"),
    pytest.param(zipped(("a", "1"), ("b", "2")).replace(b"b", b"a"), "'a' is in it twice", id="twice"),
    pytest.param(zipped(("a", "1"), ("./a", "2")), "is in it twice", id="twice in other words"),
    pytest.param(zipped(("a", "1"), ("a/b", "2")), "'a' is a file and a folder", id="file and folder"),
    pytest.param(zipped(("a/b", "1"), ("a", "2")), "'a' is a file and a folder", id="folder and file"),
    pytest.param(zipped(("a", "x"), compression=zipfile.ZIP_BZIP2), "another way than deflate", id="bzip2"),
    pytest.param(BOMB, r"unpack to 20000000, and at most 200 times", id="bomb"),
]


@pytest.mark.parametrize(("data", "problem"), EVIL)
def test_a_zip_that_is_not_safe_is_refused_whole_and_for_good(tmp_path, data, problem):
    folder = tmp_path / "a" / "labels"
    with Server(serve(data)) as server, pytest.raises(AvalaDownloadError, match=problem) as caught:
        fetch(server, folder, unpack=True)

    assert is_fatal(caught.value)
    assert leftovers(tmp_path) == ["a"]
    assert leftovers(tmp_path / "a") == []


def test_an_encrypted_member_is_refused(tmp_path):
    data = bytearray(zipped(("a", "x")))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    with (
        Server(serve(bytes(data))) as server,
        pytest.raises(AvalaDownloadError, match="'a' is encrypted"),
    ):
        fetch(server, tmp_path / "labels", unpack=True)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"not a zip", "cannot be unpacked: File is not a zip file"),
        (b"", "cannot be unpacked"),
        (GOOD[:-10], "cannot be unpacked"),
        (
            zipped(("a", b"content"), compression=zipfile.ZIP_STORED).replace(b"content", b"CONTENT"),
            "Bad CRC-32",
        ),
    ],
)
def test_what_is_no_zip_or_damaged_is_refused_and_may_be_tried_again(tmp_path, data, problem):
    with Server(serve(data)) as server, pytest.raises(AvalaDownloadError, match=problem) as caught:
        fetch(server, tmp_path / "labels", unpack=True)

    assert not is_fatal(caught.value)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (Limits(files=1), "it has 2 members, and at most 1"),
        (Limits(bytes=1999), "it unpacks to 2000 bytes, and at most 1999"),
        (Limits(ratio=1, small=0), "at most 1 times as much"),
    ],
)
def test_limits(tmp_path, limits, problem):
    archive = tmp_path / "x.zip"
    archive.write_bytes(zipped(("a", bytes(1000)), ("b", bytes(1000))))
    with pytest.raises(AvalaDownloadError, match=problem):
        unpack(archive, tmp_path / "folder", limits)

    assert leftovers(tmp_path) == ["x.zip"]


def test_members_that_overlap_are_refused(tmp_path):
    """Many members that share their bytes: small as it is, such a zip unpacks to any length."""
    content = os.urandom(10_000)
    data = zipped(("a", content), compression=zipfile.ZIP_STORED)
    listed = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[listed:end]
    directory = b"".join(entry.replace(b"a" + entry[47:], bytes([97 + n]) + entry[47:]) for n in range(5))
    tail = bytearray(data[end:])
    tail[8:10] = tail[10:12] = (5).to_bytes(2, "little")
    tail[12:16] = len(directory).to_bytes(4, "little")
    archive = tmp_path / "x.zip"
    archive.write_bytes(data[:listed] + directory + bytes(tail))
    with pytest.raises(AvalaDownloadError, match="its members overlap"):
        unpack(archive, tmp_path / "folder")


NAMES = st.lists(
    st.text(st.sampled_from("a./\\:C"), min_size=1, max_size=8).filter(lambda name: "\0" not in name),
    max_size=4,
    unique=True,
)


@settings(max_examples=150, deadline=None)
@given(NAMES)
def test_whatever_members_are_called_nothing_gets_out_and_nothing_gets_lost(tmp_path_factory, names):
    around = tmp_path_factory.mktemp("around")
    archive = around / "x.zip"
    archive.write_bytes(zipped(*((name, f"content of {name}") for name in names)))
    try:
        count = unpack(archive, around / "folder")
    except AvalaDownloadError:
        assert leftovers(around) == ["x.zip"]
        return

    assert leftovers(around) == ["folder", "x.zip"]
    found = sorted(files_in(around / "folder").values())
    assert len(found) == count
    assert found == sorted(f"content of {name}".encode() for name in names if name[-1] not in "/\\")


def test_a_folder_that_is_a_file_is_refused_before_anything_is_sent(tmp_path):
    (tmp_path / "labels").write_text("")
    with (
        Server(serve(GOOD)) as server,
        pytest.raises(AvalaConfigurationError, match="is a file; name the folder"),
    ):
        fetch(server, tmp_path / "labels", unpack=True)

    assert server.seen == []


def test_what_a_killed_process_has_unpacked_is_cleared_away(tmp_path):
    left = PartFile(tmp_path / "labels").path.with_suffix(".unpacked")
    left.mkdir()
    (left / "half").write_text("")
    with Server(serve(GOOD)) as server:
        fetch(server, tmp_path / "labels", unpack=True)

    assert leftovers(tmp_path) == ["labels"]
    assert files_in(tmp_path / "labels") == CONTENT
