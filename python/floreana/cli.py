# SPDX-License-Identifier: Apache-2.0
"""The command line. Every option is the Make variable of the same name: `make sim LINK_DELAY=300` runs `floreana sim --link-delay 300`.

Exit codes: 0 equal, 1 differs, 2 bad input, 3 environment, 4 internal, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

import floreana
from floreana.errors import FloreanaError

# numpy, imported later, reads it then: one thread gives the same float bits on any number of cores, and is quicker on small matrices
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

CLOCK_HZ = 200_000_000
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)

_HELP = """\
Floreana runs integer-only transformer encoders on clusters of FPGAs that talk Ethernet.
Here the FPGAs are simulated, every clock cycle and every frame, and the result is proved
equal, bit for bit, to the integer model."""

_EXAMPLES = """\
first steps
  floreana sim                                  the default sentence, six nodes, all-MiniLM-L6-v2
  floreana sim --text "Any sentence you like."  another one (1 to 128 tokens, never cut off)
  floreana sim --project tiny_2 --sim icarus    two nodes and random weights, under Icarus
  floreana verify build/minilm_6                compare the captured frames with the model once more
  floreana plan --project minilm_6              who computes what, and where it lies
  floreana bench                                cycles, busy arrays, load of the wire, beside what they are to reach
  floreana synth                                DSP slices, memories, LUTs and logic levels of a node, by Yosys
  floreana vivado                               Vivado projects for the boards of a project's nodes
  floreana resources                            formulas of a node's resources against what Yosys measured
  floreana bench-sim                            speed of the simulation against its bare multipliers
  floreana estimate                             latency on 1 to 72 boards, beside GPUs
  floreana gpu-baseline                         BERT-base by PyTorch on the CPU or GPU that is there
  floreana net-demo                             the cluster behind TAP devices: ping it, send it a sentence (as root)
  floreana top                                  counters of all nodes of a running net-demo

what a run leaves in build/<project>/
  result.json, outputs.npz   cycles, frames, equality, every encoder's rows, embeddings
  traffic.pcapng             every frame at every port: open it with Wireshark
  sim/run.log                what the tools and the simulator said

