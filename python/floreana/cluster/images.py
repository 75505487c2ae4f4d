# SPDX-License-Identifier: Apache-2.0
"""Plan and parameters -> one memory image per node: the configuration writes that load it, in order.

``images/node<k>.hex`` holds one write a line, 136 hexadecimal digits: address (32 bits), then data (512 bits), most
significant digit first, so that ``$readmemh`` reads it into a memory of 544 bits. Every table that a stray message
could look up is written whole, unused entries as zero (not valid, not routable): nothing relies on what a memory holds
after power-up.
``images/manifest.json`` lists lines and SHA-256 of each file. The same plan and parameters give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floreana.cluster import layout
from floreana.cluster.plan import (
    ADD_NORM_CONTEXTS,
    ATTENTION_CONTEXTS,
    CONTEXT_LAYOUTS,
    EDGES_N,
    LINEAR_CONTEXTS,
    ContextPlan,
    NodePlan,
    Plan,
    with_link_delay,
)
from floreana.errors import EnvironmentError_, InputError
from floreana.ibert.params import DEFERRED, PUBLISHED, EncoderParams, IntArray, LinearParams, ModelParams, RequantParams

WRITE_BYTES = 4 + layout.BEAT_BYTES
KERNEL_NUMBERS = 256
_UNITS = {"linear": layout.UNIT_LINEAR, "attention": layout.UNIT_ATTENTION, "add_norm": layout.UNIT_ADD_NORM}
_CONTEXTS_N = {"linear": LINEAR_CONTEXTS, "attention": ATTENTION_CONTEXTS, "add_norm": ADD_NORM_CONTEXTS}
_HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)

ByteArray = NDArray[np.uint8]


def _signed(bits: int) -> tuple[int, int]:
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


# limits of the parameters: what the fields of the tables hold
_LIMITS = {
    "weight": _signed(8),
    "bias": _signed(32),
    "m": _signed(32),
    "e": (0, 80),
    "off": _signed(9),
    "gelu_b": (_signed(20)[0], 0),
    "gelu_c": _signed(40),
    "gelu_shift": _signed(24),
    "x0": (-(1 << 16) + 1, -1),
    "b": _signed(20),
    "c": _signed(32),
    "softmax_e": (30, 80),
    "mode": (PUBLISHED, DEFERRED),
    "shift": (0, 31),
    "none": (0, 0),
}


class _Checker:
    """Collects every parameter that has the wrong shape or does not fit its field."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def array(self, name: str, values: IntArray, shape: tuple[int, ...], limit: str) -> None:
        if values.shape != shape:
            self.problems.append(f"{name}: shape {values.shape}, the plan needs {shape}")
        elif values.dtype.kind != "i":
            self.problems.append(f"{name}: type {values.dtype}, integers are needed")
        else:
            low, high = _LIMITS[limit]
            worst = int(values.min()) if int(values.min()) < low else int(values.max())
            if not low <= worst <= high:
                where = "no offset exists there" if limit == "none" else "quantise again with that limit"
                self.problems.append(f"{name}: value {worst}, limit {low}..{high}; {where}")

    def scalar(self, name: str, value: int, limit: str) -> None:
        self.array(name, np.array(value, np.int64), (), limit)

    def linear(self, name: str, p: LinearParams, outputs: int, inputs: int) -> None:
        self.array(f"{name}.weight", p.weight, (outputs, inputs), "weight")
        self.array(f"{name}.bias", p.bias, (outputs,), "bias")

    def requant(self, name: str, p: RequantParams, channels: int, offset: bool = True) -> None:
        self.array(f"{name}.m", p.m, (channels,), "m")
        self.array(f"{name}.e", p.e, (channels,), "e")
        self.array(f"{name}.off", p.off, (channels,), "off" if offset else "none")


