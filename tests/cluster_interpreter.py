# SPDX-License-Identifier: Apache-2.0
"""Oracle for the mapper: decodes node images and runs them as table-driven behavioural kernels, without any RTL.

It knows the configuration layouts, the shape and docs/architecture.md; from the plan it takes nothing but what the
hardware gets (shape, identities) and what the host is told (entry, owners). Messages are delivered and rows computed in
a random order, one kernel starved, that keeps only what the hardware promises: order between one sender and one
receiver. A store word written before its last value was used, an address beyond a memory, an unknown edge or an
unroutable message raise.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from floreana.cluster import layout as lay
from floreana.cluster.plan import Plan
from floreana.ibert import ops
from floreana.ibert.model import EncoderTrace
from floreana.ibert.params import (
    DEFERRED,
    EncoderParams,
    GeluParams,
    IntArray,
    LayerNormParams,
    LinearParams,
    ModelParams,
    RequantParams,
    SoftmaxParams,
)

SIGNED = {"m", "off", "gelu_b", "gelu_c", "gelu_shift", "m1", "bias", "om", "ooff", "b", "c"}
BEAT = lay.BEAT_BYTES
RESIDUAL_BEATS = -1  # in an add_norm row's counts, beside its slices
SLICED = {"q": "attention", "k": "attention", "v": "attention", "context": "out", "ffn1": "ffn2"}  # whose columns
PARTIAL = {"out_part": "out", "ffn2_part": "ffn2"}
ETH = {lay.PORT_ETH: lay.UNIT_ETH, lay.PORT_ETH_1: lay.UNIT_ETH_1}
# node and port that sent, node and port that receive, and whether it came over a wire, so that the receiver's switch has it next
Path_ = tuple[int, int, int, int, bool]
Send = Callable[[lay.Header, bytes], None]


class PlanFaultError(AssertionError):
    """The tables make the cluster do something that no correct plan makes it do."""


def fault(condition: bool, text: str) -> None:
    if condition:
        raise PlanFaultError(text)


def decode(kind: lay.Layout, word: int) -> dict[str, int]:
    """Fields of an entry, signed where the architecture says so."""
    fault(bool(word >> lay.layout_width(kind)), f"bits beyond the entry: {word:x}")
    values = lay.unpack(kind, word)
    for name, width in kind:
        if name in SIGNED and values[name] >> (width - 1):
            values[name] -= 1 << width
    return values


class Image:
    """The memories of one node after its writes: {(unit, memory): {index: word}}."""

    def __init__(self, path: Path) -> None:
        self.memories: dict[tuple[int, int], dict[int, int]] = {}
        for line in path.read_text(encoding="ascii").splitlines():
            fault(len(line) != 136, f"{path.name}: a line of {len(line)} digits")
            address, word = int(line[:8], 16), int(line[8:], 16)
            memory = self.memories.setdefault((address >> 28, address >> 24 & 15), {})
            index = address & 0xFFFFFF
            fault(index in memory, f"{path.name}: address {address:08x} is written twice")
            memory[index] = word

    def entry(self, unit: int, mem: int, index: int, kind: lay.Layout) -> dict[str, int]:
        memory = self.memories[unit, mem]
        fault(index not in memory, f"unit {unit} memory {mem}: entry {index} was never written")
        return decode(kind, memory[index])


class Store:
    """A memory whose words carry a live mark: written once, used, written again."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self.words: dict[int, IntArray] = {}

    def write(self, address: int, value: IntArray) -> None:
        fault(not 0 <= address < self.size, f"{self.name}: address {address} of {self.size}")
        fault(address in self.words, f"{self.name}: word {address} is overwritten before it was used")
        self.words[address] = value

    def take(self, address: int, count: int) -> IntArray:
        """Read ``count`` words and free them."""
        for i in range(address, address + count):
            fault(i not in self.words, f"{self.name}: word {i} is read before it was written")
        return np.concatenate([self.words.pop(i) for i in range(address, address + count)])


def int8_words(payload: bytes) -> list[IntArray]:
    return [np.frombuffer(payload[i : i + BEAT], np.int8).astype(np.int64) for i in range(0, len(payload), BEAT)]


