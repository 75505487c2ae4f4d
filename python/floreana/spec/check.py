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
from floreana.spec import iterate
from floreana.spec.pipeline import Shape
from floreana.spec.prove import Task, Verdict, Wire, prove
from floreana.spec.simulate import bench, icarus
from floreana.spec.unit import Unit
from floreana.spec.units import UNITS

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
    clocks = {name: _flag() for name in unit.clocks}
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
        shape=Shape(
            depth=max(unit.depth(params) - 1, 0),
            at=unit.at,
            enables={**unit.enables, **({unit.valid_in: 0} if unit.valid_in else {})},
            constant=unit.constant,
            valid_out=unit.valid_out,
        ),
        clocks=unit.clocks,
        legal=unit.legal,
    )


def judge(unit: Unit, made: Task, folder: Path, seconds: int) -> Verdict:
    if unit.iterative:
        assert unit.valid_in is not None
        return iterate.prove(made, unit.valid_in, unit.depth(made.parameters) + 1, folder, seconds)
    return prove(made, folder, seconds)


def proof(unit: Unit, params: Mapping[str, int], seconds: int = 600) -> Verdict:
    folder = BUILD / unit.name / "_".join(["proof", *(f"{name}{value}" for name, value in params.items())])
    return judge(unit, task(unit, params, folder), folder, seconds)


def planted(unit: Unit, bug: tuple[str, str], seconds: int = 600) -> Verdict:
    """The first proof, of a unit with a bug: it must be refuted."""
    folder = BUILD / unit.name / f"planted{unit.bugs.index(bug)}"
    made = task(unit, unit.proofs[0], folder)
    old, new = bug
    texts = [path.read_text(encoding="utf-8") for path in made.files]
    if sum(text.count(old) for text in texts) != 1:
        raise InputError(f"{unit.module}: {old!r} does not occur once: the planted bug must be stated anew")
    wrong = [folder / path.name for path in made.files]
    for path, text in zip(wrong, texts, strict=True):
        path.write_text(text.replace(old, new), encoding="utf-8")
    return judge(unit, replace(made, files=tuple(wrong)), folder, seconds)


def simulated(unit: Unit, count: int, seed: int) -> int:
    return bench(unit, unit.full, count, seed)


def cosimulated(unit: Unit, count: int, seed: int) -> int:
    return bench(unit, unit.full, count, seed, icarus(unit, unit.full, files(unit), BUILD / unit.name / "icarus"))
