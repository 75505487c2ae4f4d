# SPDX-License-Identifier: Apache-2.0
"""Driver of a port's mac_rx: no tready, tuser = 1 on the last beat of a bad frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cocotb.triggers import RisingEdge

from floreana_tb import streams


class Mac:
    """Sends frames, one beat a cycle. ``prefix``: name of the stream."""

    def __init__(self, dut: Any, prefix: str = "mac_rx") -> None:
        self.clk = dut.clk
        self.data, self.keep, self.last, self.valid, self.user = (
            getattr(dut, f"{prefix}_{name}") for name in ("tdata", "tkeep", "tlast", "tvalid", "tuser")
        )
        for signal in (self.data, self.keep, self.last, self.valid, self.user):
            signal.value = 0

    async def send(self, raw: bytes, bad: bool = False, gaps: Iterator[bool] | None = None, keep: int | None = None) -> None:
        """``keep`` overrides tkeep of the last beat, ``gaps`` says when the next beat waits. Ends with the last beat taken but still
        driven: call ``end`` or send on."""
        for beat in streams.packet_beats(raw, None):
            while gaps is not None and next(gaps):
                self.valid.value = 0
                await RisingEdge(self.clk)
            self.valid.value = 1
            self.data.value = beat.data
            self.keep.value = keep if beat.last and keep is not None else beat.keep or 0
            self.last.value = int(beat.last)
            self.user.value = int(beat.last and bad)
            await RisingEdge(self.clk)

    def end(self) -> None:
        self.valid.value = 0
