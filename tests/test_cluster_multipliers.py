# SPDX-License-Identifier: Apache-2.0
"""The multipliers that the plan counts are those that Yosys finds in the RTL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from floreana.boards import device
from floreana.cluster.description import find_project, load_project
from floreana.cluster.multipliers import dsp_count, multipliers
from floreana.cluster.plan import make_plan, render
from floreana.cluster.resources import AVAILABLE, limits_of
from floreana.environment import project_root

# small, all different, so that a count cannot be right by accident
SHAPE = {"K_LANES": 16, "OUT_N": 32, "POST_LANES": 2, "NORM_LANES": 1}
SMALL = {"W_WORDS": 64, "STORE_BEATS": 64, "ROW_W": 4, "LROW_W": 3, "ACC_BEATS": 64, "RES_WORDS": 64, "CHAN_WORDS": 64}

# in a process of its own: Yosys keeps what it read
FIND = """
import json, sys
from pyosys import libyosys as ys
files, parameters = json.loads(sys.argv[1])
design = ys.Design()
ys.run_pass("read_verilog -defer " + " ".join(files), design)
ys.run_pass("hierarchy -top node_core " + " ".join(f"-chparam {k} {v}" for k, v in parameters.items()), design)
ys.run_pass("proc", design)
ys.run_pass("wreduce t:$mul", design)
found = []

def walk(module):
    for cell in module.selected_cells():
        if cell.type.str() == "$mul":
            value = lambda name: cell.parameters[ys.IdString(chr(92) + name)].as_int()
            if value("A_SIGNED"):
                found.append(sorted((value("A_WIDTH"), value("B_WIDTH"))))
        elif design.module(cell.type) is not None:
            walk(design.module(cell.type))

walk([module for module in design.all_selected_modules() if module.name.str().endswith("node_core")][0])
print("FOUND", json.dumps(found))
"""


@pytest.mark.parametrize("head_dim", [32, 64])
def test_every_signed_multiplier_is_counted(head_dim: int) -> None:
    shape = {**SHAPE, "HEAD_DIM": head_dim}
    files = [str(path) for room in ("axis", "ibert", "net", "node") for path in sorted((project_root() / "rtl" / room).glob("*.v"))]
    command = [sys.executable, "-c", FIND, json.dumps([files, {**shape, **SMALL}])]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 0, told.stderr[-2000:]
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("FOUND ")]
    found = Counter(tuple(widths) for widths in json.loads(line.removeprefix("FOUND ")))
    counted: Counter[tuple[int, ...]] = Counter()
    for each in multipliers({**shape, **SMALL}):
        counted[tuple(sorted((each.a, each.b)))] += each.count
    assert found == counted


@pytest.mark.parametrize(("name", "dsp"), [("minilm_6", 1770), ("ibert_base_6", 1765), ("ibert_base_6_pipeline", 1765)])
def test_one_fpga_holds_a_node(name: str, dsp: int) -> None:
    plan = make_plan(load_project(find_project(name)))
    assert dsp_count(plan.shape) == dsp <= AVAILABLE["DSP48E2"]
    assert f"{dsp:,} of the 1,968 of an XCZU19EG" in render(plan)


def test_the_slices_are_those_of_the_plans_devices() -> None:
    plan = make_plan(load_project(find_project("tiny_2")))
    count = dsp_count(plan.shape)

    def row(*names: str) -> list[str]:
        text = render(plan, devices={name.upper(): limits_of(device(name)) for name in names})
        lines = [line.strip("│┃ ") for line in text[text.index("multipliers of a node") : text.index("resources of a node")].splitlines()]
        at = next(k for k, line in enumerate(lines) if line.startswith("all"))
        return [line.removeprefix("all").strip("│┃ ") for line in lines[at : at + max(len(names), 1)]]

    assert row("xcu250", "xcvu9p") == [f"{count:,} of the 12,288 of an XCU250", f"{count:,} of the 6,840 of an XCVU9P"]
    assert row("xcku15p") == [f"{count:,}"]  # no figure of it is known


def test_tiles_of_a_product() -> None:
    shape = {"K_LANES": 64, "OUT_N": 48, "POST_LANES": 1, "NORM_LANES": 1, "HEAD_DIM": 64, "ROW_W": 7}
    sizes = {each.where: each.dsp for each in multipliers(shape)}
    assert sizes["linear: array, two x*w"] == 64 * 48 // 2
    assert sizes["linear: GELU, square"] == 2  # 21 x 21: one tile of 26, two of 17
    assert sizes["linear: requant"] == 4  # 48 x 32: two by two
    assert sizes["attention: exponential"] == 1  # 17 x 21
    assert sizes["attention: probability ea*f, mean of values acc*f"] == 4 * 2  # 23 x 33
    assert sizes["attention: requant of the context"] == 4 * 2  # 24 x 32
    assert sizes["add_norm: requant of the residual"] == sizes["attention: scores, q*k"] == 0  # of LUTs
