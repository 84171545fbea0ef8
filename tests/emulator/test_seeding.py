"""Seeds: what may be planted, how entries name each other, and where a seed is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_ORGANIZATION_ID, running_emulator
from tests.emulator.support import eventually

SEED = {
    "organizations": [{"name": "Acme", "slug": "acme"}],
    "datasets": [
        {"name": "Street scenes", "slug": "streets", "rows": [{"key": "a.jpg"}, {"key": "b.jpg"}]},
        {"uid": "ds-night", "name": "Night", "status": "creating", "rows_file": "night.jsonl"},
    ],
    "slices": [{"name": "Both", "slug": "both", "datasets": ["streets", "ds-night"]}],
    "exports": [
        {"name": "done", "projects": ["Cars"], "status": "exported"},
        {"name": "broken", "datasets": ["Night", "Seed dataset"], "status": "failed"},
        {"name": "running", "slices": ["both"], "seconds": 10},
    ],
    "projects": [{"name": "Cars", "status": "pending-approval", "datasets": ["streets"]}],
}

YAML = """\
organizations: [{name: Acme, slug: acme}]
datasets:
  - name: Street scenes
    slug: streets
    rows: [{key: a.jpg}, {key: b.jpg}]
  - {uid: ds-night, name: Night, status: creating, rows_file: night.jsonl}
slices:
  - {name: Both, slug: both, datasets: [streets, ds-night]}
exports:
  - {name: done, projects: [Cars], status: exported}
  - {name: broken, datasets: [Night, Seed dataset], status: failed}
  - {name: running, slices: [both], seconds: 10}
projects:
  - {name: Cars, status: pending-approval, datasets: [streets]}
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "night.jsonl").write_text('{"key": "n1.jpg"}\n\n{"key": "n2.jpg", "taken": 2}\n')
    (tmp_path / "seed.json").write_text(json.dumps(SEED))
    (tmp_path / "seed.yaml").write_text(YAML)
    return tmp_path


def named(rows, name: str):
    [row] = [row for row in rows if row["name"] == name]
    return row


@pytest.mark.parametrize("name", ["seed.json", "seed.yaml"])
def test_a_seed_file_is_planted_with_its_references(start, clock, folder, name):
    avala, client = start(seed=folder / name, clock=clock)
    streets, night = named(avala.datasets, "Street scenes"), named(avala.datasets, "Night")
    cars = named(avala.projects, "Cars")
    assert (streets["item_count"], streets["status"]) == (2, "created")
    assert (night["id"], night["item_count"], night["status"]) == ("ds-night", 2, "creating")
    assert avala.items("ds-night") == [{"key": "n1.jpg"}, {"key": "n2.jpg", "taken": 2}]
    assert (cars["datasets"], cars["status"]) == ([streets["id"]], "pending-approval")
    exports = {name: named(avala.exports, name) for name in ("done", "broken", "running")}
    assert {name: export["status"] for name, export in exports.items()} == {
        "done": "exported",
        "broken": "failed",
        "running": "requested",
    }
    assert exports["done"]["projects"] == [cars["id"]]
    assert exports["done"]["total_task_count"] == 2
    assert exports["broken"]["datasets"] == ["ds-night", SEED_DATASET_ID]
    assert exports["running"]["total_task_count"] == 4, "a slice's rows count whatever the order in the file"
    avala.advance(10)
    assert named(avala.exports, "running")["status"] == "exported"
    assert client.get(f"/projects/{cars['id']}/approve/").status_code == 405
    assert client.post(f"/projects/{cars['id']}/approve/").json()["status"] == "active"
    slugs = [row["slug"] for row in client.get("/organizations/").json()["results"]]
    assert sorted(slugs) == ["acme", "emulator"]


def test_parts_name_their_parents(start):
    avala, client = start(
        seed={
            "quality_targets": [{"project": "Cars", "name": "Q", "metric": "m", "threshold": 0.5}],
            "projects": [{"name": "Cars"}],
            "tasks": [{"name": "box", "status": "completed", "project": "Cars"}],
            "sequences": [{"dataset": "lidar", "key": "drive", "frames": [{"key": "f"}]}],
            "datasets": [{"name": "L", "slug": "lidar", "data_type": "lidar"}],
            "members": [{"organization": "Emulator", "username": "ada", "role": "admin"}],
            "webhooks": [{"target_url": "http://127.0.0.1:1/", "events": ["export.failed"]}],
            "slices": [{"name": "All of it", "datasets": ["lidar"], "organization": "emulator"}],
        }
    )
    [cars] = [project["id"] for project in avala.projects if project["name"] == "Cars"]

    def listed(path):
        return client.get(path).json()["results"]

    [target] = listed(f"/projects/{cars}/quality-targets/")
    assert (target["name"], target["operator"], target["is_active"]) == ("Q", "gte", True)
    assert [task["status"] for task in listed(f"/tasks/?project={cars}")] == ["completed"]
    assert [row["number_of_frames"] for row in listed("/datasets/emulator/lidar/sequences/")] == [1]
    assert listed("/organizations/emulator/members/?role=admin")[0]["username"] == "ada"
    assert [row["name"] for row in listed("/slices/emulator/list/")] == ["All of it", "Seed slice"]
    avala.fail_export(avala.add_export())
    eventually(lambda: listed("/webhook-deliveries/")[0]["attempts"] == 1)


def test_a_reset_goes_back_to_the_seed(start, folder):
    avala, _ = start(seed=folder / "seed.yaml")
    before = [row["id"] for row in avala.datasets]
    avala.add_dataset("Another")
    avala.reset()
    assert [row["id"] for row in avala.datasets] == before
    assert named(avala.exports, "done")["status"] == "exported"


