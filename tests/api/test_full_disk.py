"""Downloads to a disk that is really too small: a tmpfs in a mount namespace of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from airflow_provider_avala.api.partfile import PartFile
from tests.api.export_server import DATA, ROOT, in_turn, leftovers, serve
from tests.api.loopback import Server
from tests.api.test_unpacking import zipped

#: Mounts, runs the first program, makes room, runs the second one.
MOUNT = """
set -e
mount -t tmpfs -o size=$2 tmpfs "$1"
"$3" "$4" first "$5" "$1" "$6"
mount -o remount,size=50m "$1"
"$3" "$4" second "$5" "$1" "$6"
"""
PROGRAM = textwrap.dedent("""
    import json, sys
    from pathlib import Path
    from airflow_provider_avala.api.downloads import download
    from airflow_provider_avala.api.errors import AvalaDownloadError, is_fatal
    from tests.api.loopback import get

    when, url, folder, unpack = sys.argv[1:]
    target = Path(folder) / "export"
    try:
        summary = download(get, lambda: url, target, unpack=unpack == "yes")
        files = [target] if target.is_file() else [path for path in target.rglob("*") if path.is_file()]
        print(json.dumps({"resumed": summary.resumed, "bytes": sum(path.stat().st_size for path in files)}))
    except AvalaDownloadError as error:
        assert not is_fatal(error)
        print(json.dumps({"error": str(error), "left": sorted(path.name for path in Path(folder).iterdir())}))
""")
#: Root may mount as it is; others in a user namespace.
NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def on_a_disk_of(size, folder, url, *, unpack=False):
    program = folder / "program.py"
    program.write_text(PROGRAM)
    disk = folder / "disk"
    disk.mkdir()
    done = subprocess.run(
        [
            *NAMESPACE,
            "sh",
            "-c",
            MOUNT,
            "sh",
            disk,
            size,
            sys.executable,
            program,
            url,
            "yes" if unpack else "no",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert done.returncode == 0, done.stderr
    assert leftovers(disk) == []
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_disk_that_fills_up_leaves_a_part_that_the_next_run_resumes(tmp_path):
    with Server(serve()) as server:
        first, second = on_a_disk_of("512k", tmp_path, server.url + "/export.bin")

    part = PartFile(tmp_path / "disk" / "export").path
    kept = int(server.seen[1].headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 300_000 < kept < 524_288
    assert f"cannot write {part}: No space left on device" in first["error"]
    assert f"{len(DATA) - kept} more bytes are needed, 0 bytes are free there" in first["error"]
    assert f"{kept} of {len(DATA)} bytes were written to {part} and are kept; free space" in first["error"]
    assert first["left"] == [part.name, f"{part.name}.json"]
    assert second == {"resumed": 1, "bytes": len(DATA)}


def test_a_disk_that_fills_up_while_unpacking_keeps_the_zip(tmp_path):
    data = zipped(("a.json", b"[]"), ("zeros", b"0123456789" * 400_000), ("random", os.urandom(100_000)))
    with Server(serve(data)) as server:
        first, second = on_a_disk_of("1m", tmp_path, server.url + "/export.zip", unpack=True)

    part = PartFile(tmp_path / "disk" / "export").path
    assert "No space left on device (unpacked, the zip has 4100002 bytes); " in first["error"]
    assert f"{len(data)} of {len(data)} bytes were written to {part} and are kept" in first["error"]
    assert first["left"] == [part.name, f"{part.name}.json"]
    assert server.seen[1].headers["Range"] == f"bytes={len(data) - 1}-"
    assert second == {"resumed": 1, "bytes": 4_100_002}


@pytest.mark.parametrize("size", ["4k", "8k"])
def test_a_disk_without_any_room_is_told(tmp_path, size):
    with Server(in_turn(serve())) as server:
        first, second = on_a_disk_of(size, tmp_path, server.url + "/export.bin")

    assert "No space left on device" in first["error"]
    assert second["bytes"] == len(DATA)
