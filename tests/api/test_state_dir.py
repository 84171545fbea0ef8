"""Where state files live, and who else could have put them there."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.state_dir import StateDir, boot_id, default_directory, file_name


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A system directory for temporary files of our own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


def touch(directory):
    os.close(directory.open("a.ring"))


def test_by_default_each_user_has_a_private_directory(temporary):
    touch(StateDir())
    (directory,) = temporary.iterdir()
    assert directory.name == f"airflow-provider-avala-{os.getuid()}"
    assert mode_of(directory) == 0o700
    assert mode_of(directory / "a.ring") == 0o600


def test_no_umask_makes_the_default_directory_or_its_files_less_private(temporary):
    before = os.umask(0)
    try:
        touch(StateDir())
    finally:
        os.umask(before)
    assert mode_of(default_directory()) == 0o700
    assert mode_of(default_directory() / "a.ring") == 0o600


def test_a_default_directory_of_ours_that_is_open_to_others_is_closed(temporary):
    default_directory().mkdir(mode=0o777)
    default_directory().chmod(0o777)
    touch(StateDir())
    assert mode_of(default_directory()) == 0o700


def test_a_default_directory_that_another_user_has_made_is_not_used(temporary, monkeypatch):
    # From the other side: the directory is this process's, and the user is another one.
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    theirs = default_directory()
    theirs.mkdir(mode=0o700)
    with pytest.raises(PermissionError, match=f"{theirs} belongs to another user"):
        StateDir().open("a.ring")


def test_a_link_in_place_of_the_default_directory_is_not_followed(temporary, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    default_directory().symlink_to(elsewhere)
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        StateDir().open("a.ring")
    assert list(elsewhere.iterdir()) == []


def test_a_configured_directory_is_made_with_its_parents_and_private(tmp_path):
    touch(StateDir(str(tmp_path / "var" / "avala")))
    assert mode_of(tmp_path / "var" / "avala") == 0o700
    assert mode_of(tmp_path / "var" / "avala" / "a.ring") == 0o600


def test_a_group_writable_directory_shares_its_files_with_the_group_whatever_the_umask(tmp_path):
    tmp_path.chmod(0o2770)
    before = os.umask(0o077)
    try:
        touch(StateDir(str(tmp_path)))
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a.ring") == 0o660


def test_a_directory_that_everybody_can_write_to_is_not_used(tmp_path):
    tmp_path.chmod(0o1777)
    with pytest.raises(PermissionError, match=r"can be written by every user; chmod o-w it"):
        StateDir(str(tmp_path)).open("a.ring")


def test_a_configured_directory_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    touch(StateDir(str(tmp_path / "link")))
    assert (tmp_path / "real" / "a.ring").exists()


@pytest.mark.parametrize("path", ["state", "./state", "~/state"])
def test_a_path_that_is_not_absolute_is_refused(path):
    with pytest.raises(AvalaConfigurationError, match=r"^state_dir: .* is not an absolute path"):
        StateDir(path)


def test_file_names_differ_by_what_they_stand_for_and_do_not_tell_it():
    names = {file_name("ring", *parts) for parts in [("a", "b"), ("ab",), ("a", "b", ""), ("b", "a")]}
    assert len(names) == 4
    assert file_name("ring", "secret-key", "../../etc/passwd").count("/") == 0
    assert "secret" not in file_name("ring", "secret-key")
    assert file_name("ring", "a") == file_name("ring", "a")


def test_this_start_of_the_machine_has_an_id():
    assert boot_id() == boot_id()
    assert len(boot_id()) > 20 or not Path("/proc/sys/kernel/random/boot_id").exists()
