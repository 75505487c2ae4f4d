# SPDX-License-Identifier: Apache-2.0
"""Benches of the Galapagos wrappers: both stream converters, and a generated kernel configured and used through its packets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from floreana.cluster.description import find_project, load_project
from floreana.cluster.plan import make_plan
from floreana.environment import project_root, tool_environment
from floreana.galapagos.export import KERNELS, GalapagosOptions, numbers, receivers, render_wrapper
from floreana_tb import TestsFailed, mutate, run_unit
from floreana_tb.runner import candidate_sources, reached


@pytest.mark.parametrize("widths", [{"DEST_W": 8, "USER_W": 5}, {}])
def test_stream_converters(widths: dict[str, int]) -> None:
    run_unit("tb_galapagos_pair", "galapagos.test_galapagos_pair", parameters=widths)


# the bench that must find it, module, old, new
MUTATIONS = {
    "length without the header": ("empty_message", "axis_galapagos_out", "beats} + {{(USER_W-1){1'b0}}, 1'b1}", "beats} + {USER_W{1'b0}}"),
    "only one receiver": ("there_and_back/pattern=0", "axis_galapagos_out", "issue && last && sel_last", "issue && last"),
    "a long message runs on": ("malformed_packets", "axis_galapagos_in", "s_axis_tlast || full, tuser_reg", "s_axis_tlast, tuser_reg"),
    "a write with the address": (
        "configuration_and_flush",
        "axis_galapagos_in",
        "beat && state_reg == DATA;",
        "beat && state_reg == ADDRESS;",
    ),
}


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_broken_converter_is_found(name: str, tmp_path: Path) -> None:
    bench, *change = MUTATIONS[name]
    broken = mutate(*change, tmp_path)
    with pytest.raises(TestsFailed):
        run_unit("tb_galapagos_pair", "galapagos.test_galapagos_pair", sources=["axis", broken], expected_tests=[bench])


def test_a_generated_kernel_works_through_its_packets(tmp_path: Path) -> None:
    node = 1
    plan = make_plan(load_project(find_project("tiny_2")))
    path = tmp_path / "galapagos_add_norm.v"
    path.write_text(render_wrapper(plan, "add_norm", GalapagosOptions()), encoding="utf-8")
    known = numbers(plan)
    setting = {
        "id": known[plan.nodes[node].kernels["add_norm"]],
        "kernel": plan.nodes[node].kernels["add_norm"],
        "group": list(receivers(plan)[224]),
        "beats": plan.hidden // 64,
    }
    run_unit(
        "galapagos_add_norm",
        "galapagos.test_galapagos_kernel",
        sources=["axis", "ibert", path],
        extra_env={"GALAPAGOS": json.dumps(setting)},
    )


def complaints(kernel: str, text: str, folder: Path) -> list[str]:
    """What Verilator and Icarus say of a wrapper with that text, and of the kernel in it, a line each."""
    name = f"galapagos_{kernel}"
    path = folder / f"{name}.v"
    path.write_text(text, encoding="utf-8")
    # inside the kernel, where `make lint` waives single signals
    waived = folder / "kernel.vlt"
    rules = "".join(f'lint_off -rule {rule} -file "{project_root()}/rtl/*"\n' for rule in ("UNUSEDPARAM", "UNUSEDSIGNAL"))
    waived.write_text(f"`verilator_config\n{rules}", encoding="utf-8")
    env = tool_environment()
    files = [str(file) for file in reached(name, candidate_sources(["axis", "ibert", path]))]
    said = []
    for command in (
        ["verilator", "--lint-only", "-Wall", "--language", "1364-2005", "--top-module", name, str(waived), *files],
        ["iverilog", "-g2005", "-gno-xtypes", "-Wall", "-Wno-timescale", "-t", "null", "-s", name, *files],
    ):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("- ")]
        assert lines or done.returncode == 0, command
        said += lines
    return said


@pytest.mark.parametrize("kernel", KERNELS)
def test_generated_wrappers_pass_the_dialect_gate(kernel: str, tmp_path: Path) -> None:
    plan = make_plan(load_project(find_project("tiny_2")))
    text = render_wrapper(plan, kernel, GalapagosOptions(dest_w=8))
    assert complaints(kernel, text, tmp_path) == []
    # the wrapper itself is held to every rule
    loose = text.replace("\nendmodule", "\nlocalparam LOOSE = 1;\nwire loose = clk;\n\nendmodule")
    found = "\n".join(complaints(kernel, loose, tmp_path))
    assert "UNUSEDPARAM" in found and "UNUSEDSIGNAL" in found