The Make variable of an option has its name in capitals: make sim LINK_DELAY=300.
Exit codes: 0 equal, 1 differs, 2 bad input, 3 environment, 4 internal error."""

_SIM_EXAMPLES = """\
examples
  floreana sim --text "Darwin came ashore in September."
  floreana sim --text-file sentences.txt        several, one a line, one after the other
  floreana sim --project tiny_2 --tokens 5,16   two random sequences of 5 and 16 tokens
  floreana sim --project ibert_base_6 --vectors FOLDER   recorded encoders, compared with the recording too
  floreana sim --link-delay 400                 a slower network, in cycles of 5 ns
  floreana sim --loss 0.05 --reorder 0.1        a network that loses and reorders frames: the result is the same
  floreana sim --restart node2@20000            a node that restarts: its sentences are sent again
  floreana sim --load frames                    the host writes the images over the wire, no loader does"""


def version() -> str:
    """Version of the package, also where it is run from the source tree."""
    named = getattr(floreana, "__version__", None)
    if isinstance(named, str):
        return named
    try:
        return installed_version("floreana")
    except PackageNotFoundError:
        pass
    try:
        import tomllib

        text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])
    except (OSError, KeyError, ValueError):
        return "0+unknown"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"floreana: {message}\nTry `{self.prog} --help`.", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="floreana", description=_HELP, epilog=_EXAMPLES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"floreana {version()}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    def add(name: str, text: str, examples: str | None = None) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=examples, formatter_class=raw)

    def project_options(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--project",
            default="minilm_6",
            metavar="NAME",
            help="a project of fpga_projects/, or a folder with a project.yaml (default minilm_6)",
        )
        command.add_argument("--nodes", type=int, metavar="N", help="another node count than the project's")
        command.add_argument("--out", type=Path, metavar="FOLDER", help="where <project>/ is made (default build/)")

    sim = add("sim", "simulate the cluster and compare every message with the integer model", _SIM_EXAMPLES)
    project_options(sim)
    sim.add_argument("--text", metavar="SENTENCE", help="the sentence to embed")
    sim.add_argument("--text-file", type=Path, metavar="FILE", help="sentences, one a line")
    sim.add_argument("--tokens", metavar="N[,N...]", help="random tokens in place of text: one count a sentence")
    sim.add_argument(
        "--vectors", type=Path, metavar="FOLDER", help="recorded encoders (docs/vectors.md) in place of text, one run for each"
    )
    sim.add_argument("--encoder", metavar="NUMBER", help="one of them, for example 00 for encoder_00.npz")
    sim.add_argument("--seed", type=int, default=1, metavar="N", help="of random tokens, and of what the network does wrong (default 1)")
    sim.add_argument("--sim", default="verilator", metavar="NAME", help="verilator (default) or icarus")
    sim.add_argument(
        "--link-delay", type=int, metavar="CYCLES", help="from one port to the next (default: as the project says, 220 if it does not)"
    )
    for name, what in (
        ("loss", "are lost"),
        ("dup", "arrive twice"),
        ("reorder", "are held back, so that later ones overtake"),
        ("corrupt", "arrive broken, marked by the receiver's MAC"),
        ("delay", "come late, and all behind them with them"),
    ):
        sim.add_argument(f"--{name}", type=float, default=0.0, metavar="RATE", help=f"share of all frames, 0 to 0.5, that {what}")
    sim.add_argument("--cut", metavar="NAME:FROM-TO[,...]", help="cables that are out, for example node2:5000-9000, in cycles")
    sim.add_argument("--restart", metavar="NODE@CYCLE[-CYCLE][,...]", help="nodes that restart: held in reset, then loaded again")
    sim.add_argument("--dead", metavar="NODE@CYCLE[,...]", help="nodes that die: the run ends with an error that names them")
    sim.add_argument(
        "--load", default="bus", metavar="HOW", help="bus (default): each node has a loader; frames: the host writes the images"
    )
    sim.add_argument("--in-flight", type=int, default=1, metavar="N", help="sentences in the cluster at a time, 1 (default) to the slots")
    sim.add_argument(
        "--compare-clean", type=int, choices=(0, 1), default=0, metavar="0|1", help="1: run again with nothing wrong, tell the cycles added"
    )
    sim.add_argument("--window", type=int, metavar="CYCLES", help="how often the bench looks; changes speed, never results")
    sim.add_argument("--model", type=Path, metavar="FOLDER", help="config.json, model.safetensors and tokenizer.json of the model")
    sim.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="compilers at a time (default: all processors)")

    plan = add("plan", "print where everything lies, how busy each kernel will be and when, and draw that (docs/schedule.md)")
    project_options(plan)
    plan.add_argument("--tokens", metavar="N[,N...]", help="sequences whose schedule is told (default: one of max_tokens)")

    mapped = add("map", "decide what a description leaves open, within the limits of its boards, and write mapped.yaml (docs/mapper.md)")
    project_options(mapped)

    add("schema", "print the JSON schema of project.yaml (docs/project.schema.json)")

    synth = add("synth", "resources and logic levels of a node, by Yosys, against one XCZU19EG (docs/resources.md)")
    project_options(synth)
    synth.set_defaults(project="ibert_base_6")
    synth.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="modules at a time (default: all processors)")

    vivado = add("vivado", "write the Vivado projects of all nodes, below build/<project>/vivado (docs/vivado.md); runs no Vivado")
    project_options(vivado)
    vivado.set_defaults(project="ibert_base_6")
    vivado.add_argument("--model", type=Path, metavar="FOLDER", help="as for sim")

    hardware = add("hardware", "load images into boards, or check their links and counters, over this machine's network (docs/vivado.md)")
    hardware.add_argument("goal", choices=("load", "check"), help="load: write every image; check: show links and counters")
    hardware.add_argument("folder", type=Path, help="what floreana vivado wrote, for example build/ibert_base_6/vivado")

    projects = add("projects", "write the Vivado projects of every project of fpga_projects/")
    projects.add_argument("--out", type=Path, metavar="FOLDER", help="where <project>/ is made (default build/)")
    projects.add_argument("--model", type=Path, metavar="FOLDER", help="as for sim, for those with a trained model")

    resources = add("resources", "formulas of a node's resources against what Yosys made of its kernels (docs/resources.md)")
    resources.add_argument(
        "--refresh", type=int, choices=(0, 1), default=0, metavar="0|1", help="1: synthesise, fit and write the formulas again"
    )
    resources.add_argument("--out", type=Path, metavar="FOLDER", help="what was synthesised is kept in FOLDER/synth (default build/)")

    verify = add("verify", "recompute the model's side from a capture alone, and compare")
    verify.add_argument("folder", type=Path, help="what a run left, for example build/minilm_6")

    bench = add("bench-sim", "CPU time of the six-node simulation against that of its bare multiplier arrays")
    project_options(bench)
    bench.add_argument("--text", metavar="SENTENCE", help="a sentence in place of as many random tokens as fit")
    bench.add_argument("--model", type=Path, metavar="FOLDER", help="as for sim")
    bench.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="as for sim")
    _bench_parsers(add)
    _estimate_parsers(add)
    _net_parsers(add, project_options)
    _ecosystem_parsers(commands, add, project_options)

    fuzz = add("fuzz", "send hostile frames into nodes that compute: nothing is accepted, nothing changes, every counter adds up")
    project_options(fuzz)
    fuzz.set_defaults(project="tiny_2")
    fuzz.add_argument("--frames", type=int, default=200_000, metavar="N", help="hostile frames in all (default 200000)")
    fuzz.add_argument("--tokens", metavar="N[,N...]", help="as for sim; the sentences are repeated until all frames are through")
    fuzz.add_argument("--text", metavar="SENTENCE", help="as for sim")
    fuzz.add_argument("--seed", type=int, default=1, metavar="N", help="of random tokens, and of the hostile frames (default 1)")
    fuzz.add_argument("--sim", default="verilator", metavar="NAME", help="verilator (default) or icarus (very slow)")
    fuzz.add_argument(
        "--restart",
        metavar="NODE@CYCLE[,...]|none",
        help="nodes that restart before, and are not attacked: their old frames are replayed (default: the last one)",
    )
    fuzz.add_argument("--model", type=Path, metavar="FOLDER", help="as for sim")
    fuzz.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="as for sim")
    return parser


def _ecosystem_parsers(
    commands: Any, add: Callable[..., argparse.ArgumentParser], project_options: Callable[[argparse.ArgumentParser], None]
) -> None:
    ipxact = add("ipxact", "write a Tcl script for each kernel that packages it as IP-XACT in Vivado (docs/ecosystem.md)")
    ipxact.add_argument("--only", metavar="MODULE", help="one of them, for example ibert_linear")
    ipxact.add_argument("--out", type=Path, metavar="FOLDER", help="where ip/<module>/ is made (default build/)")

    def made(command: argparse.ArgumentParser) -> None:
        command.add_argument("--name", required=True, metavar="NAME", help="name of the project that is made")
        command.add_argument("--out", type=Path, metavar="FOLDER", help="where <name>/project.yaml is made (default fpga_projects/)")

    galapagos = add("galapagos", "Galapagos' logical and map files: addresses from them, our kernels for them (docs/galapagos.md)")
    actions = galapagos.add_subparsers(dest="action", metavar="import|export", required=True)
    source = actions.add_parser("import", help="make a description with the addresses of a Galapagos cluster")
    source.add_argument("logical", type=Path, help="logical file, .xml or .json")
    source.add_argument("map", type=Path, help="map file, .xml or .json")
    made(source)
    source.add_argument("--like", default="minilm_6", metavar="NAME", help="project whose model and mapping it takes (default minilm_6)")
    target = actions.add_parser("export", help="write logical and map file, wrappers and packaging scripts of a project")
    project_options(target)
    target.add_argument("--dest-bits", type=int, default=24, metavar="N", help="width of TDEST and TID, 8 to 24 (default 24)")
    target.add_argument("--user-bits", type=int, default=16, metavar="N", help="width of TUSER, 8 to 64 (default 16)")
    target.add_argument("--board", default="sidewinder", metavar="NAME", help="Galapagos' name of the board (default sidewinder)")
    target.add_argument("--comm", default="udp", metavar="NAME", help="Galapagos' name of the protocol (default udp)")
    target.add_argument("--format", choices=("xml", "json"), default="xml", help="of the two files (default xml)")

    config = add("import-config", "make a description from a config.json of the Galapagos Cluster Builder (docs/galapagos.md)")
    config.add_argument("file", type=Path, help="the config.json")
    made(config)
    config.add_argument(
        "--strategy", choices=("pipeline", "tensor"), default="pipeline", help="nodes for each layer (default), or a slice of all on each"
    )
    config.add_argument("--nodes", type=int, metavar="N", help="nodes in strategy tensor (default 6)")
    config.add_argument("--encoders", type=int, metavar="N", help="encoders in place of num_hidden_layers")


_BENCH_EXAMPLES = """\
examples (docs/bench.md)
  floreana bench                      everything: about an hour the first time; what was measured before is not run again
  floreana bench --only figures       the figures that are to be reached
  floreana bench --only base_32,tokens
  floreana bench --record 1           put tables and plots into docs/, too"""


def _bench_parsers(add: Callable[[str, str, str | None], argparse.ArgumentParser]) -> None:
    bench = add(
        "bench", "measure whole clusters: cycles, busy arrays, scaling, load of the wire, beside published designs", _BENCH_EXAMPLES
    )
    bench.add_argument(
        "--only", metavar="NAME[,NAME...]", help="figures, tokens, scaling or wire, or the name of a figure, for example base_128"
    )
    bench.add_argument("--record", type=int, choices=(0, 1), default=0, metavar="0|1", help="1: put tables and plots into docs/")
    bench.add_argument("--again", type=int, choices=(0, 1), default=0, metavar="0|1", help="1: measure again what was measured before")
    bench.add_argument("--model", type=Path, metavar="FOLDER", help="as for sim")
    bench.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="as for sim")
    bench.add_argument("--out", type=Path, metavar="FOLDER", help="where bench/ is made (default build/)")

    check = add("bench-check", "compare the cycles of small runs with the recorded ones: more than 2 %% slower fails", None)
    check.add_argument("--record", type=int, choices=(0, 1), default=0, metavar="0|1", help="1: record them in place of comparing")
    check.add_argument("--sim", default="verilator", metavar="NAME", help="verilator (default) or icarus; the cycles are the same")
    check.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="as for sim")
    check.add_argument("--out", type=Path, metavar="FOLDER", help="where bench/ is made (default build/)")

    model = add("model-check", "compare the cycles of the schedule model with those of the RTL simulation: more than 5 %% fails", None)
    model.add_argument("--only", metavar="NAME[,NAME...]", help="plans of report/data/model_cases.toml")
    model.add_argument("--record", type=int, choices=(0, 1), default=0, metavar="0|1", help="1: record what was simulated, and the table")
    model.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="as for sim")
    model.add_argument("--out", type=Path, metavar="FOLDER", help="where bench/ is made (default build/)")


_BASELINE_EXAMPLES = """\
examples (docs/estimates.md)
  floreana gpu-baseline                                  fp32 on a CPU, fp16 and fp32 on a GPU
  floreana gpu-baseline --sequences 128 --runs 200 --mode eager,graph
  floreana gpu-baseline --gpu-python ~/torch/bin/python  a Python that has torch already: nothing is installed"""


def _estimate_parsers(add: Callable[[str, str, str | None], argparse.ArgumentParser]) -> None:
    gpu = add("gpu-baseline", "time BERT-base, batch 1, by PyTorch on the CPU or GPU that is there", _BASELINE_EXAMPLES)
    gpu.add_argument("--sequences", default="1,8,32,64,128,256,512", metavar="N[,N...]", help="tokens (default 1,8,32,64,128,256,512)")
    gpu.add_argument("--runs", type=int, default=50, metavar="N", help="calls that are timed (default 50)")
    gpu.add_argument("--warmup", type=int, default=10, metavar="N", help="calls before them (default 10)")
    gpu.add_argument("--device", default="auto", metavar="NAME", help="auto (default: a GPU if there is one), cpu or cuda")
    gpu.add_argument("--dtype", metavar="NAME[,NAME]", help="fp32, fp16 (default: fp32 on a CPU, both on a GPU)")
    gpu.add_argument("--mode", default="eager", metavar="NAME[,NAME...]", help="eager (default), compile, graph (a CUDA graph)")
    gpu.add_argument("--threads", type=int, metavar="N", help="of a CPU (default: torch's own)")
    gpu.add_argument("--gpu-python", metavar="PROGRAM", help="a Python that has torch (default: .venv-peer, made where it is not there)")
    gpu.add_argument("--torch-index", metavar="ADDRESS", help="package index to take torch from")
    gpu.add_argument("--out", type=Path, metavar="FOLDER", help="where gpu_baseline/ is made (default build/)")

    text = "latency, throughput and utilisation on 1 to 72 boards, beside simulated, published and measured figures"
    estimate = add("estimate", text, _ESTIMATE_EXAMPLES)
    estimate.add_argument("--project", default="ibert_base_3x12", metavar="NAME", help="whose model (default ibert_base_3x12: BERT-base)")
    estimate.add_argument("--tokens", type=int, default=128, metavar="N", help="of a sequence (default 128)")
    estimate.add_argument("--devices", metavar="N[-N][,...]", help="how many devices (default: 14 numbers from 1 to 72)")
    estimate.add_argument("--only", metavar="NAME[,NAME...]", help="some of the devices, for example sidewinder,vck190_aie")
    estimate.add_argument("--clock", type=float, default=200.0, metavar="MHZ", help="of the nodes, an assumption (default 200)")
    estimate.add_argument(
        "--aie-efficiency", type=float, metavar="SHARE", help="of the AI engines' peak (default: published, by generation)"
    )
    estimate.add_argument("--record", type=int, choices=(0, 1), default=0, metavar="0|1", help="1: put table and plot into docs/, too")
    estimate.add_argument("--out", type=Path, metavar="FOLDER", help="where estimate/ is made (default build/)")


_ESTIMATE_EXAMPLES = """\
examples (docs/estimates.md)
  floreana estimate                                 BERT-base, 128 tokens, every device, 1 to 72 of them
  floreana estimate --only u250,vck190 --devices 1-24
  floreana estimate --project ibert_base_6 --tokens 32   one encoder
  floreana estimate --aie-efficiency 0.3            another share of the AI engines' peak"""