def check_params(plan: Plan, params: ModelParams) -> None:
    """Raise InputError listing every parameter that does not fit the plan or its field."""
    check = _Checker()
    for name, want, got in (
        ("hidden size", plan.hidden, params.hidden),
        ("heads", plan.heads, params.heads),
        ("FFN size", plan.ffn, params.ffn),
        ("encoders", plan.encoders, len(params.encoders)),
    ):
        if want != got:
            check.problems.append(f"{name}: {got} in the parameters, {want} in the plan; plan again for this model")
    if not check.problems:
        hidden, ffn = plan.hidden, plan.ffn
        for index, p in enumerate(params.encoders):
            at = f"encoder {index} "
            for name in ("q", "k", "v", "out"):
                check.linear(at + name, getattr(p, name), hidden, hidden)
            check.linear(at + "ffn1", p.ffn1, ffn, hidden)
            check.linear(at + "ffn2", p.ffn2, hidden, ffn)
            for name in ("q_rq", "k_rq", "v_rq", "context_rq", "ln1_rq", "ln2_rq"):
                check.requant(at + name, getattr(p, name), hidden)
            check.requant(at + "ffn1_rq", p.ffn1_rq, ffn)
            for name in ("out_rq", "out_res_rq", "ffn2_rq", "ffn2_res_rq"):
                check.requant(at + name, getattr(p, name), hidden, offset=False)
            for field in ("b", "c", "shift"):
                check.array(f"{at}gelu.{field}", getattr(p.gelu, field), (ffn,), f"gelu_{field}")
            for name in ("ln1", "ln2"):
                check.array(f"{at}{name}.bias", getattr(p, name).bias, (hidden,), "bias")
                check.scalar(f"{at}{name}.shift", getattr(p, name).shift, "shift")
            for field, limit in (("x0", "x0"), ("b", "b"), ("c", "c"), ("m", "m"), ("e", "softmax_e"), ("mode", "mode")):
                check.scalar(f"{at}softmax.{field}", getattr(p.softmax, field), limit)
    if check.problems:
        head = f"the parameters of {params.name} do not fit project {plan.project}:"
        raise InputError("\n".join([head, *(f"  {problem}" for problem in check.problems)]))


class _Writes:
    """Configuration writes in order, as rows of 68 bytes, most significant first."""

    def __init__(self) -> None:
        self.parts: list[ByteArray] = []

    def entry(self, unit: int, mem: int, index: int, word: int) -> None:
        raw = layout.cfg_addr(unit, mem, index).to_bytes(4, "big") + word.to_bytes(layout.BEAT_BYTES, "big")
        self.parts.append(np.frombuffer(raw, np.uint8)[None])

    def table(self, unit: int, mem: int, kind: layout.Layout, words: dict[int, dict[str, int]], size: int) -> None:
        """A table of ``size`` entries, zero where ``words`` has none."""
        for index in range(size):
            self.entry(unit, mem, index, layout.pack(kind, words[index]) if index in words else 0)

    def columns(self, unit: int, mem: int, kind: layout.Layout, base: int, columns: dict[str, IntArray]) -> None:
        """Entries from ``base`` on, one for each position of the columns; absent fields are zero."""
        count = len(next(iter(columns.values())))
        zero = np.zeros(count, np.int64)
        values = [columns.get(name, zero).tolist() for name, _ in kind]
        names = [name for name, _ in kind]
        for index, row in enumerate(zip(*values, strict=True)):
            self.entry(unit, mem, base + index, layout.pack(kind, dict(zip(names, row, strict=True))))

    def block(self, unit: int, mem: int, indices: IntArray, data: ByteArray) -> None:
        """Many writes at once: ``data`` (n, up to 64) bytes, lowest byte of the word first."""
        raw = np.zeros((len(indices), WRITE_BYTES), np.uint8)
        address = indices + layout.cfg_addr(unit, mem, 0)
        for byte in range(4):
            raw[:, byte] = address >> (8 * (3 - byte)) & 255
        raw[:, WRITE_BYTES - data.shape[1] :] = data[:, ::-1]
        self.parts.append(raw)

    def text(self) -> tuple[bytes, int]:
        """The image and its number of lines."""
        raw = np.concatenate(self.parts)
        lines = np.full((len(raw), 2 * WRITE_BYTES + 1), ord("\n"), np.uint8)
        lines[:, :-1] = _HEX[raw].reshape(len(raw), -1)
        return lines.tobytes(), len(raw)


def _rows(values: IntArray, count: int) -> IntArray:
    """``values`` with zeros appended along the first axis up to ``count``."""
    return np.concatenate([values, np.zeros((count - len(values), *values.shape[1:]), np.int64)])


def _linear_slice(node: NodePlan, name: str, p: EncoderParams) -> tuple[IntArray, IntArray]:
    """Weights (outputs, inputs) and bias (outputs,) of a node's context."""
    own = slice(*node.columns[name])
    if name == "qkv":
        return (
            np.concatenate([part.weight[own] for part in (p.q, p.k, p.v)]),
            np.concatenate([part.bias[own] for part in (p.q, p.k, p.v)]),
        )
    if name == "ffn1":
        return p.ffn1.weight[own], p.ffn1.bias[own]
    whole = p.out if name == "out" else p.ffn2
    # the bias of a sum over the nodes enters once, with the first columns
    return whole.weight[:, own], whole.bias if own.start == 0 else np.zeros_like(whole.bias)


