"""Downloads from a storage where anything may go wrong: byte-equal files, or else a clear error and no file?

Run as ``python -m benchmarks.download_faults --plans 1000``. Each plan is drawn from a seed: bytes or a zip, which
ETag, whether there is a checksum, and what happens to each request. A download that fails is done once more, as
Airflow's retry would, from a storage that has recovered, and must succeed. Prints counts, and fails at the first plan
that ends in any other way, naming its seed.
"""

from __future__ import annotations

import argparse
import io
import random
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

from airflow_provider_avala.api.client import AvalaClient
from airflow_provider_avala.api.errors import AvalaDownloadError
from airflow_provider_avala.api.settings import Settings
from benchmarks.flawed_storage import FAULTS, FlawedStorage, Plan

#: Seconds without a byte after which the client gives an answer up; the storage hangs for longer.
TIMEOUT = 0.25
PATIENCE = 60.0
KEY = "avk_" + "0" * 40


class BrokenPromiseError(Exception):
    """A download ended in a way that it must not."""


class Clock:
    """Time that passes only while somebody sleeps, so that no plan has to be waited for."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def monotonic(self) -> float:
        """The same."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(seed)
    zipped, checksum = rng.random() < 0.5, rng.random() < 0.3
    make = _zip if zipped else lambda rng: rng.randbytes(rng.choice((0, 1, 1000, 70_000, 400_000, 1_500_000)))
    # Nobody can tell that half of some bytes is not all of them, if neither a checksum nor the format says so.
    possible = [fault for fault in FAULTS if fault != "length too small" or checksum or zipped]
    number = rng.choice((0, 1, 2, 3, 5, 8))
    faults = [rng.choice(possible) for _ in range(number)]
    if rng.random() < 0.3:
        faults.insert(0, rng.choice(("truncated", "reset in the body")))
    if rng.random() < 0.1:  # more than anybody is patient for
        faults += [rng.choice(("500", "reset before the answer", "429", "expired URL"))] * 40
    return Plan(
        contents=(make(rng), make(rng)),
        suffix=".zip" if zipped else ".bin",
        etag=rng.choice(("strong", "strong", "strong", "weak", "absent")),
        checksum=checksum,
        faults=faults,
        cut=rng.choice((0.0, rng.random(), rng.random(), 0.999)),
    )


def _zip(rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for number in range(rng.randrange(1, 6)):
            archive.writestr(f"folder/{number}.bin", rng.randbytes(rng.choice((0, 10, 50_000, 200_000))))
    return buffer.getvalue()


def run_plan(server: FlawedStorage, seed: int, folder: Path) -> Counter[str]:
    """Play one plan and count what came of it.

    :param server: the storage.
    :param seed: of the plan.
    :param folder: an empty folder.
    :raises BrokenPromiseError: if the download ended in any way that it must not.
    """
    plan = draw(seed)
    server.play(plan)
    rng = random.Random(-seed - 1)
    unpack = plan.suffix == ".zip" and rng.random() < 0.3
    settings = Settings.parse(
        host=f"{server.url}/api/v1",
        password=KEY,
        extra={
            "timeout": TIMEOUT,
            "max_retry_seconds": PATIENCE,
            "rate_limits": "100000/1",
            "rate_limit_store": "memory",
        },
    )
    client = AvalaClient(settings, clock=Clock(), chance=rng.random)
    target, counted = folder / "target", Counter[str]({"plans": 1})
    counted.update(f"fault: {fault}" for fault in set(plan.faults))
    try:
        try:
            summary = client.download_export("exp_1", target, unpack=unpack)
            counted["whole at once"] += 1
        except AvalaDownloadError as error:
            counted["a clear error, and nothing under the final name"] += 1
            _must(not target.exists(), seed, f"there is a file although the download failed: {error}")
            _must("sig=" not in str(error), seed, f"a signed URL in {error}")
            server.left.clear()
            summary = client.download_export("exp_1", target, unpack=unpack)
            counted["whole after a retry"] += 1
    finally:
        client.close()
    _verify(plan, server, target, seed, unpack=unpack)
    counted["resumed with Range"] += summary.resumed > 0
    counted["unpacked"] += unpack
    return counted


def _verify(plan: Plan, server: FlawedStorage, target: Path, seed: int, *, unpack: bool) -> None:
    allowed = plan.contents[: server.version + 1]
    if unpack:
        files = [path for path in target.rglob("*") if path.is_file()]
        found = {str(path.relative_to(target)): path.read_bytes() for path in files}
        _must(found in [_members(data) for data in allowed], seed, "the files are not those of the zip")
    else:
        _must(target.read_bytes() in allowed, seed, "the file is not what the storage has")
    left = [path.name for path in target.parent.iterdir()]
    _must(left == [target.name], seed, f"{left} are left")


def _must(holds: bool, seed: int, otherwise: str) -> None:
    if not holds:
        raise BrokenPromiseError(f"seed {seed}: {otherwise}")


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def run(plans: int, seed: int = 0) -> Counter[str]:
    """Play so many plans, and count.

    :param plans: how many.
    :param seed: of the first one.
    """
    counted: Counter[str] = Counter()
    with FlawedStorage() as server:
        for number in range(seed, seed + plans):
            with tempfile.TemporaryDirectory(prefix="avala-faults-") as folder:
                counted += run_plan(server, number, Path(folder))
    return counted


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plans", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| what | plans |\n|---|---|")
    for what, number in sorted(
        run(arguments.plans, arguments.seed).items(), key=lambda pair: "fault" in pair[0]
    ):
        print(f"| {what} | {number} |")


if __name__ == "__main__":
    main()
