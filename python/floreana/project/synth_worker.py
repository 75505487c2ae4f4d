# SPDX-License-Identifier: Apache-2.0
"""One module through Yosys, in a process of its own (Yosys keeps what it reads): ``python -m floreana.project.synth_worker < job.json``.

The job: ``files``, ``top``, ``parameters``, ``cut`` (names of modules that are synthesised on their own: here they stay black boxes),
``out``. Written: {"children": {derived name: [module, parameters]}, "netlist": the mapped top as Yosys' JSON has it}. With ``elaborate``
nothing is mapped, and in place of the netlist come "instances": {name: derived name} of the children.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

TILES = Path(__file__).with_name("tiles.v")
RECIPE = 2  # to be raised with every change here that changes results: kept ones are then made again
WIRE_PS = 800
SYNTH = "synth_xilinx -family xcup -flatten -uram -noiopad -noclkbuf"


def _value(constant: Any) -> int | str:
    return str(constant.decode_string()) if constant.flags & 1 else int(constant.as_int())


def _base(name: str) -> str:
    """Module of a derived one: \\name, $paramod\\name\\A=..., $paramod$hash\\name."""
    parts = name.split("\\")
    return parts[2] if parts[0] == "$paramod" and len(parts) > 2 and parts[1] == "" else parts[1]


def _sources(job: dict[str, Any]) -> list[str]:
    """The files; in a copy of the top's its parameters are the defaults (-chparam takes no text, and fails on some modules)."""
    files = list(job["files"])
    for index, file in enumerate(files):
        if Path(file).stem != job["top"]:
            continue
        text = Path(file).read_text(encoding="utf-8")
        for name, value in job["parameters"].items():
            given = f'"{value}"' if isinstance(value, str) else str(value)
            text, count = re.subn(rf"(parameter {name}\s*=\s*)(\"\w*\"|[^,\s/]+)", rf"\g<1>{given}", text)
            if count != 1:
                raise ValueError(f"{file} has no parameter {name}")
        copy = Path(job["out"]).with_suffix(".v")
        copy.write_text(text, encoding="utf-8")
        files[index] = str(copy)
    return files


def synthesise(job: dict[str, Any]) -> dict[str, Any]:
    """Children and netlist of a job's top."""
    from pyosys import libyosys as ys  # type: ignore[import-untyped]

    design = ys.Design()

    def run(command: str) -> None:
        ys.run_pass(command, design)

    run("read_verilog -defer " + " ".join(_sources(job)))
    run(f"hierarchy -check -top {job['top']}")
    children: dict[str, Any] = {}
    for module in design.all_selected_modules():
        name = module.name.str()
        base = _base(name)
        if base in job["cut"] and base != job["top"]:
            parameters = {key.str()[1:]: _value(value) for key, value in dict(module.parameter_default_values).items()}
            children[name.removeprefix("\\")] = [base, dict(sorted(parameters.items()))]
    if job.get("elaborate"):
        cells = next(each for each in design.all_selected_modules() if _base(each.name.str()) == job["top"]).selected_cells()
        kinds = {cell.name.str().removeprefix("\\"): cell.type.str().removeprefix("\\") for cell in cells}
        return {"children": children, "instances": {name: kind for name, kind in sorted(kinds.items()) if kind in children}}
    for name in children:
        run(f"blackbox {name if name.startswith('$') else chr(92) + name}")
    # Vivado's use_dsp, which Yosys does not know: on a module, all its products, on a wire, the one it is
    for step in ("proc", "opt_expr", "opt_clean"):
        run(step)
    run("setattr -set of_luts 1 w:* a:use_dsp=no %i %ci1 t:$mul %i A:use_dsp=no t:$mul %i %u")
    run(f"{SYNTH} -run begin:map_dsp")
    run("chtype -set $__soft_mul a:of_luts t:$mul %i")
    run(f"techmap -map {TILES}")
    run("opt_clean")
    # levels are what is counted: a wire costs what it may at 200 MHz with six of them (Yosys: 300 ps), and mapping saves levels first
    run(f"scratchpad -set synth_xilinx.abc9.W {WIRE_PS}")
    run(f"{SYNTH} -run map_dsp:")
    path = Path(job["out"]).with_suffix(".yosys.json")
    run(f"write_json {path}")
    modules = json.loads(path.read_text(encoding="utf-8"))["modules"]
    path.unlink()
    (top,) = [module for module in modules.values() if int(module.get("attributes", {}).get("top", "0"), 2)]
    return {"children": children, "netlist": top}


def main() -> None:
    job = json.load(sys.stdin)
    found = synthesise(job)
    Path(job["out"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