class Kernel:
    """What the three kernels share: tables, checks on receipt, cutting rows into messages."""

    unit: int
    context_layout: lay.Layout

    def __init__(self, image: Image, shape: dict[str, int], kernel: int, send: Send) -> None:
        self.image, self.shape, self.kernel, self.emit = image, shape, kernel, send
        self.work: list[Callable[[], None]] = []  # rows that are complete and wait to be computed

    def table(self, mem: int, index: int, kind: lay.Layout) -> dict[str, int]:
        return self.image.entry(self.unit, mem, index, kind)

    def lookup(self, header: lay.Header, payload: bytes) -> tuple[dict[str, int], int]:
        """Context and role of a message."""
        edge = self.table(lay.MEM_EDGE, header.edge, lay.EDGE)
        fault(not edge["valid"], f"kernel {self.kernel}: edge {header.edge} is not valid here")
        fault(header.row >> self.shape["ROW_W"] > 0, f"kernel {self.kernel}: row {header.row}")
        fault(header.slot >> self.shape["SLOT_W"] > 0, f"kernel {self.kernel}: slot {header.slot}")
        fault(not payload or len(payload) % BEAT > 0, f"kernel {self.kernel}: payload of {len(payload)} bytes")
        return self.table(lay.MEM_CONTEXT, edge["ctx"], self.context_layout), edge["role"]

    def send_row(self, row: bytes, msg_base: int, msg_count: int, header: lay.Header) -> None:
        at = 0
        for index in range(msg_base, msg_base + msg_count):
            entry = self.table(lay.MEM_MESSAGE, index, lay.MESSAGE)
            owner = self.table(lay.MEM_OWNER, header.row, lay.OWNER)["owner"] if entry["by_owner"] else 0
            size = entry["beats"] * BEAT
            fault(not 0 < size <= 1024 or at + size > len(row), f"message entry {index}: {size} bytes at {at}")
            sent = replace(
                header,
                dst_cluster=entry["dst_cluster"],
                dst_kernel=entry["dst_kernel"] + owner,
                edge=entry["edge"],
                src_cluster=0,
                src_kernel=self.kernel,
                offset=entry["offset"],
                type=entry["type"],
            )
            self.emit(sent, row[at : at + size])
            at += size
        fault(at != len(row), f"messages from entry {msg_base}: {at} of {len(row)} bytes are sent")

    def receive(self, header: lay.Header, payload: bytes) -> None:
        raise NotImplementedError

    def rest(self) -> None:
        """Raise where something is still stored."""
        raise NotImplementedError


