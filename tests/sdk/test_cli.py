"""The SDK's command line against the emulator."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from avala.cli import main

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_OWNER, SEED_PROJECT_ID
from tests.sdk.cli_shell import commands_of
from tests.sdk.facade import covers
from tests.sdk.receiver import receiving
from tests.sdk.samples import FRAMES
from tests.sdk.test_coverage import covered

PROGRAM = shutil.which("avala", path=str(Path(sys.executable).parent))
NOT_RUN = {
    "lerobot": "needs packages of its own that write files here; sends nothing",
    "import lerobot": "needs packages of its own to read its source; uploads as `import folder` does",
    "import rosbag": "needs packages of its own to read its source; uploads as `import folder` does",
}


def test_every_command_is_run_by_a_test():
    commands = commands_of(main)
    left_out = {name for name in commands for start in NOT_RUN if f"{name} ".startswith(f"{start} ")}
    assert not commands - left_out - covered({"cli"}), "no test runs these"
    assert not covered({"cli"}) - commands, "there are no such commands"


def test_an_export_is_created_and_waited_for_by_processes_of_their_own(control, environment):
    def avala(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=120
        )

    listed = avala("-o", "json", "datasets", "list")
    assert [row["uid"] for row in json.loads(listed.stdout)] == [SEED_DATASET_ID]
    created = avala("exports", "create", "--project", SEED_PROJECT_ID)
    assert (created.returncode, created.stderr) == (0, "")
    uid = created.stdout.removeprefix("Export created: ").split()[0]
    waited = avala("-o", "json", "exports", "wait", uid, "--interval", "0.5")
    assert waited.returncode == 0
    assert (json.loads(waited.stdout)["uid"], json.loads(waited.stdout)["status"]) == (uid, "exported")


@covers("exports create", "exports get", "exports list", "exports wait")
def test_exports(cli, control):
    created = cli.done("exports", "create", "--dataset", SEED_DATASET_ID).out
    uid = created.removeprefix("Export created: ").split()[0]
    assert created == f"Export created: {uid} (status: requested)\n"
    control.turn(advance=1)
    done = cli.json("exports", "wait", uid)
    assert (done["status"], done["download_url"].startswith("http://127.0.0.1")) == ("exported", True)
    assert cli.json("exports", "get", uid)["status"] == "exported"
    assert [row["uid"] for row in cli.json("exports", "list", "--limit", "5")] == [uid]
    assert uid in cli.done("exports", "list").out
    control.turn(export_seconds=1000)
    waiting = cli.done("exports", "create", "--project", SEED_PROJECT_ID).out.split()[2]
    stopped = cli.run("exports", "wait", waiting, "--timeout", "0")
    assert (stopped.code, "did not complete within 0.0s" in stopped.err) == (1, True)


@covers(
    "datasets create",
    "datasets get",
    "datasets get-calibration",
    "datasets get-frame",
    "datasets get-sequence",
    "datasets health",
    "datasets list",
    "datasets transfer",
    "datasets wait",
)
def test_datasets(cli, control):
    cli.done(
        *(
            "datasets",
            "create",
            "--name",
            "Lidar",
            "--slug",
            "l",
            "--data-type",
            "lidar",
            "--visibility",
            "public",
        )
    )
    [uid] = [row["uid"] for row in cli.json("datasets", "list", "--name", "lidar")]
    assert cli.json("datasets", "wait", uid, "--quiet")["status"] == "created"
    assert cli.json("datasets", "get", uid)["name"] == "Lidar"
    assert [row["uid"] for row in cli.json("datasets", "list", "--data-type", "lidar")] == [uid]
    [sequence] = control.plant(sequences=[{"dataset": "l", "key": "drive", "frames": FRAMES}])["sequences"]
    assert "drive" in cli.done("datasets", "get-sequence", SEED_OWNER, "l", sequence).out
    assert "frame-2" in cli.done("datasets", "get-frame", SEED_OWNER, "l", sequence, "2").out
    assert "1000.5" in cli.done("datasets", "get-calibration", SEED_OWNER, "l", sequence).out
    assert "lidar" in cli.done("datasets", "health", SEED_OWNER, "l").out
    [acme] = control.plant(organizations=[{"name": "Acme", "slug": "acme"}])["organizations"]
    assert (
        cli.json("datasets", "transfer", SEED_OWNER, "l", "--organization-uid", acme)["owner_name"] == "acme"
    )


@covers("datasets upload", "import cloud", "import folder", "import list")
def test_folders_and_buckets_become_datasets(cli, control, tmp_path):
    control.turn(settings={"upload_mode": "complete"})
    try:
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / name).write_bytes(b"\xff\xd8")
        named = ("--source", str(tmp_path), "--data-type", "image", "--wait")
        uploaded = cli.json("datasets", "upload", *named, "--name", "Uploaded", "--slug", "uploaded")
        assert (uploaded["status"], uploaded["item_count"]) == ("created", "2")
        cli.done("import", "folder", *named, "--name", "Imported", "--slug", "imported")
        bucket = (
            "--region",
            "eu-west-1",
            "--access-key-id",
            "AKIA",
            "--secret-access-key",
            "hidden",
            "--wait",
        )
        cloud = ("--name", "Cloud", "--slug", "cloud", "--data-type", "image", *bucket)
        assert "hidden" not in cli.done("import", "cloud", "s3://bucket/prefix", *cloud).out
        counts = {row["name"]: int(row["item_count"]) for row in cli.json("datasets", "list")}
        assert counts["Imported"] == 2
        assert counts["Cloud"] >= 1
        assert "rosbag" in cli.done("import", "list").out
    finally:
        control.turn(settings={"upload_mode": "put"})


@covers(
    "consensus compute", "consensus config", "consensus scores", "consensus summary", "projects get", "projects list",
    "quality-targets create", "quality-targets delete", "quality-targets evaluate", "quality-targets get",
    "quality-targets list", "tasks get", "tasks list",
)  # fmt: skip
def test_projects_and_what_belongs_to_them(cli, control):
    project = ("--project", SEED_PROJECT_ID)
    assert [row["uid"] for row in cli.json("projects", "list")] == [SEED_PROJECT_ID]
    assert cli.json("projects", "get", SEED_PROJECT_ID)["name"] == "Seed project"
    [task] = control.plant(tasks=[{"name": "box", "status": "pending", "project": "Seed project"}])["tasks"]
    assert [row["uid"] for row in cli.json("tasks", "list")] == [task]
    assert cli.json("tasks", "get", task)["status"] == "pending"
    cli.done("quality-targets", "create", *project, "--name", "Q", "--metric", "m", "--threshold", "0.9")
    [target] = cli.json("quality-targets", "list", *project)
    assert target["name"] == "Q"
    assert "Q" in cli.done("quality-targets", "get", *project, target["uid"]).out
    assert "Q" in cli.done("quality-targets", "evaluate", *project).out
    cli.done("quality-targets", "delete", *project, target["uid"], "--yes")
    assert cli.run("quality-targets", "get", *project, target["uid"]).code == 1
    control.plant(datasets=[{"name": "D", "slug": "d", "rows": [{"key": "a"}]}])
    cli.done("consensus", "compute", *project)
    assert "0.8" in cli.done("consensus", "config", *project, "--iou-threshold", "0.8").out
    cli.done("consensus", "scores", *project)
    cli.done("consensus", "summary", *project)


@covers("auto-label cancel", "auto-label create", "auto-label get", "auto-label list")
def test_auto_label_jobs(cli):
    cli.done("auto-label", "create", "--project", SEED_PROJECT_ID, "--labels", "car,bus")
    [job] = cli.json("auto-label", "list")
    assert "sam3" not in cli.done("auto-label", "get", job["uid"]).out
    cli.done("auto-label", "cancel", job["uid"], "--yes")


@covers(
    "webhooks create",
    "webhooks delete",
    "webhooks deliveries",
    "webhooks get",
    "webhooks list",
    "webhooks test",
)
def test_webhooks(cli, control):
    with receiving() as receiver:
        cli.done(
            "webhooks", "create", "--target-url", receiver.url, "--events", "export.completed,export.failed"
        )
        [hook] = cli.json("webhooks", "list")
        assert receiver.url in cli.done("webhooks", "get", hook["uid"]).out
        cli.done("webhooks", "test", hook["uid"])
        assert len(receiver.messages) == 1
    cli.done("webhooks", "deliveries")
    cli.done("webhooks", "delete", hook["uid"], "--yes")
    assert cli.json("webhooks", "list") == []


@covers("agents create", "agents delete", "agents executions", "agents get", "agents list", "agents test")
def test_agents(cli):
    with receiving() as receiver:
        cli.done(
            "agents",
            "create",
            "--name",
            "Checker",
            "--callback-url",
            receiver.url,
            "--events",
            "task.completed",
        )
        [agent] = cli.json("agents", "list")
        assert "Checker" in cli.done("agents", "get", agent["uid"]).out
        cli.done("agents", "test", agent["uid"])
        assert len(receiver.messages) == 1
    assert cli.json("agents", "executions", agent["uid"]) == []
    cli.done("agents", "delete", agent["uid"], "--yes")
    assert cli.run("agents", "get", agent["uid"]).code == 1


@covers(
    "inference-providers create", "inference-providers delete", "inference-providers get", "inference-providers list",
    "inference-providers test", "storage-configs create", "storage-configs delete", "storage-configs get",
    "storage-configs list", "storage-configs test",
)  # fmt: skip
def test_what_is_registered_from_outside(cli):
    config = json.dumps({"url": "https://models.example.com", "token": "hidden"})
    cli.done(
        "inference-providers", "create", "--name", "Model", "--provider-type", "http", "--config", config
    )
    [provider] = cli.json("inference-providers", "list")
    assert "hidden" not in cli.done("inference-providers", "get", provider["uid"]).out
    cli.done("inference-providers", "test", provider["uid"])
    cli.done("inference-providers", "delete", provider["uid"], "--yes")
    cli.done(
        *("storage-configs", "create", "--name", "Bucket", "--provider", "aws_s3", "--s3-bucket-name", "b"),
        *(
            "--s3-bucket-region",
            "eu-west-1",
            "--s3-access-key-id",
            "AKIA",
            "--s3-secret-access-key",
            "hidden",
        ),
    )
    [bucket] = cli.json("storage-configs", "list")
    assert "Bucket" in cli.done("storage-configs", "get", bucket["uid"]).out
    cli.done("storage-configs", "test", bucket["uid"])
    cli.done("storage-configs", "delete", bucket["uid"], "--yes")
    assert cli.json("storage-configs", "list") == []


@covers("annotations bulk-edit")
def test_bulk_editions(cli, control, tmp_path):
    [sequence] = control.plant(
        datasets=[{"name": "L", "slug": "l", "data_type": "lidar"}], sequences=[{"dataset": "l", "key": "s"}]
    )["sequences"]
    edit = {"action": "upsert", "object_type": "cuboid 3d", "sequence_uid": sequence, "object_data": {"x": 1}}
    edits = tmp_path / "edits.jsonl"
    edits.write_text("".join(json.dumps({**edit, "object_uuid": f"o{number}"}) + "\n" for number in range(3)))
    options = ("--owner", SEED_OWNER, "--slug", "l", "--input", str(edits), "--chunk-size", "2")
    done = cli.done("annotations", "bulk-edit", *options)
    assert "3 edits posted across 2 chunk(s)" in done.err
    sent = control.requests("POST", f"/datasets/{SEED_OWNER}/l/bulk-edition/")
    assert [len(request["json"]) for request in sent] == [2, 1]


@covers("configure", "shell-completion", "status")
def test_setting_up(cli, emulator):
    status = cli.json("status")
    assert status["organizations"] == [{"name": "Emulator", "slug": SEED_OWNER, "members": 1}]
    assert status["projects"]["latest"][0]["uid"] == SEED_PROJECT_ID
    configured = cli.run("configure", typed=f"{emulator['api_key']}\n{emulator['base_url']}\n")
    assert (configured.code, "Organization: Emulator" in configured.out) == (0, True)
    assert emulator["api_key"] not in configured.out
    assert "_AVALA_COMPLETE" in cli.done("shell-completion", "bash").out


@covers("view")
def test_a_local_file_is_shown_to_the_viewer_only(cli, environment, tmp_path):
    file = tmp_path / "drive.mcap"
    file.write_bytes(b"\x89MCAP0\r\n and more")
    command = [PROGRAM, "view", str(file), "--no-browser", "--viewer-url", "http://127.0.0.1:9"]
    with subprocess.Popen(
        command, env={**environment, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    ) as viewer:
        link = viewer.stdout.readline() + viewer.stdout.readline()
        [address] = parse_qs(urlsplit(link.split()[-1]).query)["url"]
        assert requests.get(address, headers={"Range": "bytes=1-4"}, timeout=10).content == b"MCAP"
        viewer.kill()
    file.write_bytes(b"something else")
    refused = cli.run("view", str(file))
    assert (refused.code, "does not look like an MCAP file" in refused.err) == (1, True)


def test_a_wrong_key_is_explained(cli):
    refused = cli.run("--api-key", "avk_wrong", "datasets", "list")
    assert refused.code == 1
    assert "Invalid API key." in refused.err
