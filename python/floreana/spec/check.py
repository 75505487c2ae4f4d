# SPDX-License-Identifier: Apache-2.0
"""The four checks of one unit: simulated, proven, a planted bug refuted, co-simulated."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from floreana.environment import project_root
from floreana.errors import InputError
from floreana.spec.prove import Task, Verdict, Wire, prove
from floreana.spec.simulate import bench, icarus
from floreana.spec.units import UNITS, Unit

BUILD = project_root() / "build" / "spec"


def find(name: str) -> Unit:
    """A unit by name; InputError lists the names there are."""
    for unit in UNITS:
        if unit.name == name:
            return unit
    raise InputError(f"no specification {name!r}; there are: {', '.join(unit.name for unit in UNITS)}")


def files(unit: Unit) -> list[Path]:
    return [project_root() / "rtl" / "ibert" / f"{module}.v" for module in (unit.module, *unit.children)]


def convert(unit: Unit, params: Mapping[str, int], folder: Path) -> Path:
    """The block as Verilog, module ``spec``."""
    folder.mkdir(parents=True, exist_ok=True)
    clocks = dict(clk=_flag(), rst=_flag()) if unit.clocked else {}
    instance = unit.block(**clocks, **unit.inputs(params), **unit.outputs(params))
    # MyHDL prints and warns (of outputs that are read, of signals that only some widths need): the proof judges what came out
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        instance.convert(hdl="Verilog", path=str(folder), name="spec", initial_values=False, testbench=False)
    return folder / "spec.v"


def _flag() -> object:
    from floreana.spec.blocks import flag

    return flag()


def task(unit: Unit, params: Mapping[str, int], folder: Path) -> Task:
    return Task(
        spec=convert(unit, params, folder),
        unit=unit.module,
        files=tuple(files(unit)),
        parameters=params,
        inputs=tuple(Wire.of(name, signal) for name, signal in unit.inputs(params).items()),
        outputs=tuple(Wire.of(name, signal) for name, signal in unit.outputs(params).items()),
        depth=unit.depth(params),
        clocked=unit.clocked,
        valid_out=unit.valid_out,
        ties=unit.ties,
        requires=unit.requires,
        constant=unit.constant,
        from_reset=unit.iterative,
    )


def proof(unit: Unit, seconds: int = 600, params: Mapping[str, int] | None = None) -> Verdict:
    folder = BUILD / unit.name / "proof"
    return prove(task(unit, unit.proof if params is None else params, folder), folder, seconds)


def planted(unit: Unit, seconds: int = 600) -> Verdict:
    """The same proof of a unit with a bug: it must be refuted."""
    folder = BUILD / unit.name / "planted"
    made = task(unit, unit.proof, folder)
    first, *rest = made.files
    text = first.read_text(encoding="utf-8")
    old, new = unit.bug
    if text.count(old) != 1:
        raise InputError(f"{first.name}: {old!r} occurs {text.count(old)} times, not once: the planted bug must be stated anew")
    wrong = folder / first.name
    wrong.write_text(text.replace(old, new), encoding="utf-8")
    return prove(replace(made, files=(wrong, *rest)), folder, seconds)


def simulated(unit: Unit, count: int, seed: int) -> int:
    return bench(unit, unit.full, count, seed)


def cosimulated(unit: Unit, count: int, seed: int) -> int:
    return bench(unit, unit.full, count, seed, icarus(unit, unit.full, files(unit), BUILD / unit.name / "icarus"))