_NET_EXAMPLES = """\
examples (all as root: it makes network devices; docs/net-demo.md)
  floreana net-demo                             two nodes with random weights
  floreana net-demo --project minilm_6 --text "A sentence over real sockets."
  floreana net-demo --keep 1                    stay until Ctrl-C: ping, arping, tshark and `floreana top` from other terminals
  floreana net-demo --loss 0.2 --seed 7         a worse relay; --loss 0 --reorder 0: none"""


def _net_parsers(
    add: Callable[[str, str, str | None], argparse.ArgumentParser], project_options: Callable[[argparse.ArgumentParser], None]
) -> None:
    net = add("net-demo", "put the simulated cluster behind TAP devices on a Linux bridge, ping it and use it", _NET_EXAMPLES)
    project_options(net)
    net.set_defaults(project="tiny_2")
    net.add_argument("--text", metavar="SENTENCE", help="as for sim")
    net.add_argument("--text-file", type=Path, metavar="FILE", help="as for sim")
    net.add_argument("--tokens", metavar="N[,N...]", help="as for sim")
    net.add_argument("--seed", type=int, default=1, metavar="N", help="of random tokens, and of the relay (default 1)")
    net.add_argument("--sim", default="verilator", metavar="NAME", help="verilator (default) or icarus")
    for name, default, what in (("loss", 0.05, "loses"), ("reorder", 0.1, "delays so that later ones overtake"), ("dup", 0.0, "doubles")):
        net.add_argument(
            f"--{name}",
            type=float,
            default=default,
            metavar="RATE",
            help=f"share of all frames, 0 to 0.5, that the relay {what} in the second run (default {default:g})",
        )
    net.add_argument("--load", default="bus", metavar="HOW", help="bus (default), or frames: the host writes the images over the network")
    net.add_argument("--in-flight", type=int, default=1, metavar="N", help="as for sim")
    net.add_argument("--model", type=Path, metavar="FOLDER", help="as for sim")
    net.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="as for sim")
    net.add_argument("--keep", type=int, choices=(0, 1), default=0, metavar="0|1", help="1: leave the network up until Ctrl-C")
    net.add_argument("--top", type=float, default=0.0, metavar="SECONDS", help="show the counters that often while sentences are at work")

    top = add("top", "show live counters of all nodes of a running net-demo (as root, or inside its host's namespace)", None)
    project_options(top)
    top.set_defaults(project="tiny_2")
    top.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between two tables (default 2)")
    top.add_argument("--once", type=int, choices=(0, 1), default=0, metavar="0|1", help="1: print one table and end")


