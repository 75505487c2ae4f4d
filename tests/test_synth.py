# SPDX-License-Identifier: Apache-2.0
"""Resources and logic levels (`make synth`): counting, limits, longest paths of netlists made by hand, and small units through Yosys."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from floreana import cli
from floreana.environment import find_tool, tool_environment
from floreana.project import synth, synth_worker
from floreana.project.synth import OWN, Key, Part, Paths, Report, Row

CARRY = {"CI": "input", "CYINIT": "input", "DI": "input", "S": "input", "O": "output", "CO": "output"}
FLIP = {"C": "input", "CE": "input", "D": "input", "Q": "output", "R": "input"}
LUT2 = {"I0": "input", "I1": "input", "O": "output"}


def made(
    name: str, cells: dict[str, tuple[str, dict[str, str], dict[str, list[Any]]]], ports: dict[str, tuple[str, list[Any]]],
    children: dict[str, Key] | None = None,
) -> Part:  # fmt: skip
    """A part by hand: cells are (type, directions, connections)."""
    out = {cell: [kind, nets, [p for p, d in directions.items() if d == "output"]] for cell, (kind, directions, nets) in cells.items()}
    netlist = {"cells": out, "ports": {k: list(v) for k, v in ports.items()}, "names": {}}
    return Part((name, ()), Counter(each[0] for each in out.values()), children or {}, netlist)


def levels(parts: list[Part]) -> int:
    table = {part.key: part for part in parts}
    return synth.levels_by_unit(Paths(table, parts[0].key), synth.part_of)[OWN][0]


def flip(d: Any, q: int) -> tuple[str, dict[str, str], dict[str, list[Any]]]:
    return "FDRE", FLIP, {"C": [2], "CE": ["1"], "D": [d], "Q": [q], "R": ["0"]}


def adder(bits: int) -> Part:
    """A register, a LUT, a carry chain of that many bits, a register."""
    cells = {"from": flip("0", 10), "lut": ("LUT2", LUT2, {"I0": [10], "I1": ["0"], "O": [11]})}
    carry: Any = "0"
    for k in range(bits // 4):
        low = 100 + 10 * k
        nets = {"CI": [carry], "CYINIT": ["0"], "DI": ["0"] * 4, "S": [11 if k == 0 else "0", "0", "0", "0"]}
        cells[f"carry{k}"] = ("CARRY4", CARRY, {**nets, "O": [low, low + 1, low + 2, low + 3], "CO": [low + 4, low + 5, low + 6, low + 7]})
        carry = low + 7
    cells["to"] = flip(100 + 10 * (bits // 4 - 1) + 3, 12)
    return made("adder", cells, {"clk": ("input", [2])})


@pytest.mark.parametrize(("bits", "wanted"), [(4, 2), (32, 2), (36, 3), (64, 3), (68, 4)])
def test_a_carry_chain_is_a_level_per_32_bits(bits: int, wanted: int) -> None:
    assert levels([adder(bits)]) == wanted


def test_levels_across_parts_through_a_feed_and_a_loop() -> None:
    """Register, LUT, a part that is a LUT and a wire, a LUT, register; a LUT that feeds itself does not hang."""
    inner: Key = ("inner", ())
    child = made(
        "inner", {"lut": ("LUT2", LUT2, {"I0": [3], "I1": [3], "O": [4]})},
        {"through": ("output", [5]), "y": ("output", [4]), "wire": ("input", [5]), "a": ("input", [3])},
    )  # fmt: skip
    sides = {"a": "input", "wire": "input", "y": "output", "through": "output"}
    cells = {
        "from": flip("0", 10),
        "first": ("LUT2", LUT2, {"I0": [10], "I1": ["0"], "O": [11]}),
        "u_inner": ("inner", sides, {"a": [11], "y": [12], "wire": [12], "through": [13]}),
        "last": ("LUT2", LUT2, {"I0": [13], "I1": [20], "O": [14]}),
        "loop": ("LUT2", LUT2, {"I0": [20], "I1": [10], "O": [20]}),
        "to": flip(14, 15),
    }
    assert levels([made("outer", cells, {"clk": ("input", [2])}, {"u_inner": inner}), child]) == 3


def test_a_multiplier_and_a_memory_end_paths_and_lut_memory_is_a_level() -> None:
    ram = {"ADDRA": "input", "DIA": "input", "DOA": "output", "WCLK": "input", "WE": "input"}
    cells = {
        "lut": ("LUT2", LUT2, {"I0": [10], "I1": ["0"], "O": [11]}),
        "dsp": ("DSP48E2", {"A": "input", "P": "output"}, {"A": [11], "P": [12]}),
        "ram": ("RAM64M8", ram, {"ADDRA": [12], "DIA": [11], "DOA": [13], "WCLK": [2], "WE": ["1"]}),
        "from": flip("0", 10),
        "to": flip(13, 14),
    }
    assert levels([made("mixed", cells, {"clk": ("input", [2])})]) == 1


def test_resources_and_limits() -> None:
    cells = {"LUT6": 3, "LUT1": 1, "RAM64M8": 2, "SRL16E": 1, "FDRE": 5, "RAMB18E2": 3, "RAMB36E2": 1, "URAM288": 2, "DSP48E2": 4, "INV": 9}
    assert synth.resources(cells) == {"LUT": 4 + 16 + 1, "FF": 5, "RAMB36": 2.5, "URAM288": 2, "DSP48E2": 4}
    fits = {"DSP48E2": 1771, "RAMB36": 885, "URAM288": 115, "LUT": 418_176, "FF": 1}
    assert synth.over(fits) == []
    for name in ("DSP48E2", "RAMB36", "URAM288", "LUT"):
        (told,) = synth.over({**fits, name: fits[name] + 1})
        assert told.startswith(name) and f"limit {fits[name]:,}" in told


@pytest.mark.parametrize("amount", [10, 1772])
def test_exit_code_and_file(amount: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    total = {"DSP48E2": amount, "RAMB36": 1, "URAM288": 0, "LUT": 5, "FF": 7}
    row = Row("u_linear", Counter(total), 7, ("a", "b"))
    report = Report("tiny_2", {}, [row], [row], total, [("u_store", "512 x 8", 1, 0, 3)], synth.over(total))
    monkeypatch.setattr(synth, "analyse", lambda *_: report)
    assert cli.main(["synth", "--project", "tiny_2", "--out", str(tmp_path)]) == (1 if amount > 1771 else 0)
    out = capsys.readouterr().out
    assert "over-estimates" in out and ("over the limit: DSP48E2" in out) == (amount > 1771)
    written = json.loads((tmp_path / "tiny_2" / "report" / "synth.json").read_text())
    assert written["total"] == total and written["parts"][0]["levels"] == 7 and bool(written["over"]) == (amount > 1771)


def synthesised(module: str, cache: Path, **parameters: int | str) -> Counter[str]:
    return synth.resources(synth.synthesise((module, tuple(sorted(parameters.items()))), cache, lambda _: None).cells)


def test_small_units_through_yosys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert synthesised("ibert_mul_pair", tmp_path)["DSP48E2"] == 4  # eight products
    assert synthesised("axis_ram", tmp_path, DATA_W=72, DEPTH=4096, STYLE="ultra")["URAM288"] == 1
    assert synthesised("axis_ram", tmp_path, DATA_W=72, DEPTH=512, STYLE="block")["RAMB36"] == 1
    assert synthesised("ibert_requant", tmp_path, IN_W=8, OUT_W=32, DSP="yes")["DSP48E2"] == 2
    of_luts = synthesised("ibert_requant", tmp_path, IN_W=8, OUT_W=32, DSP="no")
    assert of_luts["DSP48E2"] == 0 and of_luts["LUT"] > 200
    # what was synthesised once is not again
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("Yosys ran again"))
    assert synthesised("ibert_requant", tmp_path, IN_W=8, OUT_W=32, DSP="no") == of_luts


TILE_BENCH = """module bench;
  integer k, seed;
  reg signed [{a}:0] a;
  reg signed [{b}:0] b;
  wire signed [{y}:0] y, z;
  gold u_gold (a, b, y);
  top u_top (a, b, z);
  initial begin
    seed = 1;
    for (k = 0; k < 2000; k = k + 1) begin
      a = {{$random(seed), $random(seed)}};
      b = {{$random(seed), $random(seed)}};
      if (k < 4) a = {{k[0], {{{a}{{!k[0]}}}}}};
      if (k < 4) b = {{k[1], {{{b}{{!k[1]}}}}}};
      #1 if (y !== z) $display("WRONG %d %d %d %d", a, b, y, z);
    end
    $display("END");
  end