class Linear(Kernel):
    unit = lay.UNIT_LINEAR
    context_layout = lay.LINEAR_CONTEXT

    def __init__(self, image: Image, shape: dict[str, int], kernel: int, send: Send) -> None:
        super().__init__(image, shape, kernel, send)
        self.store = Store(f"linear {kernel} row store", shape["STORE_BEATS"])
        self.count: Counter[tuple[int, int]] = Counter()
        self.cache: dict[int, tuple[LinearParams, list[dict[str, int]]]] = {}

    def params(self, c: dict[str, int]) -> tuple[LinearParams, list[dict[str, int]]]:
        """Weights, bias and POST entries of a context, from the memories."""
        if c["w_base"] in self.cache:
            return self.cache[c["w_base"]]
        k_lanes, out_n = self.shape["K_LANES"], self.shape["OUT_N"]
        steps = c["in_beats"] * BEAT // k_lanes
        memory = self.image.memories[self.unit, lay.MEM_WEIGHT]
        weight = np.zeros((c["groups"] * out_n, c["in_beats"] * BEAT), np.int64)
        bias = np.zeros(c["groups"] * out_n, np.int64)
        for g in range(c["groups"]):
            for k in range(steps):
                word = c["w_base"] + g * steps + k
                fault(word >= self.shape["W_WORDS"], f"weight word {word}")
                for o in range(out_n):
                    raw = memory[word << 6 | o]
                    fault(bool(raw >> 8 * k_lanes), f"weight word {word} is wider than {k_lanes} lanes")
                    lanes = np.frombuffer(raw.to_bytes(k_lanes, "little"), np.int8)
                    weight[g * out_n + o, k * k_lanes : (k + 1) * k_lanes] = lanes
            word = c["bias_base"] + g
            fault(word >= self.shape["BIAS_WORDS"], f"bias word {word}")
            for segment in range(out_n // 16):
                raw = self.image.memories[self.unit, lay.MEM_BIAS][word << 4 | segment]
                at = g * out_n + 16 * segment
                bias[at : at + 16] = np.frombuffer(raw.to_bytes(64, "little"), "<i4")
        post: list[dict[str, int]] = []
        if c["mode"] != lay.LINEAR_PARTIAL:
            lanes_n = self.shape["POST_LANES"]
            for channel in range(c["groups"] * out_n):
                index = c["post_base"] * lanes_n + channel
                fault(index >= self.shape["POST_WORDS"] * lanes_n, f"POST entry {index}")
                post.append(self.table(lay.MEM_POST, index, lay.POST))
        self.cache[c["w_base"]] = LinearParams(weight, bias), post
        return self.cache[c["w_base"]]

    def receive(self, header: lay.Header, payload: bytes) -> None:
        c, role = self.lookup(header, payload)
        fault(role != lay.ROLE_DATA or header.type != lay.TYPE_INT8, f"linear {self.kernel}: role {role}")
        index = header.slot << self.shape["ROW_W"] | header.row
        base, first = c["in_base"] + index * c["in_beats"], header.offset * 4 // BEAT
        fault(first + len(payload) // BEAT > c["in_beats"], f"linear {self.kernel}: slice beyond the row")
        for i, word in enumerate(int8_words(payload)):
            self.store.write(base + first + i, word)
        self.count[c["region"], index] += len(payload) // BEAT
        if self.count[c["region"], index] < c["in_beats"]:
            return
        del self.count[c["region"], index]
        self.work.append(lambda: self.compute(c, header, base))

    def compute(self, c: dict[str, int], header: lay.Header, base: int) -> None:
        x = self.store.take(base, c["in_beats"])
        weights, post = self.params(c)
        acc = ops.linear(x[None], weights)
        valid = c["out_units"] * 16
        fault(not 0 <= c["groups"] * self.shape["OUT_N"] - valid < self.shape["OUT_N"], "groups and out_units differ")
        if c["mode"] == lay.LINEAR_PARTIAL:
            row = acc[0, :valid].astype("<i4").tobytes()
        else:
            value = acc
            column = {name: np.array([entry[name] for entry in post], np.int64) for name, _ in lay.POST}
            if c["mode"] == lay.LINEAR_GELU:
                value = ops.gelu(value, GeluParams(column["gelu_b"], column["gelu_c"], column["gelu_shift"]))
            value = ops.requant(value, column["m"], column["e"], column["off"])
            row = value[0, :valid].astype(np.int8).tobytes()
        self.send_row(row, c["msg_base"], c["msg_count"], header)

    def rest(self) -> None:
        fault(bool(self.store.words) or bool(self.count), f"linear {self.kernel}: rows are left over")


@dataclass
class Bank:
    """Attention's rows of one (slot, bank)."""

    context: int
    rows: int | None
    waiting: list[tuple[lay.Header, int]]  # Q beats in order of arrival
    arrived: Counter[int]
    served: int = 0


class Attention(Kernel):
    unit = lay.UNIT_ATTENTION
    context_layout = lay.ATTENTION_CONTEXT

    def __init__(self, image: Image, shape: dict[str, int], kernel: int, send: Send) -> None:
        super().__init__(image, shape, kernel, send)
        self.store: dict[tuple[int, int, int, int, int], IntArray] = {}
        self.banks: dict[tuple[int, int], Bank] = {}

    def receive(self, header: lay.Header, payload: bytes) -> None:
        edge = self.table(lay.MEM_EDGE, header.edge, lay.EDGE)
        c, role = self.lookup(header, payload)
        slot, bank = header.slot, c["bank"]
        state = self.banks.setdefault((slot, bank), Bank(edge["ctx"], None, [], Counter()))
        fault(state.context != edge["ctx"], f"attention {self.kernel}: two encoders share a bank at once")
        for i, word in enumerate(int8_words(payload)):
            beat = header.offset * 4 // BEAT + i
            fault(beat >= c["beats"] or beat >= self.shape["HEAD_BEATS"], f"attention {self.kernel}: beat {beat}")
            key = (role, slot, bank, header.row, beat)
            fault(key in self.store, f"attention {self.kernel}: {key} is written twice")
            self.store[key] = word
            state.arrived[role] += 1
            if role == lay.ROLE_Q:
                state.waiting.append((header, beat))
        if header.last:
            state.rows = header.row + 1
        if state.rows is None or any(state.arrived[r] < state.rows * c["beats"] for r in (lay.ROLE_K, lay.ROLE_V)):
            return
        for waiting, q_beat in state.waiting:
            self.work.append(lambda at=waiting, beat=q_beat: self.compute(c, state, at, beat))  # type: ignore[misc]
        state.waiting = []

    def compute(self, c: dict[str, int], state: Bank, header: lay.Header, beat: int) -> None:
        assert state.rows is not None
        self.serve(c, header, beat, state.rows)
        state.served += 1
        slot, bank = header.slot, c["bank"]
        if state.served == state.rows * c["beats"]:
            del self.banks[slot, bank]
            self.store = {key: word for key, word in self.store.items() if key[1:3] != (slot, bank)}

    def serve(self, c: dict[str, int], header: lay.Header, beat: int, rows: int) -> None:
        def matrix(role: int) -> IntArray:
            return np.stack([self.store[role, header.slot, c["bank"], row, beat] for row in range(rows)])

        q = self.store[lay.ROLE_Q, header.slot, c["bank"], header.row, beat]
        k, v = matrix(lay.ROLE_K), matrix(lay.ROLE_V)
        constants = SoftmaxParams(-c["x0"], c["b"], c["c"], c["m"], c["e"], c["mode"])
        dim = self.shape["HEAD_DIM"]
        acc = np.zeros(BEAT, np.int64)
        for head in range(BEAT // dim):
            part = slice(head * dim, (head + 1) * dim)
            acc[part] = ops.head_context((k[:, part] @ q[part])[None], v[:, part], constants)[0]
        first = c["req_base"] * 64 + 64 * beat
        fault(first + 64 > self.shape["REQ_WORDS"] * 64, f"REQUANT entry {first}")
        entries = [self.table(lay.MEM_REQUANT, first + lane, lay.REQUANT) for lane in range(BEAT)]
        m, e, off = (np.array([entry[name] for entry in entries], np.int64) for name in ("m", "e", "off"))
        row = ops.requant(acc, m, e, off).astype(np.int8).tobytes()
        self.send_row(row, c["msg_base"] + beat, 1, header)

    def rest(self) -> None:
        fault(bool(self.store) or bool(self.banks), f"attention {self.kernel}: rows are left over")


class AddNorm(Kernel):
    unit = lay.UNIT_ADD_NORM
    context_layout = lay.ADD_NORM_CONTEXT

    def __init__(self, image: Image, shape: dict[str, int], kernel: int, send: Send) -> None:
        super().__init__(image, shape, kernel, send)
        self.acc = Store(f"add_norm {kernel} accumulators", shape["ACC_BEATS"])
        self.residual = Store(f"add_norm {kernel} residuals", shape["RES_WORDS"])
        self.count: dict[tuple[int, int], Counter[int]] = {}
        self.columns: dict[int, dict[str, IntArray]] = {}
        edges = [self.table(lay.MEM_EDGE, edge, lay.EDGE) for edge in range(256)]
        self.by_message = {edge["ctx"] for edge in edges if edge["valid"] and edge["role"] == lay.ROLE_RESIDUAL}

    def channels(self, c: dict[str, int]) -> dict[str, IntArray]:
        if c["chan_base"] not in self.columns:
            first = c["chan_base"] * self.shape["NORM_LANES"]
            fault(first + c["h"] > self.shape["CHAN_WORDS"] * self.shape["NORM_LANES"], f"CHANNEL entry {first}")
            entries = [self.table(lay.MEM_CHANNEL, first + i, lay.CHANNEL) for i in range(c["h"])]
            self.columns[c["chan_base"]] = {name: np.array([entry[name] for entry in entries], np.int64) for name, _ in lay.CHANNEL}
        return self.columns[c["chan_base"]]

    def receive(self, header: lay.Header, payload: bytes) -> None:
        c, role = self.lookup(header, payload)
        ctx = self.table(lay.MEM_EDGE, header.edge, lay.EDGE)["ctx"]
        local = self.table(lay.MEM_LOCAL_ROW, header.row, lay.LOCAL_ROW)["local_row"]
        fault(bool(local >> self.shape["LROW_W"]), f"add_norm {self.kernel}: local row {local}")
        fault(c["beats"] > self.shape["ROW_BEATS"] or c["h"] != c["beats"] * 64, f"row of {c['beats']} beats")
        index = header.slot << self.shape["LROW_W"] | local
        count = self.count.setdefault((c["region"], index), Counter())
        first = header.offset * 4 // BEAT
        if c["mode"] == lay.NORM_NORM and role == lay.ROLE_RESIDUAL:
            fault(header.type != lay.TYPE_INT8, f"residual: type {header.type}")
            for i, word in enumerate(int8_words(payload)):
                fault(first + i >= c["beats"], f"add_norm {self.kernel}: slice beyond the row")
                self.residual.write(c["res_base"] + index * c["beats"] + first + i, word)
            count[RESIDUAL_BEATS] += len(payload) // BEAT
            self.complete(c, ctx, header, index)
            return
        count[header.offset * 4 // lay.MESSAGE_BYTES] += 1
        if c["mode"] == lay.NORM_ENTRY:
            fault(role != lay.ROLE_DATA or header.type != lay.TYPE_INT8, f"ENTRY: role {role}, type {header.type}")
            base = c["res_base"] + index * c["beats"]
            for i, word in enumerate(int8_words(payload)):
                fault(first + i >= c["beats"], f"add_norm {self.kernel}: slice beyond the row")
                self.residual.write(base + first + i, word)
            if len(count) == c["slices"]:
                del self.count[c["region"], index]
                self.work.append(lambda: self.forward(c, header, base))
            return
        fault(role != lay.ROLE_PART or header.type != lay.TYPE_INT32, f"NORM: role {role}, type {header.type}")
        base = c["acc_base"] + index * 4 * c["beats"]
        slice_number = header.offset * 4 // lay.MESSAGE_BYTES
        for i in range(len(payload) // BEAT):
            fault(first + i >= 4 * c["beats"], f"add_norm {self.kernel}: slice beyond the row")
            word = np.frombuffer(payload[i * BEAT : (i + 1) * BEAT], "<i4").astype(np.int64)
            if count[slice_number] > 1:
                word = word + self.acc.take(base + first + i, 1)
            self.acc.write(base + first + i, word)
        fault(count[slice_number] > c["parts"], f"add_norm {self.kernel}: more than {c['parts']} parts")
        self.complete(c, ctx, header, index)

    def complete(self, c: dict[str, int], ctx: int, header: lay.Header, index: int) -> None:
        """Queue a row whose parts, and residual where one is sent, are all in."""
        count = self.count[c["region"], index]
        if any(count[slice_number] < c["parts"] for slice_number in range(c["slices"])):
            return
        if ctx in self.by_message and count[RESIDUAL_BEATS] < c["beats"]:
            return
        del self.count[c["region"], index]
        self.work.append(lambda: self.compute(c, header, index))

    def forward(self, c: dict[str, int], header: lay.Header, base: int) -> None:
        row = np.concatenate([self.residual.words[base + i] for i in range(c["beats"])])
        self.send_row(row.astype(np.int8).tobytes(), c["msg_base"], c["msg_count"], header)

    def compute(self, c: dict[str, int], header: lay.Header, index: int) -> None:
        base = c["acc_base"] + index * 4 * c["beats"]
        ch = self.channels(c)
        acc = self.acc.take(base, 4 * c["beats"])
        kept = self.residual.take(c["res_base"] + index * c["beats"], c["beats"])
        none = np.zeros_like(ch["m"])
        y = ops.residual(acc[None], RequantParams(ch["m"], ch["e"], none), kept[None], RequantParams(ch["m1"], ch["e1"], none))
        normal = ops.layer_norm(y, LayerNormParams(c["shift"], ch["bias"]))
        row = ops.requant(normal, ch["om"], ch["oe"], ch["ooff"])[0]
        if c["keep"]:
            for i in range(c["beats"]):
                self.residual.write(c["keep_base"] + index * c["beats"] + i, row[64 * i : 64 * (i + 1)])
        self.send_row(row.astype(np.int8).tobytes(), c["msg_base"], c["msg_count"], header)

    def rest(self) -> None:
        left = bool(self.acc.words) or bool(self.residual.words) or bool(self.count)
        fault(left, f"add_norm {self.kernel}: rows are left over")


class Node:
    """Kernels, packet switch and Ethernet port of one node."""

    def __init__(self, cluster: Cluster, index: int, image: Image) -> None:
        self.cluster, self.index, self.image = cluster, index, image
        ident = image.entry(lay.UNIT_NODE, lay.MEM_IDENT, 0, lay.IDENT)
        fault(ident["cluster"] != 0, f"cluster {ident['cluster']}")
        self.kernels: dict[int, Kernel] = {}
        for port, kind, name in (
            (lay.PORT_LINEAR, Linear, "linear"),
            (lay.PORT_ATTENTION, Attention, "attention"),
            (lay.PORT_ADD_NORM, AddNorm, "add_norm"),
        ):
            self.kernels[port] = kind(image, cluster.shape, ident[name], self.sender(port))

    def sender(self, port: int) -> Send:
        def send(header: lay.Header, payload: bytes) -> None:
            self.cluster.log.append((self.index, header, payload))
            self.switch(port, header, payload)

        return send

    def switch(self, source: int, header: lay.Header, payload: bytes) -> None:
        """Queue a message at each of its output ports; what came off a wire does not go back to it."""
        ports = self.image.entry(lay.UNIT_SWITCH, lay.MEM_ROUTE, header.dst_kernel, lay.ROUTE)["ports"]
        if source in ETH:
            ports &= ~(1 << source)
        fault(not ports, f"node {self.index}: kernel {header.dst_kernel} is not routable from port {source}")
        for port in range(8):
            if ports >> port & 1:
                self.cluster.queue((self.index, source, self.index, port, False), header, payload)

    def neighbours(self, port: int) -> dict[int, dict[str, int]]:
        """Valid PEER entries of an Ethernet port."""
        entries = {peer: self.image.entry(ETH[port], lay.MEM_PEER, peer, lay.PEER) for peer in range(self.cluster.shape["PEERS_N"])}
        return {peer: entry for peer, entry in entries.items() if entry["valid"]}

    def deliver(self, port: int, header: lay.Header, payload: bytes) -> None:
        if port not in ETH:
            fault(port not in self.kernels, f"node {self.index}: port {port}")
            self.kernels[port].receive(header, payload)
            return
        nodes = self.image.entry(ETH[port], lay.MEM_PEERS, header.dst_kernel, lay.PEERS)["nodes"]
        fault(not nodes, f"node {self.index} port {port}: no peer for kernel {header.dst_kernel}")
        around = self.neighbours(port)
        for peer in range(64):
            if nodes >> peer & 1:
                fault(peer not in around, f"node {self.index} port {port}: peer {peer} is not valid")
                self.cluster.send((self.index, port), peer, around[peer], header, payload)


class Cluster:
    """All nodes of an image folder and the host, as they are cabled. Node number ``len(nodes)`` is the host."""

    def __init__(self, folder: Path, plan: Plan, seed: int) -> None:
        self.shape = plan.shape
        addresses = {(n.index, e): (p.mac, p.ip) for n in plan.nodes for e, p in enumerate(n.ports)}
        self.addresses = addresses | {(plan.host.node, 0): (plan.host.mac, plan.host.ip)}
        # by what is plugged in: (node, switch port) -> {neighbour: its Ethernet port}
        self.plugged: dict[tuple[int, int], dict[int, int]] = {}
        for segment in plan.links:
            for end in segment:
                fault((end.node, end.port) in self.plugged, f"{end} is plugged in twice")
                self.plugged[end.node, tuple(ETH)[end.port]] = {other.node: other.port for other in segment if other != end}
        self.seed, self.random = seed, random.Random(seed)
        self.queues: dict[Path_, deque[tuple[lay.Header, bytes]]] = {}
        self.log: list[tuple[int, lay.Header, bytes]] = []
        self.host: list[tuple[lay.Header, bytes]] = []
        self.frames = 0
        count = len(list(folder.glob("node*.hex")))
        self.nodes = [Node(self, k, Image(folder / f"node{k}.hex")) for k in range(count)]
        for node in self.nodes:
            for port in list(ETH)[: self.shape["ETH_N"]]:
                around = node.neighbours(port)
                room = sum(entry["quota"] for entry in around.values())
                plugged = set(self.plugged.get((node.index, port), {}))
                fault(set(around) != plugged, f"node {node.index} port {port}: neighbours {set(around)}, not {plugged}")
                fault(room > self.shape["RX_CELLS"] or any(not entry["quota"] for entry in around.values()), f"quotas of {room} cells")

    def send(self, source: tuple[int, int], peer: int, entry: dict[str, int], header: lay.Header, payload: bytes) -> None:
        """Put a frame on the wire of ``source`` (node, switch port)."""
        fault(peer not in self.plugged.get(source, {}), f"node {source[0]} port {source[1]}: {peer} is no neighbour")
        port = self.plugged[source][peer]
        fault(self.addresses[peer, port] != (entry["mac"], entry["ip"]), f"peer {peer}: MAC {entry['mac']:x}, IP {entry['ip']:x}")
        self.queue((*source, peer, tuple(ETH)[port], True), header, payload)

    def queue(self, path: Path_, header: lay.Header, payload: bytes) -> None:
        self.queues.setdefault(path, deque()).append((header, payload))

    def run(self, sequences: dict[int, IntArray], plan: Plan) -> dict[tuple[int, int], bytes]:
        """Send every row, deliver everything, demand that nothing is left; (slot, row) -> the row the host got."""
        self.log, self.host, self.frames = [], [], 0
        tokens = [(slot, row) for slot, rows in sequences.items() for row in range(len(rows))]
        self.random.shuffle(tokens)
        for slot, row in tokens:
            payload = sequences[slot][row].astype(np.int8).tobytes()
            for kernel, edge in plan.entry.copies(row, plan.owners[row]):
                header = lay.Header(
                    dst_cluster=plan.cluster,
                    dst_kernel=kernel,
                    edge=edge,
                    src_cluster=plan.cluster,
                    src_kernel=255,
                    slot=slot,
                    generation=0,
                    row=row,
                    offset=0,
                    type=lay.TYPE_INT8,
                    last=row == len(sequences[slot]) - 1,
                )
                (peer,) = (bit for bit in range(64) if plan.host.peers[kernel] >> bit & 1)
                entry = plan.host.peer[peer]
                self.send((len(self.nodes), lay.PORT_ETH), peer, {"mac": entry.mac, "ip": entry.ip}, header, payload)
        kernels = [kernel for node in self.nodes for kernel in node.kernels.values()]
        starved = self.seed % len(kernels)  # works only when hardly anything else can
        speed: dict[Path_ | int, float] = {starved: 1e-6}  # of a path or a kernel, over a decade
        while True:
            choices: list[Path_ | int] = [*self.queues, *(i for i, kernel in enumerate(kernels) if kernel.work)]
            if not choices:
                break
            for each in choices:
                if each not in speed:
                    speed[each] = 10 ** self.random.uniform(-1, 0)
            (chosen,) = self.random.choices(choices, [speed[each] for each in choices])
            if isinstance(chosen, int):
                work = kernels[chosen].work
                # linear serves by priority, which may be any order; the others in order
                work.pop(self.random.randrange(len(work)) if isinstance(kernels[chosen], Linear) else 0)()
                continue
            header, message = self.queues[chosen].popleft()
            if not self.queues[chosen]:
                del self.queues[chosen]
            _, _, to, port, wire = chosen
            if not wire:
                self.nodes[to].deliver(port, header, message)
                continue
            self.frames += 1
            if to == len(self.nodes):
                fault(header.dst_kernel != 255, f"the host gets a message for kernel {header.dst_kernel}")
                self.host.append((header, message))
            else:
                self.nodes[to].switch(port, header, message)
        for kernel in kernels:
            kernel.rest()
        rows: dict[tuple[int, int], bytes] = {}
        for header, payload in sorted(self.host, key=lambda item: (item[0].slot, item[0].row, item[0].offset)):
            key = header.slot, header.row
            rows[key] = rows.get(key, b"") + payload
            fault(len(rows[key]) != header.offset * 4 + len(payload), f"host: slice {header.offset} of row {key}")
        return rows


def check_log(plan: Plan, traces: dict[int, list[EncoderTrace]], log: list[tuple[int, lay.Header, bytes]]) -> int:
    """Compare every message with the model by what ``plan.edges`` says it carries; every slice exactly once.

    ``traces``: slot -> one trace per encoder, with as many parts as nodes share OUT and FFN2. Returns the messages checked.
    """
    homes = {number: node for node in plan.nodes for number in node.kernels.values()}
    sent: Counter[tuple[int, int, int, int, int]] = Counter()  # slot, edge, row, producer, receiving kernel -> bytes
    ports = {"entry": "add_norm", "ln1": "add_norm", "ln2": "add_norm", "context": "attention"}
    for node, header, payload in log:
        edge = plan.edges[header.edge]
        trace = traces[header.slot][edge.encoder]
        kernel = plan.nodes[node].kernels[ports.get(edge.tensor, "linear")]
        fault(header.src_kernel != kernel, f"edge {header.edge}: source kernel {header.src_kernel}, not {kernel}")
        wide = edge.tensor in PARTIAL
        if wide:
            begin, end = plan.nodes[node].columns[PARTIAL[edge.tensor]]
            row = getattr(trace, f"{edge.tensor}s")[begin // (end - begin), header.row]
        else:
            row = getattr(trace, edge.tensor)[header.row]
            if edge.tensor in SLICED:
                row = row[slice(*homes[header.dst_kernel].columns[SLICED[edge.tensor]])]
        raw = row.astype("<i4" if wide else np.int8).tobytes()
        at = header.offset * 4
        fault(header.type != (lay.TYPE_INT32 if wide else lay.TYPE_INT8), f"edge {header.edge}: type {header.type}")
        fault(header.last != (header.row == len(trace.entry) - 1), f"row {header.row}: last is {header.last}")
        fault(raw[at : at + len(payload)] != payload, f"encoder {edge.encoder} {edge.tensor} row {header.row} differs")
        sent[header.slot, header.edge, header.row, node, header.dst_kernel] += len(payload)
    # columns that a producer makes and a receiver takes; whole rows and sums go to one place, named by the messages themselves
    makers = {"q": "qkv", "k": "qkv", "v": "qkv", "context": "attention", "ffn1": "ffn1"}
    expected: Counter[tuple[int, int, int, int, int]] = Counter()
    direct = {(number, row) for number in (plan.entry.row_edge,) for row in range(plan.entry.direct)}  # the owner hands it to itself
    places = {(number, node): kernel for _, number, row, node, kernel in sent if (number, row) not in direct}
    for slot, encoders in traces.items():
        for number, edge in plan.edges.items():
            if number in (plan.entry.edge, plan.entry.direct_edge):
                continue  # from the host
            team = {node for name in ("qkv", "attention", "out", "ffn1", "ffn2") for node in plan.holders(name, edge.encoder)}
            # rows of the encoder before come to a group's ENTRY on the first of two edges, and leave it on the second
            entries = [other for other in plan.edges if plan.edges[other] == edge] if edge.tensor == "entry" else []
            for row in range(len(encoders[0].entry)):
                if edge.tensor in SLICED:
                    port = "linear" if edge.tensor in ("context", "ffn1") else "attention"
                    for maker, taker in product((node for node in plan.nodes if node.index in team), repeat=2):
                        made, taken = maker.columns.get(makers[edge.tensor]), taker.columns.get(SLICED[edge.tensor])
                        size = min(made[1], taken[1]) - max(made[0], taken[0]) if made and taken else 0
                        if size > 0:
                            expected[slot, number, row, maker.index, taker.kernels[port]] = size
                elif edge.tensor in PARTIAL:
                    owner = plan.owner({"out_part": "ln1", "ffn2_part": "ln2"}[edge.tensor], row, edge.encoder)
                    kernel = plan.nodes[owner].kernels["add_norm"]
                    for node in plan.holders(PARTIAL[edge.tensor], edge.encoder):
                        expected[slot, number, row, node, kernel] = 4 * plan.hidden
                else:
                    if edge.tensor == "entry" and edge.encoder and (len(entries) == 1 or number == entries[0]):
                        node = plan.owner("ln2", row, edge.encoder - 1)
                    else:
                        node = plan.owner("ln2" if edge.tensor == "ln2" else "ln1", row, edge.encoder)
                    place = plan.nodes[node].kernels["linear"] if (number, row) in direct else places.get((number, node), 0)
                    expected[slot, number, row, node, place] = plan.hidden
    fault(sent != expected, f"messages differ: {sorted((sent - expected) + (expected - sent))[:4]}")
    return len(log)


def _requant(rng: np.random.Generator, channels: int, factor: float, offset: int = 0) -> RequantParams:
    """Per-channel constants near ``factor``; its sign is kept."""
    m = rng.integers(1 << 29, 1 << 31, channels)
    e = np.round(np.log2(m / (abs(factor) * rng.uniform(0.7, 1.4, channels)))).astype(np.int64)
    off = rng.integers(-offset, offset + 1, channels)
    return RequantParams(m if factor > 0 else -m, e, off)


def _greatest(rng: np.random.Generator, c: int, mode: int) -> dict[str, int]:
    """m and e for exponentials up to c: anything that fits 16 bits, deferred exactly 255."""
    m, e = int(rng.integers(1 << 30, 1 << 31)), 60 + int(np.ceil(np.log2(c / 32767))) + 1
    if mode == DEFERRED:
        e = 60 + int(np.floor(np.log2(c / 255)))
        m = round(255 * 2.0 ** (e - 30) / c)
    return {"m": m, "e": e}


def random_params(seed: int, hidden: int, heads: int, ffn: int, encoders: int) -> ModelParams:
    """Integer parameters of plausible size, so that no stage saturates throughout; every channel differs, odd encoders defer."""
    rng = np.random.default_rng(seed)
    dim, spread = hidden // heads, 40

    def linear(outputs: int, inputs: int) -> LinearParams:
        weight = np.clip(np.round(rng.normal(0, spread, (outputs, inputs))), -128, 127).astype(np.int64)
        return LinearParams(weight, rng.integers(-20000, 20000, outputs))

    def encoder(mode: int) -> EncoderParams:
        acc = spread**2 * hidden**0.5
        scale = 2 / (spread**2 * dim**0.5)
        half = 1.5 / acc / 2**0.5
        norm = int(np.ceil(np.log2(2**17 * hidden**0.5) - 15.5))
        c = int(2.792 / scale**2)
        gelu = GeluParams(
            np.floor(-1.769 / (half * rng.uniform(0.9, 1.1, ffn))).astype(np.int64),
            np.floor(-3.4626 / (half * rng.uniform(0.9, 1.1, ffn)) ** 2).astype(np.int64),
            np.floor(-3.4626 / half**2 / (1 << 14) * rng.uniform(0.9, 1.1, ffn)).astype(np.int64),
        )
        gelu_size = acc * abs(float(gelu.shift.mean()))
        wide = 2.0**15
        factor_norm = spread / (2**30 / hidden**0.5)
        return EncoderParams(
            q=linear(hidden, hidden),
            k=linear(hidden, hidden),
            v=linear(hidden, hidden),
            q_rq=_requant(rng, hidden, spread / acc, 3),
            k_rq=_requant(rng, hidden, spread / acc, 3),
            v_rq=_requant(rng, hidden, spread / acc, 3),
            softmax=SoftmaxParams(
                x0=-int(0.6931 / scale),
                b=int(2.7073 / scale),
                c=c,
                **_greatest(rng, c, mode),
                mode=mode,
            ),
            context_rq=_requant(rng, hidden, 1 / 200 / (256 if mode == DEFERRED else 1), 3),
            out=linear(hidden, hidden),
            out_rq=_requant(rng, hidden, wide / acc),
            out_res_rq=_requant(rng, hidden, wide / spread),
            ln1=LayerNormParams(norm, rng.integers(-(1 << 24), 1 << 24, hidden)),
            ln1_rq=_requant(rng, hidden, factor_norm, 3),
            ffn1=linear(ffn, hidden),
            gelu=gelu,
            ffn1_rq=_requant(rng, ffn, -spread / gelu_size, 3),
            ffn2=linear(hidden, ffn),
            ffn2_rq=_requant(rng, hidden, wide / acc / 2),
            ffn2_res_rq=_requant(rng, hidden, wide / spread),
            ln2=LayerNormParams(norm, rng.integers(-(1 << 24), 1 << 24, hidden)),
            ln2_rq=_requant(rng, hidden, factor_norm, 3),
        )

    scale = np.full(hidden, 1 / spread)
    return ModelParams(f"random_{seed}", hidden, heads, ffn, tuple(encoder(index % 2) for index in range(encoders)), scale, scale)
