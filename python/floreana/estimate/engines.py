# SPDX-License-Identifier: Apache-2.0
"""What AI engines of Versal devices might do, as a budget of multiply-accumulates: another array than ours, which is not built here.

An encoder's products, attention with them, are shared evenly by the engines of P devices at a stated share of their peak. Weights lie in
the programmable logic's RAMB36 and URAM288, to 90 %; the way from there to the engines, softmax, LayerNorm and what is left idle are all
inside that share. Devices exchange what the nodes of this project exchange (partial sums, then rows), over one 100 Gb/s port each.
"""

from __future__ import annotations

from dataclasses import dataclass

from floreana.boards import Device
from floreana.cluster.description import legal_node_counts
from floreana.errors import InputError
from floreana.estimate.data import Efficiency
from floreana.estimate.layout import FRAMING, LINE_BYTES_SECOND, MEMORY_SHARE, SAME, Misfit, Model, figure

RAMB36_BYTES, URAM_BYTES = 4096, 32768  # of the 72 bits of a word 64 hold eight weights
CROSSINGS = 4  # of an encoder: to LN1, to FFN1, to LN2, to the next one


@dataclass(frozen=True, slots=True)
class EnginesEstimate:
    """Seconds; ``share`` of the engines' peak, ``memory`` the share of each memory that weights fill."""

    devices: int  # used
    teams: int
    parts: int
    latency: float
    interval: float
    share: float
    memory: dict[str, float]
    assumption: str


def efficiency_of(device: Device, known: tuple[Efficiency, ...], given: float | None) -> tuple[float, str]:
    """(share of the peak, where it is from). InputError where there is none for this generation and none is given."""
    if given is not None:
        return given, f"{given:.0%} of the peak, given (AIE_EFFICIENCY)"
    mac8 = figure(device, "aie_mac8")
    for each in known:
        if each.mac8 == mac8:
            return each.share, f"{each.share:.0%} of the peak: {each.generation}, {each.why} ({each.source})"
    raise InputError(
        f"no efficiency is known of AI engines with {mac8} int8 products a cycle ({device.name}); give AIE_EFFICIENCY=, 0 to 1"
    )


def memory_shares(device: Device, needed: float) -> dict[str, float]:
    """How ``needed`` bytes of weights fill a device's memories: RAMB36 first, to 90 %, the rest URAM288. Misfit where they do not fit."""
    blocks = figure(device, "ramb36")
    first = min(needed, MEMORY_SHARE * blocks * RAMB36_BYTES)
    out = {"ramb36": first / (blocks * RAMB36_BYTES)}
    if needed > first:
        ultra = figure(device, "uram")
        out["uram"] = (needed - first) / max(ultra * URAM_BYTES, 1)
        if out["uram"] > MEMORY_SHARE:
            raise Misfit(f"does not fit: {needed / 1e6:.1f} MB of weights a device, uram {out['uram']:.0%} of {MEMORY_SHARE:.0%}")
    return out


def engines_estimate(
    model: Model, device: Device, devices: int, tokens: int, delay_s: float, known: tuple[Efficiency, ...], given: float | None
) -> EnginesEstimate:
    """The best way to share a model over so many devices. ``delay_s``: a crossing. Misfit, InputError."""
    share, why = efficiency_of(device, known, given)
    engines, mac8, mhz = (figure(device, name) for name in ("aie", "aie_mac8", "aie_mhz"))
    rate = engines * mac8 * mhz * 1e6 * share
    assumption = f"{engines} engines x {mac8} int8 products x {mhz / 1e3:g} GHz, {why}"
    best: EnginesEstimate | None = None
    misfit: InputError | None = None
    for parts in legal_node_counts(model.hidden, model.heads, model.ffn):
        for teams in (n for n in range(1, model.encoders + 1) if model.encoders % n == 0 and n * parts <= devices):
            try:
                memory = memory_shares(device, model.weights * model.encoders / (teams * parts))
            except InputError as error:  # what fits RAMB36 alone needs no figure of URAM
                misfit = error if misfit is None or isinstance(misfit, Misfit) else misfit
                continue
            sent = (2 * tokens * 4 * model.hidden * (parts - 1) / parts + 2 * tokens / parts * model.hidden * (parts - 1)) * FRAMING
            busy = max(model.macs(tokens) / parts / rate, sent / LINE_BYTES_SECOND)
            crossings = CROSSINGS * delay_s if parts > 1 else 0.0
            latency = model.encoders * (busy + crossings) + (teams - 1) * delay_s + 2 * delay_s
            interval = model.encoders // teams * busy
            found = EnginesEstimate(teams * parts, teams, parts, latency, interval, share, memory, assumption)
            if (
                best is None
                or latency < best.latency / (1 + SAME)
                or (latency <= best.latency * (1 + SAME) and (interval, found.devices) < (best.interval, best.devices))
            ):
                best = found
    if best is None:
        raise misfit or Misfit("no layout")
    return best
