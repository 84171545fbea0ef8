"""Downloads from a real server that breaks off, changes its mind, redirects and lies."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_avala.api.downloads import DownloadSummary, download
from airflow_provider_avala.api.errors import (
    AvalaConnectionError,
    AvalaDownloadError,
    is_fatal,
)
from airflow_provider_avala.api.partfile import PartFile
from tests.api.export_server import DATA, ROOT, fetch, in_turn, leftovers, serve
from tests.api.loopback import Clock, Server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "export.bin"


def test_a_file_arrives_whole_and_nothing_else_is_left(target):
    with Server(serve()) as server:
        summary = fetch(server, target)

    assert summary == DownloadSummary(str(target), bytes=len(DATA), resumed=0)
    assert target.read_bytes() == DATA
    assert leftovers(target.parent) == ["export.bin"]
    (seen,) = server.seen
    assert seen.headers["Accept-Encoding"] == "identity"
    assert "Range" not in seen.headers


def test_folders_are_made_and_an_old_file_is_replaced(tmp_path):
    target = tmp_path / "a" / "b" / "export.bin"
    with Server(serve()) as server:
        fetch(server, target)
        target.write_bytes(b"old")
        fetch(server, target)

    assert target.read_bytes() == DATA


@pytest.mark.parametrize("data", [b"", b"x"])
def test_small_files(target, data):
    with Server(serve(data)) as server:
        assert fetch(server, target).bytes == len(data)

    assert target.read_bytes() == data


def test_chunked_answers(target):
    def respond(exchange, seen, number):
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (DATA[:5], DATA[5:]))
        broken = number == 1
        exchange.reply(
            200,
            chunks + (b"" if broken else b"0\r\n\r\n"),
            cut=len(chunks) - 100 if broken else None,
            Content_Length=None,
            Transfer_Encoding="chunked",
        )

    with Server(respond) as server:
        fetch(server, target)

    assert target.read_bytes() == DATA
    assert len(server.seen) == 2


def test_after_cuts_only_the_rest_is_asked_for(target):
    with Server(serve(cuts=[300_000, 1, 299_999])) as server:
        summary = fetch(server, target)

    assert target.read_bytes() == DATA
    assert summary.resumed == 3
    assert [seen.headers.get("Range") for seen in server.seen] == [
        None,
        "bytes=300000-",
        "bytes=300001-",
        "bytes=600000-",
    ]
    assert {seen.headers.get("If-Range") for seen in server.seen[1:]} == {'"v1"'}


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=2000).map(b"#".__add__), st.lists(st.integers(0, 2000), max_size=5), st.booleans())
def test_cuts_anywhere_give_the_same_bytes(tmp_path_factory, data, cuts, strong):
    target = tmp_path_factory.mktemp("cuts") / "export.bin"
    with Server(serve(data, '"v1"' if strong else 'W/"v1"', cuts)) as server:
        fetch(server, target)

    assert target.read_bytes() == data


@pytest.mark.parametrize("etag", ['W/"v1"', None])
def test_without_a_strong_etag_it_starts_over(target, etag):
    with Server(serve(etag=etag, cuts=[500_000])) as server:
        summary = fetch(server, target)

    assert target.read_bytes() == DATA
    assert summary.resumed == 0
    assert [seen.headers.get("Range") for seen in server.seen] == [None, None]


OTHER = DATA[::-1][:700_000]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        pytest.param(serve(OTHER, '"v2"'), OTHER, id="another content"),
        pytest.param(
            lambda exchange, seen, number: exchange.reply(200, DATA, ETag='"v1"'), DATA, id="range ignored"
        ),
        pytest.param(
            lambda exchange, seen, number: (
                exchange.reply(206, OTHER[300_000:], ETag='"v2"', Content_Range="bytes 300000-699999/700000")
                if seen.headers.get("Range")
                else exchange.reply(200, OTHER, ETag='"v2"')
            ),
            OTHER,
            id="another content although If-Range forbids",
        ),
        pytest.param(
            lambda exchange, seen, number: (
                exchange.reply(206, DATA, ETag='"v1"', Content_Range="bytes 0-899999/900000")
                if seen.headers.get("Range")
                else exchange.reply(200, DATA)
            ),
            DATA,
            id="another range",
        ),
        pytest.param(
            lambda exchange, seen, number: exchange.reply(416 if seen.headers.get("Range") else 200, DATA),
            DATA,
            id="range refused",
        ),
    ],
)
def test_whatever_the_server_does_with_a_range_the_file_is_of_one_piece(target, second, expected):
    with Server(in_turn(serve(cuts=[300_000]), second)) as server:
        fetch(server, target)

    assert target.read_bytes() == expected


def test_a_server_may_send_the_rest_in_pieces(target):
    def piece(exchange, seen, number):
        first = int(seen.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        last = min(first + 99_999, len(DATA) - 1)
        span = f"bytes {first}-{last}/{len(DATA)}"
        exchange.reply(206, DATA[first : last + 1], ETag='"v1"', Content_Range=span)

    with Server(in_turn(serve(cuts=[500_000]), piece)) as server:
        assert fetch(server, target).resumed == 4

    assert target.read_bytes() == DATA


def test_a_task_goes_on_where_the_one_before_it_was_cut_off(target):
    with Server(in_turn(serve(cuts=[600_000]), lambda exchange, seen, number: exchange.reset())) as server:
        with pytest.raises(AvalaDownloadError, match=r"600000 of 900000 bytes are in .*goes on from there"):
            fetch(server, target, export_id="exp_1")
        assert not target.exists()
        server.respond = serve()
        before = len(server.seen)
        summary = fetch(server, target, export_id="exp_1")

    assert server.seen[before].headers["Range"] == "bytes=600000-"
    assert summary.resumed == 1
    assert target.read_bytes() == DATA
    assert leftovers(target.parent) == ["export.bin"]


def test_a_task_that_ended_before_the_check_is_not_repeated(target):
    with PartFile(target) as part:
        part.restart('"v1"', len(DATA))
        part.append(DATA)
    with Server(serve()) as server:
        fetch(server, target)

    assert [seen.headers["Range"] for seen in server.seen] == ["bytes=899999-"]
    assert target.read_bytes() == DATA


def test_a_part_longer_than_the_file_starts_over(target):
    with PartFile(target) as part:
        part.restart('"v1"', len(DATA))
        part.append(DATA + b"more")
    with Server(serve()) as server:
        fetch(server, target)

    assert target.read_bytes() == DATA


def test_two_exports_to_one_target_do_not_share_what_arrived(target):
    with Server(in_turn(serve(cuts=[600_000]), lambda exchange, seen, number: exchange.reset())) as server:
        with pytest.raises(AvalaDownloadError):
            fetch(server, target, export_id="exp_1")
        server.respond = serve(OTHER)
        before = len(server.seen)
        fetch(server, target, export_id="exp_2")

    assert "Range" not in server.seen[before].headers
    assert target.read_bytes() == OTHER


@pytest.mark.parametrize("note", ["", "[]", "{", '{"etag": 5, "total": 1}', '{"etag": "\\"v1\\""}'])
def test_a_damaged_note_starts_over(target, note):
    part = PartFile(target)
    part.path.write_bytes(b"something else")
    part.path.with_name(part.path.name + ".json").write_text(note)
    with Server(serve()) as server:
        fetch(server, target)

    assert "Range" not in server.seen[0].headers
    assert target.read_bytes() == DATA


def test_a_part_file_that_another_process_writes_is_left_alone(target):
    with Server(serve()) as server, PartFile(target) as part:
        part.append(b"theirs")
        with pytest.raises(AvalaDownloadError, match="another process is downloading"):
            fetch(server, target)
        assert part.path.read_bytes() == b"theirs"

    assert server.seen == []


def test_a_part_file_published_while_waiting_for_it_is_not_written(target):
    with PartFile(target) as first:
        first.append(b"first")
        first.publish()
        with PartFile(target) as second:
            second.append(b"second")

    assert target.read_bytes() == b"first"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_troubles_of_the_server_are_waited_out(target, status):
    clock = Clock()
    with Server(
        in_turn(lambda exchange, seen, number: exchange.reply(status, Retry_After="7"), serve())
    ) as server:
        fetch(server, target, clock=clock)

    assert clock.sleeps == [8.0]
    assert target.read_bytes() == DATA


def test_patience_ends(target):
    clock = Clock()
    with (
        Server(lambda exchange, seen, number: exchange.reply(503)) as server,
        pytest.raises(AvalaDownloadError, match="answered 503") as caught,
    ):
        fetch(server, target, clock=clock, max_retry_seconds=20)

    assert clock.sleeps == [1, 2, 4, 8]
    assert not is_fatal(caught.value)


def test_progress_renews_patience(target):
    clock = Clock()
    data = DATA[:2000]
    with Server(serve(data, cuts=[10] * 199)) as server:
        fetch(server, target, clock=clock, max_retry_seconds=2)

    assert target.read_bytes() == data
    assert sum(clock.sleeps) == 199


def test_a_connection_that_cannot_help_is_not_tried_again(target):
    def refuse(url, headers):
        raise AvalaConnectionError("the certificate is not trusted", sent=False, transient=False)

    clock = Clock()
    with pytest.raises(AvalaDownloadError, match="not trusted"):
        download(refuse, lambda: "https://host/x", target, clock=clock)

    assert clock.sleeps == []


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"Content_Encoding": "gzip"}, "encoded the file"),
        ({"Content_Type": "text/html"}, "a page"),
    ],
)
def test_a_page_does_not_wipe_out_what_has_arrived(target, headers, problem):
    page = in_turn(
        serve(cuts=[600_000]), lambda exchange, seen, number: exchange.reply(200, b"<html>", **headers)
    )
    with Server(page) as server, pytest.raises(AvalaDownloadError, match=problem):
        fetch(server, target)

    assert PartFile(target).path.stat().st_size == 600_000


def test_a_killed_process_leaves_a_part_that_is_resumed(target):
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from airflow_provider_avala.api.downloads import download
        from tests.api.loopback import get
        download(get, lambda: sys.argv[1], Path(sys.argv[2]), export_id="exp_1")
    """)
    stuck, release = threading.Event(), threading.Event()

    def half(exchange, seen, number):
        exchange.send_response(200)
        exchange.send_header("ETag", '"v1"')
        exchange.send_header("Content-Length", str(len(DATA)))
        exchange.end_headers()
        exchange.wfile.write(DATA[:400_000])
        stuck.set()
        release.wait(30)

    with Server(half) as server:
        process = subprocess.Popen([sys.executable, "-c", script, server.url, str(target)], cwd=ROOT)
        try:
            assert stuck.wait(30)
            part = PartFile(target, "exp_1").path
            note = part.with_name(part.name + ".json")
            poll = threading.Event()
            for _ in range(1000):
                if note.exists() and note.read_text() and part.stat().st_size == 400_000:
                    break
                poll.wait(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        finally:
            process.kill()
            release.set()
        server.respond = serve()
        summary = fetch(server, target, export_id="exp_1")

    assert summary.resumed == 1
    assert server.seen[-1].headers["Range"] == "bytes=400000-"
    assert target.read_bytes() == DATA