def test_the_ids_of_a_seed_are_the_same_in_every_run(start):
    ids = [start(seed=SEED_WITHOUT_FILES)[0].datasets[-1]["id"] for _ in range(2)]
    assert ids[0] == ids[1]


SEED_WITHOUT_FILES = {"datasets": [{"name": "Only"}]}


def test_in_yaml_a_date_stays_text(start, tmp_path):
    (tmp_path / "seed.yml").write_text("datasets: [{name: D, slug: d, rows: [{taken: 2026-01-02}]}]")
    avala, _ = start(seed=tmp_path / "seed.yml")
    assert avala.items(avala.datasets[-1]["id"]) == [{"taken": "2026-01-02"}]


def test_an_empty_file_plants_nothing(start, tmp_path):
    (tmp_path / "seed.yaml").write_text("# nothing yet\n")
    avala, _ = start(seed=tmp_path / "seed.yaml")
    assert [row["id"] for row in avala.datasets] == [SEED_DATASET_ID]


@pytest.mark.parametrize(
    ("seed", "problem"),
    [
        ({"dataset": []}, "seed: 'dataset' is no resource; there are datasets, "),
        ({"datasets": {}}, "seed: datasets: must be a list of entries"),
        ({"datasets": ["x"]}, "seed: datasets[0]: must be an object with fields"),
        ({"datasets": [{}, {"name": 7}]}, "seed: datasets[1].name: Not a valid string."),
        (
            {"datasets": [{"_pinned": "x"}]},
            "seed: datasets[0]: unknown field '_pinned'; there are annotations_count, ",
        ),
        ({"datasets": [{"status": "done"}]}, 'seed: datasets[0].status: "done" is not a valid choice.'),
        ({"datasets": [{"data_type": "tape"}]}, 'seed: datasets[0].data_type: "tape" is not a valid choice.'),
        ({"datasets": [{"rows": "a"}]}, "seed: datasets[0].rows: must be a list of objects"),
        ({"datasets": [{"rows": [{}, 1]}]}, "seed: datasets[0].rows[1]: must be an object"),
        ({"datasets": [{"rows_file": "gone.jsonl"}]}, "seed: datasets[0].rows_file: cannot read gone.jsonl"),
        ({"datasets": [{"uid": ""}]}, "seed: datasets[0].uid: must be text, and not empty"),
        ({"datasets": [{"uid": "a"}, {"uid": "a"}]}, "seed: datasets[1].uid: 'a' is taken"),
        ({"datasets": [{"uid": SEED_DATASET_ID}]}, f"seed: datasets[0].uid: '{SEED_DATASET_ID}' is taken"),
        ({"organizations": [{"name": "O", "uid": SEED_ORGANIZATION_ID}]}, "seed: organizations[0].uid: "),
        ({"datasets": [{"uid": 7}]}, "seed: datasets[0].uid: must be text, and not empty"),
        ({"projects": [{"dataset": []}]}, "seed: projects[0]: unknown field 'dataset'; there are datasets, "),
        ({"quality_targets": [{"name": "Q"}]}, "seed: quality_targets[0].project: This field is required."),
        (
            {"webhooks": [{"events": ["export.failed"]}]},
            "seed: webhooks[0].target_url: This field is required.",
        ),
        (
            {"tasks": [{"status": "pending", "project": "lost"}]},
            "seed: tasks[0].project: there is no project 'lost'",
        ),
        ({"exports": [{"status": "done"}]}, 'seed: exports[0].status: "done" is not a valid choice.'),
        (
            {"projects": [{"name": "P", "datasets": ["Seed dataset", "lost"]}]},
            "seed: projects[0].datasets[1]: there is no dataset 'lost'; there are 0a7a1a00-",
        ),
        (
            {"projects": [{"datasets": "Seed dataset"}]},
            "seed: projects[0].datasets: Not a valid list of items.",
        ),
        (
            {
                "datasets": [{"name": "D", "slug": "a"}, {"name": "D", "slug": "b"}],
                "exports": [{"datasets": ["D"]}],
            },
            "seed: exports[0].datasets[0]: 'D' is the name of 2 datasets; say which by uid or slug",
        ),
    ],
)
def test_a_wrong_seed_is_refused_with_its_place(seed, problem):
    with pytest.raises(ValueError) as caught, running_emulator(seed=seed):  # noqa: PT011
        pass
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("seed.json", '{"datasets": [\n{"name": }]}', "seed.json:2: not valid JSON: Expecting value"),
        ("seed.json", '{"datasets": [], "datasets": []}', "seed.json: the key 'datasets' is there twice"),
        ("seed.json", "[]", "seed.json: must map resources to lists"),
        ("seed.yaml", "datasets:\n  - name: [", "seed.yaml:2: not valid YAML: "),
        (
            "seed.yaml",
            "datasets: []\ndatasets: []\n",
            "seed.yaml:2: not valid YAML: the key 'datasets' is there",
        ),
        ("seed.yaml", "datasets: [{name: !!python/name:os.system x}]", "seed.yaml:1: not valid YAML: "),
        (
            "seed.yaml",
            "datasets: [{name: D, rows_file: rows.jsonl}]",
            "seed.yaml: datasets[0].rows_file: rows.jsonl:2",
        ),
        ("other.yaml", "", "{folder}/seed.yaml: cannot read the seed file: No such file"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong_with_the_file(tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    (tmp_path / "rows.jsonl").write_text("{}\n[]\n")
    seed = tmp_path / ("seed.json" if name == "seed.json" else "seed.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_avala.emulator", "--port", "0", "--seed", str(seed)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"avala emulator: {problem.format(folder=tmp_path)}")
    assert done.stderr.count("\n") == 1
