# SPDX-License-Identifier: Apache-2.0
"""Bounded proofs of the transport: `make formal`, or `.venv/bin/python tb/formal/prove.py [name]`.

Yosys (pyosys) reads the proof's top and the hand-written modules and writes an and-inverter graph; ABC, which comes with it, looks for a
cycle up to the depth in which an assertion fails, whatever the free inputs do. Every proof has planted faults, each a change of
one module, that must be refuted. Exit codes: 0 all proven and all faults refuted, 1 not.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
_SCRIPT = """read_verilog -formal {files}
{parameters}
prep -top {top} -flatten
chformal -cover -remove
memory_map
opt -full
async2sync
dffunmap
setundef -undriven -anyseq
setundef -init -zero
simplemap
techmap
opt -full -nodffe -nosdff
dffunmap
simplemap
aigmap
opt_clean
write_aiger -zinit {out}
"""
_RUN = "import sys\nfrom pyosys import libyosys\nlibyosys.Design().run_pass('script ' + sys.argv[1])"


class ProofError(AssertionError):
    """A tool failed, or a planted fault no longer applies."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A change of one module that must be refuted: ``old`` occurs exactly once."""

    name: str
    module: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Proof:
    """``top`` (a file of this folder) with modules of rtl/, no assertion fails in the first ``depth`` cycles."""

    name: str
    text: str
    top: Path
    modules: tuple[str, ...]
    depth: int
    faults: tuple[Fault, ...]
    parameters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``frame``: the cycle in which an assertion fails, None if none does."""

    frame: int | None
    seconds: float


_TRANSPORT = (
    "axis/axis_ram", "axis/axis_lutram", "net/net_table", "net/net_tx_pick", "net/net_tx_queue", "net/net_tx_window", "net/net_rx_peers",
)  # fmt: skip
_TOP = HERE / "transport" / "net_transport_formal.v"
PROOFS = (
    Proof(
        "transport",
        "every message exactly once, in order, within the quota; the channel loses, repeats, reorders and delays",
        _TOP,
        _TRANSPORT,
        34,
        (
            Fault(
                "a repeated frame is taken again",
                "net_rx_peers",
                "assign ev_next     = ev_fresh ? (ev_seq == FIRST) : (ev_seq == ev_number);",
                "assign ev_next     = ev_fresh ? (ev_seq == FIRST) : (ev_seq == ev_number || ev_seq + 24'd1 == ev_number);",
            ),
            Fault(
                "cells in use are granted again",
                "net_rx_peers",
                "8'd0 : hd_quota - hd_held16[7:0];",
                "8'd0 : hd_quota;",
            ),
            Fault(
                "a nack frees one message too many",
                "net_tx_window",
                "wire [23:0] ack_una   = ack_good ? a2_position_reg : old_una;",
                "wire [23:0] ack_una   = ack_good ? a2_position_reg + {23'd0, a2_nack_reg && old_next != a2_position_reg} : old_una;",
            ),
        ),
    ),
    Proof(
        "progress",
        "after 16 cycles of any channel a fair one: 60 cycles later everything taken has arrived and is acknowledged",
        _TOP,
        _TRANSPORT,
        78,
        (
            Fault(
                "nothing is ever sent again",
                "net_tx_window",
                "wire [23:0] ack_next  = ack_back ? ack_una :",
                "wire [23:0] ack_next  = 1'b0 ? ack_una :",
            ),
        ),
        {"FAIR_AT": 16, "FAIR_N": 60},
    ),
)


def abc() -> Path:
    """ABC, as pyosys brings it along."""
    import pyosys

    path = Path(str(pyosys.__file__)).parent / "yosys-abc"
    if not path.is_file():
        raise ProofError(f"{path} is missing: install pyosys anew (make env-test)")
    return path


def prove(proof: Proof, fault: Fault | None = None, depth: int | None = None, timeout_s: float = 3600.0) -> Verdict:
    """Look for a failing assertion in the first ``depth`` cycles. ProofError where a tool fails or runs out of time."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [proof.top, *(ROOT / "rtl" / f"{module}.v" for module in proof.modules)]
        if fault is not None:
            at = next(i for i, path in enumerate(files) if path.stem == fault.module)
            text = files[at].read_text(encoding="utf-8")
            if text.count(fault.old) != 1:
                raise ProofError(f"fault {fault.name!r}: {fault.old!r} occurs {text.count(fault.old)} times in {fault.module}, not once")
            files[at] = folder / files[at].name
            files[at].write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        sets = " ".join(f"-set {key} {value}" for key, value in proof.parameters.items())
        script, graph = folder / "proof.ys", folder / "proof.aig"
        script.write_text(
            _SCRIPT.format(
                files=" ".join(map(str, files)),
                parameters=f"chparam {sets} {proof.top.stem}" if sets else "",
                top=proof.top.stem,
                out=graph,
            ),
            encoding="utf-8",
        )
        made = subprocess.run([sys.executable, "-c", _RUN, str(script)], capture_output=True, text=True, check=False)
        if made.returncode or not graph.exists() or not graph.stat().st_size:
            raise ProofError(f"Yosys could not read {proof.name}:\n{(made.stdout + made.stderr)[-2000:]}")
        wanted = depth or proof.depth
        commands = f"read_aiger {graph}; strash; scorr -F 2; bmc3 -F {wanted} -T {int(timeout_s)}"
        try:
            ran = subprocess.run([abc(), "-c", commands], capture_output=True, text=True, check=False, timeout=timeout_s + 60)
        except subprocess.TimeoutExpired:
            raise ProofError(f"{proof.name}: no answer after {timeout_s:.0f} s") from None
    failed = re.search(r"was asserted in frame (\d+)", ran.stdout)
    if failed:
        return Verdict(int(failed.group(1)), time.monotonic() - begin)
    clean = re.search(r"No output asserted in (\d+) frames", ran.stdout)
    if clean is None or int(clean.group(1)) < wanted:
        raise ProofError(f"{proof.name}: ABC came to no answer within {wanted} cycles:\n{ran.stdout[-1000:]}{ran.stderr[-500:]}")
    return Verdict(None, time.monotonic() - begin)


def main(argv: list[str]) -> int:
    """Run the proofs named, or all; print a line for each."""
    names = {proof.name for proof in PROOFS}
    if set(argv) - names:
        print(f"no proof {', '.join(sorted(set(argv) - names))}; there are {', '.join(sorted(names))}", file=sys.stderr)
        return 2
    good = True
    for proof in PROOFS:
        if argv and proof.name not in argv:
            continue
        print(f"{proof.name}: {proof.text}", flush=True)
        verdict = prove(proof)
        held = verdict.frame is None
        good &= held
        result = f"holds for {proof.depth} cycles" if held else f"REFUTED in cycle {verdict.frame}"
        print(f"  {result} ({verdict.seconds:.0f} s)", flush=True)
        for fault in proof.faults:
            verdict = prove(proof, fault)
            good &= verdict.frame is not None
            result = f"refuted in cycle {verdict.frame}" if verdict.frame is not None else "NOT NOTICED"
            print(f"  planted: {fault.name}: {result} ({verdict.seconds:.0f} s)", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
