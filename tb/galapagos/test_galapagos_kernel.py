# SPDX-License-Identifier: Apache-2.0
"""A generated galapagos_add_norm: configured by packets, a row in by a packet, out again as one packet for each receiver of the group."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from floreana.cluster import layout
from floreana.cluster.layout import Header
from floreana_tb import clocks, stalls
from floreana_tb.streams import PacketSink, StreamSource, packet_beats

CONFIG, FLUSH = 1, 2
EDGE, OUT_EDGE, GROUP = 17, 99, 224


def write(mem: int, index: int, value: int) -> bytes:
    return layout.cfg_addr(layout.UNIT_ADD_NORM, mem, index).to_bytes(64, "little") + value.to_bytes(64, "little")


def header(user: int, kind: int = 0) -> bytes:
    return (kind << 80 | user).to_bytes(64, "little")


async def watch_receivers(dut: Any, found: list[int]) -> None:
    """TDEST of every packet, at its last beat."""
    while True:
        await RisingEdge(dut.clk)
        if int(dut.m_axis_tvalid.value) and int(dut.m_axis_tready.value) and int(dut.m_axis_tlast.value):
            found.append(int(dut.m_axis_tdest.value))


@cocotb.test(timeout_time=200, timeout_unit="us")
async def a_row_goes_to_the_group(dut: Any) -> None:
    setting = json.loads(os.environ["GALAPAGOS"])
    beats = setting["beats"]
    random.seed(cocotb.RANDOM_SEED)
    dut.id.value = setting["id"]
    dut.s_axis_tdest.value = dut.s_axis_tid.value = 0
    dut.s_axis_tuser.value = 0
    dut.aresetn.value = 0
    source = StreamSource(dut, "s_axis", dut.clk, stalls.random(1))
    sink = PacketSink(dut, "m_axis", dut.clk, stalls.random(2), max_beats=17, reset=dut.rst)
    clocks.start_clock(dut)
    await ClockCycles(dut.clk, 4)
    dut.aresetn.value = 1
    await ClockCycles(dut.clk, 2000)  # the kernel clears its records
    found: list[int] = []
    cocotb.start_soon(watch_receivers(dut, found))

    context = {name: 0 for name, _ in layout.ADD_NORM_CONTEXT} | {"beats": beats, "msg_base": 3, "msg_count": 1}
    message = {"dst_kernel": GROUP, "edge": OUT_EDGE, "by_owner": 0, "dst_cluster": 0, "offset": 0, "type": 0, "beats": beats}
    writes = b"".join(
        (
            write(layout.MEM_EDGE, EDGE, layout.pack(layout.EDGE, {"ctx": 2, "role": 0, "valid": 1})),
            write(layout.MEM_CONTEXT, 2, layout.pack(layout.ADD_NORM_CONTEXT, context)),
            write(layout.MEM_MESSAGE, 3, layout.pack(layout.MESSAGE, message)),
            write(layout.MEM_OWNER, 1, 0),
            write(layout.MEM_LOCAL_ROW, 1, 0),
        )
    )
    source.send_beats(packet_beats(header(0, CONFIG) + writes, None))
    wanted = []
    for generation in range(3):
        row = random.randbytes(64 * beats)
        head = Header(
            dst_cluster=0, dst_kernel=setting["kernel"], edge=EDGE, src_cluster=0, src_kernel=255,
            slot=0, generation=generation, row=1, offset=0, type=0, last=True,
        )  # fmt: skip
        source.send_beats(packet_beats(header(head.to_tuser()) + row, None))
        out = Header(
            dst_cluster=0, dst_kernel=GROUP, edge=OUT_EDGE, src_cluster=0, src_kernel=setting["kernel"],
            slot=0, generation=generation, row=1, offset=0, type=0, last=True,
        )  # fmt: skip
        wanted += [header(out.to_tuser()) + row for _ in setting["group"]]
        await sink.wait(len(wanted), cycles=5000)
        source.send_beats(packet_beats(header((0 << 44 | (generation + 1) << 40), FLUSH), None))
        await source.wait_idle()
        await ClockCycles(dut.clk, 10)
        assert int(dut.m_axis_tid.value) == setting["id"]
    await sink.wait_quiet(100)
    assert [packet.payload for packet in sink.received] == wanted
    assert found == setting["group"] * 3
    assert all(packet.user == 1 + beats for packet in sink.received)
    assert int(dut.sts_drops_in.value) == 0 and int(dut.sts_drops_out.value) == 0
    print(f"checked {len(wanted)} packets")