def _trouble(transport: dict[str, Any]) -> str:
    """What went wrong in a run and was made good, in a few lines; empty where nothing did."""
    lines = [f"cycle {event['cycle']:,}: {event['text']}" for event in transport["events"]]
    if transport["network"]:
        lines.append("the network: " + ", ".join(f"{count:,} frames {kind}" for kind, count in transport["network"].items()))
    for name, causes in transport["dropped"].items():
        lines.append(f"{name} dropped " + ", ".join(f"{count:,} ({cause})" for cause, count in causes.items()))
    if transport["again"]:
        lines.append("sent again: " + ", ".join(f"{count:,} by {name}" for name, count in transport["again_by"].items()))
    if transport["failed_links"]:
        lines.append("links that failed: " + ", ".join(transport["failed_links"]))
    if transport["cycles_added"] is not None:
        lines.append(f"{transport['cycles_added']:,} cycles more than the {transport['cycles_clean']:,} of the run with nothing wrong")
    return "\n".join(lines)


class _Screen:
    """Progress and results on a terminal; plain lines where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._status: Status | None = None
        self._last = ""
        self._said = 0.0

    def __enter__(self) -> _Screen:
        if self.console.is_terminal:
            self._status = self.console.status("")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def _show(self, text: str, often: bool) -> None:
        if self._status is not None:
            self._status.update(text)
        elif text != self._last and (not often or time.monotonic() - self._said > 5):
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
            self._said = time.monotonic()
        self._last = text

    def stage(self, text: str) -> None:
        self._show(text, often="compiling" in text)

    def built(self, simulator: Any) -> None:
        if simulator.seconds:
            self.console.print(
                f"built the {simulator.kind} simulation in {simulator.seconds:.0f} s (kept: the next run starts at once)", highlight=False
            )

    def progress(self, line: dict[str, Any], sentences: int, rows: int) -> None:
        if line["stage"] == "loading":
            self._show("loading the memory images over the configuration buses", often=False)
            return
        if line["phase"] not in ("running", "ending"):
            self._show(f"{line['phase']}: cycle {line['cycle']:,}, {line['frames']:,} frames", often=True)
            return
        done = line["rows"]
        encoder = next((e for e, count in enumerate(done) if count < rows), len(done) - 1)
        which = f"sentence {min(line['sentence'] + 1, sentences)} of {sentences}, " if sentences > 1 else ""
        self._show(
            f"{which}encoder {encoder + 1} of {len(done)}: {done[encoder]} of {rows} rows; "
            f"cycle {line['cycle']:,}, {line['frames']:,} frames",
            often=True,
        )

    def sentence(self, number: int, report: Any, plan: Any) -> None:
        a = report.analysis
        bound = plan.mac_bound(a.tokens)
        share = bound / plan.encoders
        self.console.print(Text(f"{number}: {report.text}", style="bold"), no_wrap=True, overflow="ellipsis")
        table = Table()
        for column in ("encoder", "cycles", "multipliers' bound", "integer model"):
            table.add_column(column, justify="right" if column != "integer model" else "left")
        for encoder, cycles in enumerate(a.cycles_per_encoder):
            shown = "-" if cycles is None else f"{cycles:,}"
            equal = "not on the wire" if not a.on_wire[encoder] else "equal" if a.equal[encoder] else "DIFFERS"
            table.add_row(str(encoder), shown, f"{share:,.0f}", equal)
        table.add_row("all", f"{a.cycles:,}", f"{bound:,}", "equal" if report.bit_exact else "DIFFERS", style="bold")
        self.console.print(table)
        self.console.print(
            f"{a.tokens} tokens, {a.cycles:,} cycles = {1e6 * a.cycles / CLOCK_HZ:,.1f} us at 200 MHz "
            f"({bound / a.cycles:.0%} of them the multipliers' own); "
            f"{a.frames:,} frames, {a.wire_bytes:,} bytes on the wire"
            + ("" if report.cosine is None else f"; cosine to fp32 {report.cosine:.4f}"),
            highlight=False,
            soft_wrap=True,
        )

    def summary(self, content: dict[str, Any], analysis: Any, outcome: Any, folder: Path) -> None:
        ok = content["bit_exact"]
        transport = content["transport"]
        told = _trouble(transport)
        if told:
            self.console.print(told, highlight=False, soft_wrap=True)
        self.console.print(
            f"{'bit for bit equal to the integer model' if ok else 'NOT EQUAL to the integer model'}: {analysis.values:,} values in "
            f"{content['frames']:,} captured frames compared, {transport['again']:,} frames sent again; images loaded in "
            f"{content['load_cycles']:,} cycles; "
            f"{outcome.cycles / max(outcome.seconds, 1e-9):,.0f} cycles/s; results in {folder}",
            style="green" if ok else "red",
            highlight=False,
            soft_wrap=True,
        )

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, table: Any) -> None:
        self.console.print(table)

    def recorded(self, report: Any) -> None:
        from floreana.report.recorded import NOT_COVERED, WHY_NOT_COVERED

        lines = [f"against the recording {report.name}, {len(report.rows)} of its {report.of} rows"]
        for check in report.checks:
            note = f"  ({check.note})" if check.note else ""
            lines.append(f"  {check.side:5} {check.step:48} checked {check.checked:7} equal {check.equal:7}{note}")
        for side in ("model", "RTL"):
            some = [check for check in report.checks if check.side == side]
            lines.append(f"  {side:5} in all: checked {sum(c.checked for c in some)} equal {sum(c.equal for c in some)}")
        if report.inside:
            lines.append(f"  RTL   inside a node, where what is made of it is compared: {', '.join(report.inside)}")
        lines.append(f"  {WHY_NOT_COVERED}: {', '.join(NOT_COVERED)}")
        lines.append(f"  recorded probabilities that floats rounded: {len(report.rounded)}")
        lines += [f"    {value}" for value in report.rounded]
        self.note("\n".join(lines))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _sim(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.sim.flow import Options, simulate
    from floreana.sim.recorded import simulate_recorded

    options = Options(
        project=arguments.project,
        text=arguments.text,
        text_file=arguments.text_file,
        tokens=arguments.tokens,
        seed=arguments.seed,
        sim=arguments.sim,
        link_delay=arguments.link_delay,
        window=arguments.window,
        loss=arguments.loss,
        dup=arguments.dup,
        reorder=arguments.reorder,
        corrupt=arguments.corrupt,
        delay=arguments.delay,
        cut=arguments.cut,
        restart=arguments.restart,
        dead=arguments.dead,
        load=arguments.load,
        in_flight=arguments.in_flight,
        compare_clean=bool(arguments.compare_clean),
        model=arguments.model,
        nodes=arguments.nodes,
        vectors=arguments.vectors,
        encoder=arguments.encoder,
        jobs=arguments.jobs,
        out=arguments.out,
    )
    with _Screen(console) as screen:
        if options.vectors is None:
            simulate(options, screen, version())
        else:
            simulate_recorded(options, screen, version())
    return 0


def _map(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.cluster.description import find_project, load_description
    from floreana.cluster.mapper import choose, mapped_yaml, render_choice
    from floreana.cluster.plan import write_text
    from floreana.sim.flow import build_folder

    description = load_description(find_project(arguments.project), nodes=arguments.nodes)
    if any(description.open.values()):
        choice = choose(description)
        print(render_choice(choice, max(console.width, 110)), flush=True)
        project = choice.project
    else:
        print(f"{description.name}: nothing is open (mapping.strategy, place and groups and the lanes of build are all stated)")
        project = description.decided()
    path = build_folder(project, arguments.out) / "mapped.yaml"
    write_text(path, mapped_yaml(project))
    print(f"written to {path}")
    return 0


def _plan(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.cluster.description import find_project, load_description, load_project
    from floreana.cluster.plan import make_plan, render
    from floreana.cluster.resources import check_fit, devices_of
    from floreana.cluster.schedule import schedule
    from floreana.report import timeline
    from floreana.sim.flow import Options, build_folder, token_counts

    path = find_project(arguments.project)
    description = load_description(path, nodes=arguments.nodes)
    if any(description.open.values()):
        from floreana.cluster.mapper import choose, render_choice

        print(render_choice(choose(description), max(console.width, 110)), flush=True)
    project = load_project(path, nodes=arguments.nodes)
    plan = make_plan(project)
    tokens = token_counts(Options(tokens=arguments.tokens)) or [plan.max_tokens]
    folder = build_folder(project, arguments.out)
    plan.save(folder / "plan.json")
    width = max(console.width, 110)
    devices = devices_of(project)
    print(render(plan, width, devices), flush=True)
    for device, limits in devices.items():
        for text in check_fit(plan.shape, limits):
            console.print(f"does not fit an {device}: {text}", style="red", highlight=False, markup=False, soft_wrap=True)
    found = schedule(plan, tokens)
    print(timeline.text(plan, found, width))
    paths = [folder / "plan.json", *timeline.draw(plan, found, folder / "report")]
    print(f"written to {', '.join(str(path) for path in paths)}")
    return 0


def _schema(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.cluster.description import project_schema

    print(json.dumps(project_schema(), indent=1))
    return 0


def _synth(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.cluster.description import find_project, load_project
    from floreana.cluster.plan import make_plan
    from floreana.project.synth import OVERESTIMATES, analyse, tables, write
    from floreana.sim.flow import build_folder

    project = load_project(find_project(arguments.project), nodes=arguments.nodes)
    plan = make_plan(project)
    folder = build_folder(project, arguments.out)
    with _Screen(console) as screen:
        report = analyse(plan.project, {**plan.shape, "PACKED": 1}, folder.parent / "synth", arguments.jobs, screen.note)
    wide = console if console.width >= 150 else Console(width=150)
    for table in tables(report):
        wide.print(table)
    console.print(OVERESTIMATES, highlight=False, markup=False)
    for text in report.over:
        console.print(f"over the limit: {text}", style="red", highlight=False)
    console.print(f"written to {write(report, folder)}", highlight=False, soft_wrap=True)
    return 1 if report.over else 0


def _vivado(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.project.generate import generate, generate_all

    with _Screen(console) as screen:
        if arguments.command == "projects":
            done = generate_all(arguments.out, arguments.model, screen.stage)
        else:
            done = [generate(arguments.project, arguments.out, arguments.model, arguments.nodes, screen.stage)]
    for one in done:
        count = {name: list(one.boards.values()).count(name) for name in sorted(set(one.boards.values()))}
        which = ", ".join(f"{number} x {name}" for name, number in count.items())
        console.print(f"{one.folder}: {which}; {one.files} files, {one.changed} of them new or changed", highlight=False, soft_wrap=True)
        for text in one.tight:
            console.print(f"little room on an {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print("Vivado was not run: docs/vivado.md says what was checked", highlight=False)
    return 0


def _hardware(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.demo.hardware import check, load

    if arguments.goal == "check":
        return check(arguments.folder, console)
    with _Screen(console) as screen:
        return load(arguments.folder, screen.note)


def _resources(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.cluster.resources import OVERCOUNT, load
    from floreana.environment import project_root
    from floreana.project.fit import differing, refresh, stale, table

    out = project_root() / "build" if arguments.out is None else arguments.out
    if arguments.refresh:
        with _Screen(console) as screen:
            data = refresh(out / "synth", screen.note)
    else:
        data = load()
    wide = console if console.width >= 150 else Console(width=150)
    wide.print(table(data))
    console.print(OVERCOUNT, highlight=False, markup=False)
    for text in stale(data):
        console.print(f"warning: {text}; make resources REFRESH=1", style="yellow", highlight=False, soft_wrap=True)
    wrong = differing(data)
    for text in wrong:
        console.print(text, style="red", highlight=False, soft_wrap=True)
    return 1 if wrong else 0


def _verify(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.sim.flow import recorded_runs, verify

    for folder in recorded_runs(arguments.folder):
        plan, analysis = verify(folder)
        sentences = len(analysis.sentences)
        console.print(
            f"{folder}: equal. {analysis.values:,} values in {analysis.frames:,} captured frames of {sentences} "
            f"sentence{'s' if sentences > 1 else ''} and {plan.encoders} encoder{'s' if plan.encoders > 1 else ''} agree with the integer "
            "model.",
            highlight=False,
            soft_wrap=True,
        )
    return 0


def _bench(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.report.bench import BenchOptions, bench

    options = BenchOptions(
        only=arguments.only,
        record=bool(arguments.record),
        again=bool(arguments.again),
        model=arguments.model,
        jobs=arguments.jobs,
        out=arguments.out,
    )
    with _Screen(console) as screen:
        return bench(options, screen, version(), console)


def _bench_check(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.environment import project_root
    from floreana.report.bench_check import bench_check
    from floreana.report.bench_runs import Runner

    base = (project_root() / "build" if arguments.out is None else arguments.out).absolute()
    with _Screen(console) as screen:
        runner = Runner(base, screen, version(), arguments.jobs, sim=arguments.sim)
        return bench_check(runner, console, bool(arguments.record))


def _model_check(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.environment import project_root
    from floreana.report.bench_runs import Runner
    from floreana.report.model_check import model_check

    base = (project_root() / "build" if arguments.out is None else arguments.out).absolute()
    wide = console if console.width >= 150 else Console(width=150)
    with _Screen(console) as screen:
        runner = Runner(base, screen, version(), arguments.jobs)
        return model_check(runner, wide, only=arguments.only, record=bool(arguments.record))


def _bench_sim(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.sim.flow import Options
    from floreana.sim.speed import bench_sim

    options = Options(
        project=arguments.project,
        text=arguments.text,
        model=arguments.model,
        nodes=arguments.nodes,
        jobs=arguments.jobs,
        out=arguments.out,
    )
    with _Screen(console) as screen:
        return bench_sim(options, screen, version(), console)


def _gpu_baseline(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.baseline.launch import BaselineOptions, gpu_baseline

    options = BaselineOptions(**{name: value for name, value in vars(arguments).items() if name != "command"})
    with _Screen(console) as screen:
        screen.note(f"written to {gpu_baseline(options, screen.note)}")
    return 0


def _estimate(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.estimate.estimate import EstimateOptions, write_estimate

    options = EstimateOptions(**{name: value for name, value in vars(arguments).items() if name not in ("command", "record")})
    with _Screen(console) as screen:
        return write_estimate(replace(options, record=bool(arguments.record)), console, screen.stage)


def _net_demo(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.demo.net_demo import NetOptions, net_demo
    from floreana.sim.flow import Options

    names = (
        "project",
        "text",
        "text_file",
        "tokens",
        "seed",
        "sim",
        "loss",
        "reorder",
        "dup",
        "load",
        "in_flight",
        "model",
        "nodes",
        "jobs",
        "out",
    )
    options = NetOptions(Options(**{name: getattr(arguments, name) for name in names}), bool(arguments.keep), arguments.top)
    with _Screen(console) as screen:
        net_demo(options, screen)
    return 0


def _top(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.cluster.description import find_project, load_project
    from floreana.demo.top import net_file, top

    project = load_project(find_project(arguments.project), nodes=arguments.nodes)
    return top(net_file(project, arguments.out), console, arguments.interval, bool(arguments.once))


def _fuzz(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.sim.flow import Options
    from floreana.sim.fuzz import DEFAULT_TOKENS, fuzz, render

    names = ("project", "tokens", "text", "seed", "sim", "restart", "model", "nodes", "jobs", "out")
    options = Options(**{name: getattr(arguments, name) for name in names})
    if options.project == "tiny_2" and options.tokens is None:
        options = replace(options, tokens=DEFAULT_TOKENS)
    with _Screen(console) as screen:
        report = fuzz(options, arguments.frames, screen)
        screen.note(render(report))
    return 0


def _ipxact(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.environment import project_root
    from floreana.project.ipxact import write_scripts

    out = project_root() / "build" if arguments.out is None else arguments.out
    for path in write_scripts(out, version(), arguments.only):
        print(f"written to {path}")
    return 0


def _galapagos(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.cluster.description import find_project, load_project
    from floreana.cluster.plan import make_plan
    from floreana.galapagos.export import GalapagosOptions, write_export
    from floreana.galapagos.project import import_map
    from floreana.sim.flow import build_folder

    if arguments.action == "import":
        path, notes = import_map(arguments.logical, arguments.map, arguments.name, arguments.like, arguments.out)
        print("\n".join([*notes, f"written to {path}"]))
        return 0
    project = load_project(find_project(arguments.project), nodes=arguments.nodes)
    options = GalapagosOptions(arguments.dest_bits, arguments.user_bits, arguments.board, arguments.comm, arguments.format)
    folder = write_export(make_plan(project), build_folder(project, arguments.out), options, version())
    if not (folder / "config").is_dir():
        print("without configuration packets: they come from the images, which `floreana sim` makes")
    print(f"written to {folder}")
    return 0


def _import_config(arguments: argparse.Namespace, console: Console) -> int:
    from floreana.galapagos.cluster_builder import import_config

    path, notes = import_config(
        arguments.file, arguments.name, arguments.strategy, arguments.nodes, arguments.encoders, arguments.out
    )  # fmt: skip
    print("\n".join([*notes, f"written to {path}"]))
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace, Console], int]] = {
    "sim": _sim,
    "map": _map,
    "plan": _plan,
    "schema": _schema,
    "synth": _synth,
    "vivado": _vivado,
    "projects": _vivado,
    "hardware": _hardware,
    "resources": _resources,
    "verify": _verify,
    "bench": _bench,
    "bench-check": _bench_check,
    "model-check": _model_check,
    "bench-sim": _bench_sim,
    "gpu-baseline": _gpu_baseline,
    "estimate": _estimate,
    "net-demo": _net_demo,
    "fuzz": _fuzz,
    "top": _top,
    "ipxact": _ipxact,
    "galapagos": _galapagos,
    "import-config": _import_config,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    console = Console()
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _COMMANDS[arguments.command](arguments, console)
    except FloreanaError as error:
        print(f"floreana: {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("floreana: interrupted; nothing is left running", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            place = f" {error.filename}" if error.filename else ""
            print(f"floreana: cannot write{place}: {error.strerror}; free space, or choose another folder with OUT=", file=sys.stderr)
            return 3
        traceback.print_exc()
        return 4
    except Exception:
        traceback.print_exc()
        print("floreana: internal error; please report the lines above", file=sys.stderr)
        return 4
    finally:
        signal.signal(signal.SIGTERM, previous)
