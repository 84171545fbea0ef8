"""Which files a source names, and where they go in the dataset."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.managed_files import FileChangedError, find_files

TREE = ("1.jpg", "2.png", "a/1.jpg", "a/b/3.jpg", "a/.hidden", "c/notes.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def destinations(source) -> list[str]:
    return [file.destination for file in find_files(source)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", sorted(TREE)),
        ("/", sorted(TREE)),
        ("a", [".hidden", "1.jpg", "b/3.jpg"]),
        ("1.jpg", ["1.jpg"]),
        ("a/b/3.jpg", ["3.jpg"]),
        ("*.jpg", ["1.jpg"]),
        ("*/*.jpg", ["a/1.jpg"]),
        ("**/*.jpg", ["1.jpg", "a/1.jpg", "a/b/3.jpg"]),
        ("a/**/*.jpg", ["1.jpg", "b/3.jpg"]),
        ("[12].*", ["1.jpg", "2.png"]),
    ],
)
def test_a_file_s_place_is_its_path_below_the_folder_or_pattern(folder, pattern, expected):
    assert destinations(f"{folder}/{pattern}") == expected


def test_paths_may_be_relative_and_path_objects(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert destinations("*.jpg") == ["1.jpg"]
    assert destinations(Path("a")) == [".hidden", "1.jpg", "b/3.jpg"]
    assert destinations(".") == sorted(TREE)


def test_a_name_with_a_star_in_it_is_a_name_where_it_exists(tmp_path):
    (tmp_path / "what*.jpg").write_text("x")
    (tmp_path / "whatever.jpg").write_text("x")
    assert destinations(str(tmp_path / "what*.jpg")) == ["what*.jpg"]


def test_several_sources_are_put_together(folder):
    assert destinations([folder / "2.png", folder / "a" / "b"]) == ["2.png", "3.jpg"]


def test_two_files_with_one_place_are_refused(folder):
    with pytest.raises(
        AvalaConfigurationError, match=r"source: .*/1.jpg and .*/a/1.jpg would both become '1.jpg'"
    ):
        find_files([folder / "1.jpg", folder / "a"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}/nothing", "No such file"),
        ("{}/*.bmp", "no files in"),
        ("{}/empty", "no files in"),
        ("s3://bucket/a", "ObjectStoragePath"),
        ("", "the path is empty"),
        ([], "the list is empty"),
        (7, "got int"),
        (None, "got NoneType"),
        ("{}/pipe", "pipe or a device"),
        ("{}/dangling", "data/dangling/link.jpg: No such file"),
        ("{}/back\\slash.jpg", "rename it"),
        ("{}/line\nfeed.jpg", "rename it"),
    ],
)
def test_what_cannot_be_uploaded_is_named(folder, source, message):
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "dangling").mkdir()
    (folder / "dangling" / "link.jpg").symlink_to(folder / "gone.jpg")
    (folder / "back\\slash.jpg").write_text("x")
    (folder / "line\nfeed.jpg").write_text("x")
    with pytest.raises(AvalaConfigurationError, match=message):
        find_files(source.format(folder) if isinstance(source, str) else source)


def test_what_is_no_file_is_told_once_and_with_its_own_remedy(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(AvalaConfigurationError) as caught:
        find_files(folder)
    assert str(caught.value).startswith(f"source: {folder}/pipe is a pipe")
    assert str(caught.value).endswith("write its content to a file first")


def test_the_bytes_are_read_as_asked_for(folder):
    (folder / "1.jpg").write_bytes(bytes(range(256)) * 10_000)
    (file,) = find_files(folder / "1.jpg")
    assert file.size == 2_560_000
    assert b"".join(file.chunks(0, file.size)) == (folder / "1.jpg").read_bytes()
    assert b"".join(file.chunks(100, 50)) == (folder / "1.jpg").read_bytes()[100:150]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("longer text"),
        lambda path: path.unlink(),
        lambda path: os.utime(path, (1, 1)),
    ],
)
def test_a_file_that_was_changed_is_not_read(folder, change):
    (file,) = find_files(folder / "1.jpg")
    change(folder / "1.jpg")
    with pytest.raises(FileChangedError, match="was changed, shortened or removed"):
        list(file.chunks(0, file.size))