endmodule
"""


@pytest.mark.parametrize(
    ("a", "b", "y", "slices"), [(25, 33, 58, 2), (48, 32, 80, 4), (32, 27, 59, 2), (32, 28, 60, 4), (33, 23, 60, 2), (8, 32, 20, 2)]
)
def test_a_wide_product_is_cut_into_tiles_of_the_slice(a: int, b: int, y: int, slices: int, tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(
        f"module top (input signed [{a - 1}:0] a, input signed [{b - 1}:0] b, output signed [{y - 1}:0] y);\nassign y = a * b;\nendmodule\n"
    )
    script = f"read_verilog {tmp_path}/top.v\nprep\nrename top gold\nwrite_verilog -noattr {tmp_path}/gold.v\nrename gold top\n"
    script += f"techmap -map {synth_worker.TILES}\nopt_clean\nwrite_verilog -noattr {tmp_path}/tiles.v\nstat -json\n"
    (tmp_path / "run.ys").write_text(script)
    command = [sys.executable, "-c", f"from pyosys import libyosys as y; y.Design().run_pass('script {tmp_path}/run.ys')"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f'"$mul": {slices}' in told
    (tmp_path / "bench.v").write_text(TILE_BENCH.format(a=a - 1, b=b - 1, y=y - 1))
    env = tool_environment()
    iverilog, vvp = find_tool("iverilog", env), find_tool("vvp", env)
    assert iverilog is not None and vvp is not None
    names = ["bench.v", "gold.v", "tiles.v"]
    subprocess.run([iverilog, "-g2005", "-o", "sim", "-s", "bench", *names], cwd=tmp_path, env=env, check=True)
    assert subprocess.run([vvp, "-n", "sim"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout == "END\n"


def test_a_kept_part_depends_on_all_it_reaches_but_not_on_what_is_cut(tmp_path: Path) -> None:
    known = {name: tmp_path / f"{name}.v" for name in ("top", "below", "cut")}
    known["top"].write_text("module top (input a); below u (a); cut v (a); endmodule")
    known["below"].write_text("module below (input a); endmodule // a comment")
    known["cut"].write_text("module cut (input a); wire inside; endmodule")
    key: Key = ("top", ())

    def now() -> str:
        return synth.digest(key, frozenset({"cut"}), known)

    first = now()
    known["below"].write_text("module below (input a); endmodule // another")
    known["cut"].write_text("module cut (input a); wire other; endmodule")
    assert now() == first
    known["cut"].write_text("module cut (input b); wire other; endmodule")
    second = now()
    known["below"].write_text("module below (input a); wire w; endmodule")
    assert len({first, second, now()}) == 3
