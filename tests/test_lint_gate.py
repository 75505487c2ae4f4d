# SPDX-License-Identifier: Apache-2.0
"""The dialect gate catches what it promises, and every parameter check of the RTL really stops both simulators."""

from __future__ import annotations

from pathlib import Path

import pytest

import lint_gate
from floreana.environment import tool_environment
from floreana_tb.runner import candidate_sources, reached
from lint_gate import Case, Waiver

PARAMETERS = lint_gate.load_parameters()
ILLEGAL = [case for module, path in lint_gate.rtl_files().items() for case in lint_gate.illegal_cases(module, path, PARAMETERS)[0]]

CLEAN = """// SPDX-License-Identifier: Apache-2.0
`resetall
`timescale 1ns/1ps
`default_nettype none

module axis_planted #(
    parameter W = 8
) (
    input  wire         clk,
    input  wire [W-1:0] x,
    output reg  [W-1:0] y
);

generate
if (W > 32) begin : g_err
    PARAM_ERROR_axis_planted_W_at_most_32 u_err ();
end
endgenerate

always @(posedge clk) y <= x;

endmodule

`resetall
"""

# name: (text in CLEAN, replacement, the tool that must complain)
PLANTED = {
    "an undriven output": ("y <= x;", "if (x[0]) begin end", "verilator"),
    "a truncation": ("y <= x;", "y <= {1'b0, x};", "verilator"),
    "a SystemVerilog keyword": ("output reg ", "output logic ", "icarus"),
    "SystemVerilog always_ff": ("always @", "always_ff @", "icarus"),
    "an implicit net": ("always @", "assign unknown_net = x[0];\nalways @", "icarus"),
}


def lint(tool: str, path: Path, waivers: list[Waiver] | None = None) -> list[str]:
    case = Case("axis_planted", "default", ())
    code, text = lint_gate.run_tool(lint_gate.lint_command(tool, case, [path]), tool_environment())
    return lint_gate.unwaived(tool, code, text, waivers or [], set())


@pytest.mark.parametrize("tool", lint_gate.TOOLS)
def test_a_clean_module_passes(tool: str, tmp_path: Path) -> None:
    path = tmp_path / "axis_planted.v"
    path.write_text(CLEAN, encoding="utf-8")
    assert lint(tool, path) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, tmp_path: Path) -> None:
    old, new, tool = PLANTED[name]
    assert CLEAN.count(old) == 1
    path = tmp_path / "axis_planted.v"
    path.write_text(CLEAN.replace(old, new), encoding="utf-8")
    assert lint(tool, path) != []


def test_a_waiver_covers_its_file_and_rule_only(tmp_path: Path) -> None:
    path = tmp_path / "axis_planted.v"
    path.write_text(CLEAN.replace("y <= x;", "y <= {1'b0, x};"), encoding="utf-8")
    reason = "a reason long enough"
    assert lint("verilator", path, [Waiver("verilator", "axis_planted.v", "WIDTHTRUNC", "", reason)]) == []
    assert lint("verilator", path, [Waiver("verilator", "axis_planted.v", "UNUSEDSIGNAL", "", reason)]) != []
    assert lint("verilator", path, [Waiver("verilator", "axis_other.v", "WIDTHTRUNC", "", reason)]) != []
    assert lint("verilator", path, [Waiver("verilator", "axis_planted.v", "WIDTHTRUNC", "", reason, line=1)]) != []


def test_an_illegal_value_must_fail_by_its_own_rule(tmp_path: Path) -> None:
    path = tmp_path / "axis_planted.v"
    path.write_text(CLEAN, encoding="utf-8")
    env = tool_environment()
    assert lint_gate.check_illegal(Case("axis_planted", "W_at_most_32", (("W", 33),)), [path], env) == []
    accepted = lint_gate.check_illegal(Case("axis_planted", "W_at_most_32", (("W", 32),)), [path], env)
    assert len(accepted) == 2, "a legal value was taken for refused"


def test_every_rule_has_an_illegal_set() -> None:
    complaints = [text for module, path in lint_gate.rtl_files().items() for text in lint_gate.illegal_cases(module, path, PARAMETERS)[1]]
    assert complaints == []
    assert ILLEGAL


@pytest.mark.parametrize("case", ILLEGAL, ids=lambda case: f"{case.module}-{case.label}")
def test_illegal_parameters_stop_the_build(case: Case) -> None:
    files = reached(case.module, candidate_sources(None))
    assert lint_gate.check_illegal(case, files, tool_environment()) == []


def test_every_parameterised_module_has_parameter_sets() -> None:
    missing = [
        module
        for module, path in lint_gate.rtl_files().items()
        if "parameter " in path.read_text(encoding="utf-8") and not PARAMETERS.sets.get(module)
    ]
    assert missing == []


def test_spdx_and_style_problems_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint_gate, "ROOT", tmp_path)
    bare = tmp_path / "bare.py"
    bare.write_text("x = 1\n", encoding="utf-8")
    assert lint_gate.spdx_problems([bare]) == ["bare.py: no `SPDX-License-Identifier: Apache-2.0` in its first five lines"]
    room = tmp_path / "axis"
    room.mkdir()
    wrong = room / "net_wrong.v"
    wrong.write_text("module other; endmodule\n", encoding="utf-8")
    found = "\n".join(lint_gate.style_problems({"net_wrong": wrong}))
    for text in ("holds modules ['other']", "begin with axis_", "head directives", "does not end", "in no file list"):
        assert text in found