def _post_slice(node: NodePlan, name: str, p: EncoderParams) -> dict[str, IntArray]:
    """Columns of POST of a node's requantised context, one entry a channel."""
    own = slice(*node.columns[name])
    if name == "qkv":
        parts = (p.q_rq, p.k_rq, p.v_rq)
        return {f.name: np.concatenate([getattr(rq, f.name)[own] for rq in parts]) for f in fields(RequantParams)}
    return {f.name: getattr(p.ffn1_rq, f.name)[own] for f in fields(RequantParams)} | {
        f"gelu_{field}": getattr(p.gelu, field)[own] for field in ("b", "c", "shift")
    }


def _write_linear(writes: _Writes, plan: Plan, node: NodePlan, context: ContextPlan, p: EncoderParams) -> None:
    k_lanes, out_n, lanes = (plan.shape[name] for name in ("K_LANES", "OUT_N", "POST_LANES"))
    f = context.fields
    steps = f["in_beats"] * layout.BEAT_BYTES // k_lanes
    channels = f["groups"] * out_n
    weight, bias = _linear_slice(node, context.name, p)
    words = _rows(weight, channels).reshape(f["groups"], out_n, steps, k_lanes).transpose(0, 2, 1, 3)
    word = np.arange(f["groups"] * steps, dtype=np.int64)[:, None] + f["w_base"]
    indices = (word << 6 | np.arange(out_n)).reshape(-1)
    writes.block(layout.UNIT_LINEAR, layout.MEM_WEIGHT, indices, words.reshape(-1, k_lanes).astype(np.int8).view(np.uint8))
    segments = np.ascontiguousarray(_rows(bias, channels).reshape(-1, 16).astype("<i4")).view(np.uint8)
    word = np.arange(f["groups"], dtype=np.int64)[:, None] + f["bias_base"]
    writes.block(layout.UNIT_LINEAR, layout.MEM_BIAS, (word << 4 | np.arange(out_n // 16)).reshape(-1), segments.reshape(-1, 64))
    if f["mode"] != layout.LINEAR_PARTIAL:
        padded = -(-channels // lanes) * lanes
        columns = {k: _rows(v, padded) for k, v in _post_slice(node, context.name, p).items()}
        writes.columns(layout.UNIT_LINEAR, layout.MEM_POST, layout.POST, f["post_base"] * lanes, columns)


def _context_word(context: ContextPlan, p: EncoderParams) -> dict[str, int]:
    """All fields of a context, those of the parameters filled in."""
    values = dict(context.fields)
    if context.kernel == "attention":
        s = p.softmax
        values |= {"x0": -s.x0, "b": s.b, "c": s.c, "m": s.m, "e": s.e, "mode": s.mode}
    elif context.name in ("ln1", "ln2"):
        values["shift"] = p.ln1.shift if context.name == "ln1" else p.ln2.shift
    return values


def _write_kernel_params(writes: _Writes, plan: Plan, node: NodePlan, context: ContextPlan, p: EncoderParams) -> None:
    if context.kernel == "linear":
        _write_linear(writes, plan, node, context, p)
    elif context.kernel == "attention":
        own = slice(*node.columns["attention"])
        rq = p.context_rq
        writes.columns(
            layout.UNIT_ATTENTION,
            layout.MEM_REQUANT,
            layout.REQUANT,
            context.fields["req_base"] * layout.BEAT_BYTES,
            {"m": rq.m[own], "e": rq.e[own], "off": rq.off[own]},
        )
    elif context.name in ("ln1", "ln2"):
        rq, res, norm, out = (
            (p.out_rq, p.out_res_rq, p.ln1, p.ln1_rq) if context.name == "ln1" else (p.ffn2_rq, p.ffn2_res_rq, p.ln2, p.ln2_rq)
        )
        writes.columns(
            layout.UNIT_ADD_NORM,
            layout.MEM_CHANNEL,
            layout.CHANNEL,
            context.fields["chan_base"] * plan.shape["NORM_LANES"],
            {
                "m": rq.m,
                "e": rq.e,
                "m1": res.m,
                "e1": res.e,
                "bias": norm.bias,
                "om": out.m,
                "oe": out.e,
                "ooff": out.off,
            },
        )


def _node_image(plan: Plan, node: NodePlan, params: ModelParams) -> tuple[bytes, int]:
    writes = _Writes()
    ident = {"cluster": node.cluster, **node.kernels}
    first = plan.clusters[node.cluster].nodes[0]
    owners = {"owner": np.array([owner - first for owner in node.owners], np.int64)}
    writes.entry(layout.UNIT_NODE, layout.MEM_IDENT, 0, layout.pack(layout.IDENT, ident))
    for kernel, unit in _UNITS.items():
        edges = {number: {"ctx": e.ctx, "role": e.role, "valid": 1} for number, e in node.edges[kernel].items()}
        writes.table(unit, layout.MEM_EDGE, layout.EDGE, edges, EDGES_N)
        contexts = {
            context.index: _context_word(context, params.encoders[context.encoder]) for context in node.contexts if context.kernel == kernel
        }
        writes.table(unit, layout.MEM_CONTEXT, CONTEXT_LAYOUTS[kernel], contexts, _CONTEXTS_N[kernel])
        for index, entry in enumerate(node.messages[kernel]):
            values = {f.name: getattr(entry, f.name) for f in fields(entry)}
            writes.entry(unit, layout.MEM_MESSAGE, index, layout.pack(layout.MESSAGE, values))
        writes.columns(unit, layout.MEM_OWNER, layout.OWNER, 0, owners)
        if kernel == "add_norm":
            local = {"local_row": np.array(plan.local_rows, np.int64)}
            writes.columns(unit, layout.MEM_LOCAL_ROW, layout.LOCAL_ROW, 0, local)
        for context in node.contexts:
            if context.kernel == kernel:
                _write_kernel_params(writes, plan, node, context, params.encoders[context.encoder])
    for gateway in node.gateway:
        unit = layout.UNIT_ETH + len(node.ports)
        writes.entry(unit, layout.MEM_GATE, 0, layout.pack(layout.GATE, {f.name: getattr(gateway, f.name) for f in fields(gateway)}))
        writes.columns(unit, layout.MEM_OWNER, layout.OWNER, 0, owners)
    destinations = KERNEL_NUMBERS + (len(plan.clusters) if len(plan.clusters) > 1 else 0)
    route = {number: {"ports": mask} for number, mask in node.route.items()}
    writes.table(layout.UNIT_SWITCH, layout.MEM_ROUTE, layout.ROUTE, route, destinations)
    eth_units = (layout.UNIT_ETH, layout.UNIT_ETH_1)[: len(node.ports)]
    transport = plan.transport
    registers = {
        layout.REG_ACK_DELAY: transport.ack_delay,
        layout.REG_RTO: transport.rto,
        layout.REG_RETRIES: transport.retries,
        layout.REG_KEEP: transport.keep,
        layout.REG_NACK_HOLD: transport.nack_hold,
    }
    for unit, ways in zip(eth_units, node.peers, strict=True):
        peers = {
            number: {"nodes": sum(1 << plan.numbers.index(peer) for peer in range(mask.bit_length()) if mask >> peer & 1)}
            for number, mask in ways.items()
        }
        writes.table(unit, layout.MEM_PEERS, layout.PEERS, peers, destinations)
        for index, value in registers.items():
            writes.entry(unit, layout.MEM_REGISTER, index, layout.pack(layout.REGISTER, {"value": value}))
    for unit, around in zip(eth_units, node.peer, strict=True):  # last: a link comes up when all else is there
        by_index = {plan.numbers.index(peer): peer for peer in around}
        for index in range(plan.shape["PEERS_N"]):
            if index in by_index:
                peer, p = by_index[index], around[by_index[index]]
                word = layout.pack(layout.PEER, {"mac": p.mac, "ip": p.ip, "valid": 1, "quota": p.quota})
                writes.entry(unit, layout.MEM_PEER, plan.numbers.number(peer), word)
            else:
                writes.entry(unit, layout.MEM_PEER, index, 0)
    return writes.text()


def node_images(plan: Plan, params: ModelParams, link_delay: int | None = None) -> Iterator[tuple[str, bytes, int]]:
    """(file name, text, lines) of each node's image. Raises InputError where the parameters do not fit.

    ``link_delay``, in cycles, where it is another than the plan's: the registers of the Ethernet ports follow it.
    """
    check_params(plan, params)
    if link_delay is not None:
        plan = with_link_delay(plan, link_delay)
    for node in plan.nodes:
        text, lines = _node_image(plan, node, params)
        yield f"node{node.index}.hex", text, lines


def write_images(plan: Plan, params: ModelParams, folder: Path, link_delay: int | None = None) -> Path:
    """Write ``folder``/images/node<k>.hex and manifest.json, all or nothing; returns ``folder``/images. ``link_delay`` as in node_images.

    Raises InputError where the parameters do not fit the plan, EnvironmentError_ where the disk refuses.
    """
    target = folder / "images"
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".images."))
        temporary.chmod(0o755)
        files = {}
        for name, text, lines in node_images(plan, params, link_delay):
            (temporary / name).write_bytes(text)
            files[name] = {"lines": lines, "sha256": hashlib.sha256(text).hexdigest()}
        manifest = {"project": plan.project, "params": params.name, "files": files}
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        old = temporary.with_name(f"{temporary.name}.old")
        if target.exists():
            target.rename(old)
        temporary.rename(target)
        temporary = None
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise EnvironmentError_(f"{target}: cannot be written: {error.strerror}; free space or choose another place") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return target
