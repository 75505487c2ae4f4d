# SPDX-License-Identifier: Apache-2.0
"""Memory images: format, positions of single values, determinism, refusals; nothing half-written."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cluster_interpreter import random_params

from floreana.cluster import layout as lay
from floreana.cluster.description import find_project, load_project
from floreana.cluster.images import write_images
from floreana.cluster.plan import Plan, make_plan
from floreana.errors import EnvironmentError_, InputError
from floreana.ibert.params import ModelParams


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(load_project(find_project("tiny_2")))


@pytest.fixture(scope="module")
def params() -> ModelParams:
    return random_params(7, 128, 2, 256, 2)


def writes(path: Path) -> dict[int, int]:
    lines = path.read_text(encoding="ascii").splitlines()
    result = {int(line[:8], 16): int(line[8:], 16) for line in lines}
    assert len(result) == len(lines), "each address once"
    return result


def test_format_and_manifest(plan: Plan, params: ModelParams, tmp_path: Path) -> None:
    folder = write_images(plan, params, tmp_path)
    assert folder == tmp_path / "images"
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "node0.hex", "node1.hex"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["project"], manifest["params"]) == ("tiny_2", "random_7")
    for name, entry in manifest["files"].items():
        raw = (folder / name).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == entry["sha256"]
        lines = raw.decode("ascii").split("\n")
        assert lines.pop() == ""
        assert len(lines) == entry["lines"]
        assert all(re.fullmatch(r"[0-9a-f]{136}", line) for line in lines)


def test_addresses_lie_in_the_memories(plan: Plan, params: ModelParams, tmp_path: Path) -> None:
    shape, rows = plan.shape, 1 << plan.shape["ROW_W"]
    depth = {
        (lay.UNIT_NODE, lay.MEM_IDENT): 1,
        (lay.UNIT_LINEAR, lay.MEM_WEIGHT): shape["W_WORDS"] << 6,
        (lay.UNIT_LINEAR, lay.MEM_BIAS): shape["BIAS_WORDS"] << 4,
        (lay.UNIT_LINEAR, lay.MEM_POST): shape["POST_WORDS"] * shape["POST_LANES"],
        (lay.UNIT_LINEAR, lay.MEM_CONTEXT): 64,
        (lay.UNIT_ATTENTION, lay.MEM_REQUANT): shape["REQ_WORDS"] * 64,
        (lay.UNIT_ATTENTION, lay.MEM_CONTEXT): 16,
        (lay.UNIT_ADD_NORM, lay.MEM_CHANNEL): shape["CHAN_WORDS"] * shape["NORM_LANES"],
        (lay.UNIT_ADD_NORM, lay.MEM_LOCAL_ROW): rows,
        (lay.UNIT_ADD_NORM, lay.MEM_CONTEXT): 32,
        (lay.UNIT_SWITCH, lay.MEM_ROUTE): 256,
        (lay.UNIT_ETH, lay.MEM_PEERS): 256,
        (lay.UNIT_ETH, lay.MEM_PEER): shape["PEERS_N"],
        (lay.UNIT_ETH, lay.MEM_REGISTER): 5,
    }
    for unit in (lay.UNIT_LINEAR, lay.UNIT_ATTENTION, lay.UNIT_ADD_NORM):
        depth |= {(unit, lay.MEM_EDGE): 256, (unit, lay.MEM_MESSAGE): 256, (unit, lay.MEM_OWNER): rows}
    whole = {(unit, lay.MEM_EDGE) for unit in (1, 2, 3)} | {
        (4, lay.MEM_ROUTE),
        (5, lay.MEM_PEERS),
        (5, lay.MEM_PEER),
        (5, lay.MEM_REGISTER),
    }
    for k in range(2):
        seen: dict[tuple[int, int], set[int]] = {}
        for address in writes(write_images(plan, params, tmp_path) / f"node{k}.hex"):
            unit, memory, index = address >> 28, address >> 24 & 15, address & 0xFFFFFF
            assert index < depth[unit, memory], f"{address:08x}"
            seen.setdefault((unit, memory), set()).add(index)
        assert set(seen) == set(depth)
        for table in whole:
            assert seen[table] == set(range(depth[table])), "a table that any message may look up is written whole"


def test_positions(plan: Plan, params: ModelParams, tmp_path: Path) -> None:
    """Single values, found by hand at the addresses docs/architecture.md gives."""
    got = writes(write_images(plan, params, tmp_path) / "node1.hex")
    first, second = params.encoders

    def weight(word: int, output: int, lane: int) -> int:
        value = got[1 << 28 | 4 << 24 | word << 6 | output] >> 8 * lane & 255
        return value - 256 if value > 127 else value

    def field(address: int, low: int, width: int, signed: bool = True) -> int:
        value = got[address] >> low & (1 << width) - 1
        return value - (1 << width) if signed and value >> (width - 1) else value

    assert got[0] == 0 | 2 << 8 | 66 << 16 | 130 << 24
    # QKV: 12 groups of 16 outputs, 2 words each; outputs 0..63 q, 64..127 k, 128..191 v of this node's head
    assert weight(0, 0, 0) == first.q.weight[64, 0]
    assert weight(1, 3, 5) == first.q.weight[67, 69]
    assert weight(2 * 4, 2, 9) == first.k.weight[64 + 2, 9]
    assert weight(2 * 11 + 1, 15, 63) == first.v.weight[127, 127]
    # OUT: 8 groups of 1 word from 24; the inputs are this node's columns
    assert weight(24 + 5, 7, 11) == first.out.weight[5 * 16 + 7, 64 + 11]
    # second encoder FFN2: words from 112, 2 a group
    assert weight(112 + 2 * 3 + 1, 4, 8) == second.ffn2.weight[3 * 16 + 4, 128 + 64 + 8]
    # biases: q of this node; OUT's is on node 0 alone
    assert field(1 << 28 | 5 << 24 | 0 << 4, 32 * 3, 32) == first.q.bias[64 + 3]
    assert got[1 << 28 | 5 << 24 | 12 << 4] == 0
    other = writes(tmp_path / "images" / "node0.hex")
    assert other[1 << 28 | 5 << 24 | 12 << 4] & 0xFFFFFFFF == int(first.out.bias[0]) & 0xFFFFFFFF
    # POST of FFN1, base 48 words of 4 channels
    post = 1 << 28 | 6 << 24 | 48 * 4 + 10
    assert field(post, 0, 32) == first.ffn1_rq.m[128 + 10]
    assert field(post, 32, 7, signed=False) == first.ffn1_rq.e[128 + 10]
    assert field(post, 39, 9) == first.ffn1_rq.off[128 + 10]
    assert field(post, 48, 20) == first.gelu.b[128 + 10]
    assert field(post, 68, 40) == first.gelu.c[128 + 10]
    assert field(post, 108, 24) == first.gelu.shift[128 + 10]
    # attention: context 1 and its REQUANT word 1
    assert field(2 << 28 | 1 << 24 | 1, 5, 16, signed=False) == -second.softmax.x0
    assert field(2 << 28 | 1 << 24 | 1, 21, 20) == second.softmax.b
    assert [field(2 << 28 | 1 << 24 | context, 132, 1, signed=False) for context in (0, 1)] == [0, second.softmax.mode] == [0, 1]
    assert field(2 << 28 | 4 << 24 | 64 + 6, 0, 32) == second.context_rq.m[64 + 6]
    # add_norm: LN2 of the first encoder, channel words from 32 of 4 channels
    channel = 3 << 28 | 4 << 24 | 32 * 4 + 77
    assert field(channel, 0, 32) == first.ffn2_rq.m[77]
    assert field(channel, 39, 32) == first.ffn2_res_rq.m[77]
    assert field(channel, 78, 32) == first.ln2.bias[77]
    assert field(channel, 110, 32) == first.ln2_rq.m[77]
    assert field(channel, 149, 9) == first.ln2_rq.off[77]
    # tables
    assert got[3 << 28 | 5 << 24 | 5] == 2
    assert got[1 << 28 | 3 << 24 | 5] == 1
    assert got[5 << 28 | 1 << 24 | 1] == 0, "a node is not its own peer"
    assert got[5 << 28 | 1 << 24 | 2] == 0x02F10E000002 | 0x0A110003 << 48 | 1 << 80 | 64 << 81
    assert [got[5 << 28 | 2 << 24 | index] for index in range(5)] == [128, 2272, 24, 18176, 740]


def test_both_ports_and_peers_last(tmp_path: Path) -> None:
    """Two Ethernet ports are units 5 and 6; a link comes up when all else is there."""
    plan = make_plan(load_project(find_project("tiny_3_ring")))
    folder = write_images(plan, random_params(7, 192, 3, 384, 2), tmp_path)
    lines = (folder / "node2.hex").read_text().splitlines()
    assert [line[:8] for line in lines[-8:]] == [f"{unit}100000{peer}" for unit in "56" for peer in range(4)]
    got = writes(folder / "node2.hex")
    assert got[6 << 28 | 1 << 24] == 0x02F10E000000 | 0x0A110001 << 48 | 1 << 80 | 64 << 81
    assert got[6 << 28 | 1 << 24 | 3] == 0x02F10E000003 | 0x0A110004 << 48 | 1 << 80 | 64 << 81
    assert got[5 << 28 | 1 << 24 | 1] == 0x02F10E000081 | 0x0A110082 << 48 | 1 << 80 | 64 << 81
    assert (got[5 << 28 | 1 << 24], got[6 << 28 | 1 << 24 | 1]) == (0, 0), "others hang on the other port"
    assert all(got[unit << 28 | 2 << 24 | 1] == plan.transport.rto for unit in (5, 6))


def test_images_for_another_link_delay(plan: Plan, params: ModelParams, tmp_path: Path) -> None:
    usual = writes(write_images(plan, params, tmp_path / "usual") / "node0.hex")
    far = writes(write_images(plan, params, tmp_path / "far", link_delay=2000) / "node0.hex")
    assert {address: far[address] for address in usual if usual[address] != far[address]} == {
        5 << 28 | 2 << 24 | lay.REG_RTO: 4 * (2 * 2000 + 2 * 64),
        5 << 28 | 2 << 24 | lay.REG_KEEP: 8 * 4 * (2 * 2000 + 2 * 64),
        5 << 28 | 2 << 24 | lay.REG_NACK_HOLD: 2 * 2000 + 300,
    }


def test_padding_is_zero(tmp_path: Path) -> None:
    """192 outputs in groups of 48 fill the array, 256 in groups of 48 do not: the rest is zero."""
    plan = make_plan(load_project(find_project("minilm_6")))
    params = random_params(3, 384, 12, 1536, 6)
    got = writes(write_images(plan, params, tmp_path) / "node5.hex")
    fields = plan.nodes[5].context("ffn1", 2).fields
    for step in range(6):
        word = fields["w_base"] + 5 * 6 + step
        assert all(got[1 << 28 | 4 << 24 | word << 6 | output] == 0 for output in range(16, 48))
        assert got[1 << 28 | 4 << 24 | word << 6 | 15] != 0
    assert [got[1 << 28 | 5 << 24 | fields["bias_base"] + 5 << 4 | segment] == 0 for segment in range(3)] == [
        False,
        True,
        True,
    ]


def test_deterministic(plan: Plan, params: ModelParams, tmp_path: Path) -> None:
    first = write_images(plan, params, tmp_path / "a")
    second = write_images(plan, random_params(7, 128, 2, 256, 2), tmp_path / "b")
    again = write_images(plan, params, tmp_path / "a")
    for path in sorted(first.iterdir()):
        assert path.read_bytes() == (second / path.name).read_bytes() == (again / path.name).read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["images"]


def set_value(path: str, value: int) -> Callable[[ModelParams], ModelParams]:
    """Change encoder 1: ``linear.bias`` -> its element 5, a scalar as a whole."""

    def change(params: ModelParams) -> ModelParams:
        group_name, field = path.split(".")
        group: Any = getattr(params.encoders[1], group_name)
        old = getattr(group, field)
        new: Any = value
        if isinstance(old, np.ndarray):
            new = old.copy()
            new.reshape(-1)[5] = value
        wrong: Any = {group_name: replace(group, **{field: new})}
        return replace(params, encoders=(params.encoders[0], replace(params.encoders[1], **wrong)))

    return change


PARAM_REFUSALS: dict[str, tuple[Callable[[ModelParams], ModelParams], str]] = {
    "hidden": (lambda p: replace(p, hidden=64), "hidden size: 64 in the parameters, 128 in the plan; plan again"),
    "heads": (lambda p: replace(p, heads=4), "heads: 4 in the parameters, 2 in the plan"),
    "encoders": (lambda p: replace(p, encoders=p.encoders[:1]), "encoders: 1 in the parameters, 2 in the plan"),
    "weight": (set_value("q.weight", 128), "encoder 1 q.weight: value 128, limit -128..127; quantise again"),
    "bias": (set_value("ffn2.bias", -(1 << 31) - 1), "encoder 1 ffn2.bias: value -2147483649, limit -2147483648.."),
    "m": (set_value("ln1_rq.m", 1 << 31), "encoder 1 ln1_rq.m: value 2147483648, limit -2147483648..2147483647"),
    "e": (set_value("context_rq.e", 81), "encoder 1 context_rq.e: value 81, limit 0..80"),
    "negative e": (set_value("context_rq.e", -1), "encoder 1 context_rq.e: value -1, limit 0..80"),
    "off": (set_value("v_rq.off", 256), "encoder 1 v_rq.off: value 256, limit -256..255"),
    "no offset": (set_value("out_rq.off", 1), "encoder 1 out_rq.off: value 1, limit 0..0; no offset exists there"),
    "gelu b": (set_value("gelu.b", 1), "encoder 1 gelu.b: value 1, limit -524288..0"),
    "gelu c": (set_value("gelu.c", 1 << 39), "encoder 1 gelu.c: value 549755813888, limit -549755813888..549755813887"),
    "gelu shift": (set_value("gelu.shift", 1 << 23), "encoder 1 gelu.shift: value 8388608, limit -8388608..8388607"),
    "x0": (set_value("softmax.x0", 0), "encoder 1 softmax.x0: value 0, limit -65535..-1"),
    "softmax e": (set_value("softmax.e", 29), "encoder 1 softmax.e: value 29, limit 30..80"),
    "softmax mode": (set_value("softmax.mode", 2), "encoder 1 softmax.mode: value 2, limit 0..1"),
    "shift": (set_value("ln2.shift", 32), "encoder 1 ln2.shift: value 32, limit 0..31"),
    "shape": (
        lambda p: replace(p, encoders=(p.encoders[0], replace(p.encoders[1], q=replace(p.encoders[1].q, bias=np.zeros(3, np.int64))))),
        "encoder 1 q.bias: shape (3,), the plan needs (128,)",
    ),
    "type": (
        lambda p: replace(
            p,
            encoders=(
                p.encoders[0],
                replace(p.encoders[1], q=replace(p.encoders[1].q, bias=np.zeros(128))),  # type: ignore[arg-type]
            ),
        ),
        "encoder 1 q.bias: type float64, integers are needed",
    ),
}


@pytest.mark.parametrize("name", sorted(PARAM_REFUSALS))
def test_params_that_do_not_fit(name: str, plan: Plan, params: ModelParams, tmp_path: Path) -> None:
    change, part = PARAM_REFUSALS[name]
    with pytest.raises(InputError) as caught:
        write_images(plan, change(params), tmp_path)
    assert part in caught.value.message
    assert len(caught.value.message.splitlines()) == 2
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_every_param_problem_at_once(plan: Plan, params: ModelParams, tmp_path: Path) -> None:
    wrong = set_value("q.weight", 200)(set_value("softmax.x0", 5)(params))
    with pytest.raises(InputError) as caught:
        write_images(plan, wrong, tmp_path)
    assert "q.weight" in caught.value.message
    assert "softmax.x0" in caught.value.message


def test_a_full_disk_leaves_the_old_images(plan: Plan, params: ModelParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_images(plan, params, tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    real = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "node1.hex":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EnvironmentError_) as caught:
        write_images(plan, random_params(8, 128, 2, 256, 2), tmp_path)
    assert "No space left on device" in caught.value.message
    assert caught.value.exit_code == 3
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
