"""Whose data folder it is, among those of other tasks."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from sidecar import data_folder

if TYPE_CHECKING:
    from pathlib import Path

HOLDS_ONE = """
import sys, time
from pathlib import Path
from sidecar import data_folder
folder = data_folder.own(Path(sys.argv[1]), "task-a", shared=True)
print(folder.path, flush=True)
time.sleep(60)
"""


def test_a_folder_that_is_not_shared_is_used_as_it_is(tmp_path: Path) -> None:
    folder = data_folder.own(tmp_path / "data", "task-a", shared=False)
    assert folder.path == tmp_path / "data"
    folder.release(empty=True)
    assert not (tmp_path / "data").exists()  # neither made nor removed: the Collector makes it


def test_in_a_shared_folder_each_task_has_its_own_as_long_as_it_lives(tmp_path: Path) -> None:
    one, other = (data_folder.own(tmp_path, name, shared=True) for name in ("task-a", "task-b"))
    assert [one.path, other.path] == [tmp_path / "task-a", tmp_path / "task-b"]
    assert list(data_folder.left(tmp_path)) == []
    (one.path / "queue").write_bytes(b"spans")
    one.release(empty=False)
    (found,) = data_folder.left(tmp_path)
    assert (found.path, found.owner) == (tmp_path / "task-a", "task-a")
    found.release(empty=True)
    assert not (tmp_path / "task-a").exists()
    other.release(empty=False)


def test_what_a_killed_process_had_is_left_at_once(tmp_path: Path) -> None:
    program = [sys.executable, "-c", HOLDS_ONE, str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(tmp_path / "task-a")
        assert list(data_folder.left(tmp_path)) == []
        process.kill()
    (found,) = data_folder.left(tmp_path)
    assert found.owner == "task-a"
    found.release(empty=False)


def test_a_sidecar_that_starts_again_while_its_data_is_sent_has_another_folder(tmp_path: Path) -> None:
    data_folder.own(tmp_path, "task-a", shared=True).release(empty=False)
    (sent,) = data_folder.left(tmp_path)
    again = data_folder.own(tmp_path, "task-a", shared=True)
    assert again.path == tmp_path / "task-a+2"
    sent.release(empty=True)
    again.release(empty=False)
    (found,) = data_folder.left(tmp_path)
    assert (found.path, found.owner) == (tmp_path / "task-a+2", "task-a")
    found.release(empty=False)


def test_what_is_no_folder_of_a_sidecar_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "a file").write_text("")
    assert list(data_folder.left(tmp_path)) == []
    assert list(data_folder.left(tmp_path / "not there")) == []
