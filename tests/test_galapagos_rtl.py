# SPDX-License-Identifier: Apache-2.0
"""Benches of the Galapagos wrappers: both stream converters, and a generated kernel configured and used through its packets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from floreana.cluster.description import find_project, load_project
from floreana.cluster.plan import make_plan
from floreana.environment import tool_environment
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


@pytest.mark.parametrize("kernel", KERNELS)
def test_generated_wrappers_pass_the_dialect_gate(kernel: str, tmp_path: Path) -> None:
    plan = make_plan(load_project(find_project("tiny_2")))
    name = f"galapagos_{kernel}"
    path = tmp_path / f"{name}.v"
    path.write_text(render_wrapper(plan, kernel, GalapagosOptions(dest_w=8)), encoding="utf-8")
    env = tool_environment()
    files = [str(file) for file in reached(name, candidate_sources(["axis", "ibert", path]))]
    waived = ["-Wno-UNUSEDPARAM", "-Wno-UNUSEDSIGNAL"]  # inside the kernel, where `make lint` waives single signals
    for command in (
        ["verilator", "--lint-only", "-Wall", *waived, "--language", "1364-2005", "--top-module", name, *files],
        ["iverilog", "-g2005", "-gno-xtypes", "-Wall", "-Wno-timescale", "-t", "null", "-s", name, *files],
    ):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
        text = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("- "))
        assert done.returncode == 0 and not text, text
