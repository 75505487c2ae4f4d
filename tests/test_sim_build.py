# SPDX-License-Identifier: Apache-2.0
"""Watching a build: compilers make and remove folders while their files are counted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from floreana.sim.build import file_names


def test_a_folder_that_vanishes_while_files_are_counted_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "lib.tmpdir", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.o").touch()
    scandir = os.scandir

    def vanishing(path: Any) -> Any:
        if not isinstance(path, int) and Path(path).name == "lib.tmpdir":
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert sorted(file_names(tmp_path)) == ["a.o", "z.o"]
    assert not (tmp_path / "lib.tmpdir").exists()
    assert file_names(tmp_path / "none") == []
