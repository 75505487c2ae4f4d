# SPDX-License-Identifier: Apache-2.0
"""The units: ports, widths, operands and what floreana.ibert.ops answers, and bugs to plant in each."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np

from floreana.ibert import ops
from floreana.ibert.params import GeluParams
from floreana.spec import blocks
from floreana.spec.blocks import flag, ranged, signed, unsigned
from floreana.spec.unit import Streams, Unit, Values, some, wrap
from floreana.spec.units_norm import UNITS as NORM_UNITS


def requantised(x: int, m: int, e: int, off: int, out_w: int) -> int:
    if out_w <= 32 and e <= ops.E_MAX:
        return int(ops.requant(x, m, e, off, ops.signed(out_w)))
    raise ValueError(f"operands beyond the integer model: e {e}, {out_w} bits")


# ------------------------------------------------------------------ requant


def _scale(rng: random.Random, in_w: int, out_w: int) -> Values:
    """x, m, e, off: random, ties of both signs, answers at the limits."""
    low, high = ops.signed(in_w)
    kind = rng.randrange(4)
    x, m, e, off = some(rng, in_w), some(rng, 32), rng.randrange(ops.E_MAX + 1), some(rng, 9)
    if kind == 0:
        e = rng.randrange(1, 20)
        x, m = max(low, min(high, rng.randrange(-300, 300) | 1)), (1 << (e - 1)) * rng.choice((-1, 1))
    elif kind == 1:
        x, m, e, off = max(low, min(high, rng.choice((-1, 1)) * ((1 << (out_w - 1)) + rng.randrange(-3, 4)))), 1 << 20, 20, 0
    elif kind == 2:
        e = rng.randrange(min(in_w + 32, ops.E_MAX))
    return {"s_x": x, "s_m": m, "s_e": e, "s_off": off}


def _requant_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    yield {}, [_scale(rng, p["IN_W"], p["OUT_W"]) for _ in range(count)]


REQUANT = Unit(
    name="requant",
    module="ibert_requant",
    block=blocks.requant,
    inputs=lambda p: dict(s_valid=flag(), s_x=signed(p["IN_W"]), s_m=signed(32), s_e=unsigned(7), s_off=signed(9)),
    outputs=lambda p: dict(m_valid=flag(), m_y=signed(p["OUT_W"])),
    full=dict(IN_W=56, OUT_W=8),
    proofs=tuple(
        dict(IN_W=in_w, OUT_W=out_w) for in_w, out_w in ((8, 8), (8, 32), (32, 8), (16, 8), (32, 32), (36, 32), (37, 16), (48, 8), (56, 8))
    ),
    operands=_requant_operands,
    expect=lambda v, p: {"m_y": requantised(v["s_x"], v["s_m"], v["s_e"], v["s_off"], p["OUT_W"])},
    bugs=(
        ("!= 2'd0 || floor[0])", "!= 2'd0 || !floor[0])"),
        ("{P_W{1'b1}} << e_p1", "{P_W{1'b1}} << (e_p1 | 7'd1)"),
        ("(OUT_W > 9) ? OUT_W : 9;", "(OUT_W > 8) ? OUT_W : 8;"),
        ("far_p3 != 2'd0;", "far_p3[1];"),
        ("far ? neg_p3 : sum[LOW+1]", "sum[LOW+1]"),
        ("(OUT_W-1){!neg}", "(OUT_W-1){neg}"),
        ("assign prod = x_p1 * m_p1;", "assign prod = x_p1 * $signed({1'b0, m_p1});"),
        ("off_p2   <= off_p1;", "off_p2   <= s_off;"),
        ("if (valid_p2) begin", "if (valid_p1 || valid_p2) begin"),
    ),
    depth=lambda p: 5,
    valid_in="s_valid",
    valid_out="m_valid",
)

# ------------------------------------------------------------------ sat


def _sat_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    limit = 1 << (p["OUT_W"] - 1)
    near = [{"x": sign * limit + step} for sign in (-1, 1) for step in range(-3, 4)]
    yield {}, near + [{"x": some(rng, p["IN_W"])} for _ in range(count)]


SAT = Unit(
    name="sat",
    module="ibert_sat",
    block=blocks.sat,
    inputs=lambda p: dict(x=signed(p["IN_W"])),
    outputs=lambda p: dict(y=signed(p["OUT_W"])),
    full=dict(IN_W=58, OUT_W=36),
    proofs=(dict(IN_W=58, OUT_W=36),),
    operands=_sat_operands,
    expect=lambda v, p: {"y": int(ops.saturate(np.asarray(v["x"], np.int64), ops.signed(p["OUT_W"])))},
    bugs=(
        ("x[IN_W-1:OUT_W-1] == {(IN_W - OUT_W + 1) {x[IN_W-1]}}", "x[IN_W-1:OUT_W] == {(IN_W - OUT_W) {x[IN_W-1]}}"),
        ("{x[IN_W-1], {(OUT_W - 1) {!x[IN_W-1]}}}", "{1'b0, {(OUT_W - 1) {1'b1}}}"),
        ("fits ? x[OUT_W-1:0]", "fits ? {x[OUT_W-1:1], 1'b0}"),
    ),
    depth=lambda p: 0,
    clocks=(),
    hold=1,
)

# ------------------------------------------------------------------ isqrt, div


def _isqrt_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    most = (1 << p["W"]) - 1
    corners = [0, 1, 2, 3, 4, most, most - 1]
    for _ in range(count // 2):
        root = rng.randrange(1, 1 << (p["W"] // 2))
        corners += [root * root, root * root - 1]
    yield {}, [{"num": num} for num in [*corners, *(rng.randrange(most + 1) >> rng.randrange(p["W"]) for _ in range(count // 2))]]


ISQRT = Unit(
    name="isqrt",
    module="ibert_isqrt",
    block=blocks.isqrt,
    inputs=lambda p: dict(start=flag(), num=unsigned(p["W"])),
    outputs=lambda p: dict(busy=flag(), done=flag(), root=unsigned(p["W"] // 2)),
    full=dict(W=32),
    proofs=(dict(W=12), dict(W=16)),
    operands=_isqrt_operands,
    expect=lambda v, p: {"root": int(ops.isqrt(v["num"]))},
    bugs=(
        ("ge_2 = !less_2[ROOT_W+6]", "ge_2 = !less_2[ROOT_W+6] && less_2 != {ROOT_W + 7{1'b0}}"),
        ("{triple_reg[ROOT_W-1:0] + 1'b1, 2'd2}", "{triple_reg[ROOT_W-1:0] + 1'b1, 2'd3}"),
        ("if (left_reg == 1)", "if (left_reg == 2)"),
        ("take = start && !busy_reg", "take = start"),
    ),
    depth=lambda p: -(-p["W"] // 4) + 3,
    valid_in="start",
    valid_out="done",
    iterative=True,
)


def _div_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    num_w, den_w = p["NUM_W"], p["DEN_W"]
    pairs = [(1 << (num_w - 1), den) for den in (0, 1, 2, 3, (1 << den_w) - 1, 1 << (den_w - 1))]
    pairs += [(num, den) for num in (0, 1, (1 << num_w) - 1) for den in (0, 1, (1 << den_w) - 1)]
    for _ in range(count):
        den = rng.randrange(1 << den_w) >> rng.randrange(den_w)
        pairs.append((rng.choice((1 << (num_w - 1), rng.randrange(1 << num_w) >> rng.randrange(num_w))), den))
    yield {}, [{"num": num, "den": den} for num, den in pairs]


def _div_expect(v: Values, p: Mapping[str, int]) -> Values:
    if v["den"] == 0:
        return {"quo": (1 << p["NUM_W"]) - 1, "rem": v["num"] & ((1 << p["DEN_W"]) - 1)}
    return {"quo": v["num"] // v["den"], "rem": v["num"] % v["den"]}


DIV = Unit(
    name="div",
    module="ibert_div",
    block=blocks.div,
    inputs=lambda p: dict(start=flag(), num=unsigned(p["NUM_W"]), den=unsigned(p["DEN_W"])),
    outputs=lambda p: dict(busy=flag(), done=flag(), quo=unsigned(p["NUM_W"]), rem=unsigned(p["DEN_W"])),
    full=dict(NUM_W=33, DEN_W=32),
    proofs=(dict(NUM_W=9, DEN_W=8), dict(NUM_W=17, DEN_W=16)),
    operands=_div_operands,
    expect=_div_expect,
    bugs=(
        ("ge_2 = !less_2[DEN_W+2]", "ge_2 = !less_2[DEN_W+2] && less_2 != {DEN_W + 3{1'b0}}"),
        ("{2'd0, den} + {1'b0, den, 1'b0}", "{2'd0, den} + {1'b0, den[DEN_W-1:1], 2'b00}"),
        ("if (left_reg == 1)", "if (left_reg == 2)"),
        ("rem_reg              <= {DEN_W{1'b0}};", ""),
    ),
    depth=lambda p: (p["NUM_W"] + 1) // 2 + 3,
    valid_in="start",
    valid_out="done",
    iterative=True,
)

# ------------------------------------------------------------------ gelu


def _gelu_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    rows: list[Values] = []
    for _ in range(count):
        b = -abs(some(rng, 20)) if rng.random() < 0.9 else -(1 << 19)
        x = rng.choice((some(rng, 32), rng.choice((-1, 1)) * (abs(b) + rng.randrange(-2, 3))))
        rows.append(
            {"s_gelu": int(rng.random() < 0.9), "s_x": x, "s_b": max(b, -(1 << 19)), "s_c": some(rng, 40), "s_shift": some(rng, 24)}
        )
    yield {}, rows


def _gelu_expect(v: Values, p: Mapping[str, int]) -> Values:
    if not v["s_gelu"]:
        return {"m_y": v["s_x"]}
    one = GeluParams(b=np.array([v["s_b"]]), c=np.array([v["s_c"]]), shift=np.array([v["s_shift"]]))
    return {"m_y": int(ops.gelu(np.array([[v["s_x"]]]), one)[0, 0])}


GELU = Unit(
    name="gelu",
    module="ibert_gelu",
    block=blocks.gelu,
    inputs=lambda p: dict(s_valid=flag(), s_gelu=flag(), s_x=signed(32), s_b=ranged(-(1 << 19), 0), s_c=signed(40), s_shift=signed(24)),
    outputs=lambda p: dict(m_valid=flag(), m_y=signed(48)),
    full={},
    proofs=({},),
    operands=_gelu_operands,
    expect=_gelu_expect,
    bugs=(
        ("negative && poly[13:0] == 14'd0", "1'b0"),
        ("clamp_add = sum[33] ?", "clamp_add = sum[33] || sum[32:2] == 31'd0 ?"),
        ("prod_p4[63:47] == {17{prod_p4[63]}}", "prod_p4[63:48] == {16{prod_p4[63]}}"),
        ("x_p3 * gs_p3 :", "x_p3 * $signed({1'b0, gs_p3}) :"),
        ("shift_p2 <= shift_p1;", "shift_p2 <= s_shift;"),
        ("x_p3    <= x_p2;", "x_p3    <= valid_p4 ? x_p3 : x_p2;"),
        ("if (valid_p3) begin", "if (valid_p2) begin"),
    ),
    depth=lambda p: 6,
    valid_in="s_valid",
    valid_out="m_valid",
)

# ------------------------------------------------------------------ exp


def _exp_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    for _ in range(max(1, count // 20)):
        x0n = rng.choice((1, 2, 65535, rng.randrange(1, 1 << 16), rng.randrange(1, 1 << 16) >> rng.randrange(10) or 1))
        fixed = {"x0n": x0n, "lim": 30 * x0n, "b": some(rng, 20), "c": some(rng, 32), "m": abs(some(rng, 31)), "e": rng.randrange(30, 81)}
        rows: list[Values] = []
        for _ in range(20):
            top = some(rng, 32)
            away = rng.choice((0, 30 * x0n, 30 * x0n + 1, rng.randrange(31) * x0n, rng.randrange(30 * x0n + 1), rng.randrange(1 << 32)))
            rows.append({"s_max": top, "s_score": max(top - away, -(1 << 31))})
        yield fixed, rows


def _exp_expect(v: Values, p: Mapping[str, int]) -> Values:
    x0 = -v["x0n"]
    x = np.maximum(np.int64(v["s_score"] - v["s_max"]), ops.SOFTMAX_N * x0)
    q = x // x0
    r = x - q * x0
    z = np.maximum(r * (r + v["b"]) + v["c"], 0)
    return {"m_ea": int(ops.requant(z, v["m"], v["e"] - ops.SOFTMAX_N + q, 0, ops.INT16))}


EXP = Unit(
    name="exp",
    module="ibert_exp",
    block=blocks.exp,
    inputs=lambda p: dict(
        s_valid=flag(),
        s_score=signed(32),
        s_max=signed(32),
        x0n=ranged(1, 65535),
        lim=ranged(0, 30 * 65535),
        b=signed(20),
        c=signed(32),
        m=signed(32),
        e=ranged(30, 80),
    ),
    outputs=lambda p: dict(m_valid=flag(), m_ea=signed(16)),
    full={},
    proofs=({},),
    operands=_exp_operands,
    expect=_exp_expect,
    bugs=(
        ("ge4  = d_p4 >= {3'b0, x0n, 2'd0}", "ge4  = d_p4 > {3'b0, x0n, 2'd0}"),
        ("dist_p1 <= s_max - s_score;", "dist_p1 <= s_max - s_score + 1;"),
        ("z_next[37] ? 37'sd0 : z_next[36:0]", "z_next[36:0]"),
        ("e - 7'd30 + {2'd0, q_p9}", "e - 7'd31 + {2'd0, q_p9}"),
        ("q_p9    <= q_p8;", "q_p9    <= q_p7;"),
        ("if (valid_sr[6]) begin", "if (valid_sr[7]) begin"),
    ),
    depth=lambda p: 15,
    children=("ibert_requant",),
    valid_in="s_valid",
    valid_out="m_valid",
    constant=frozenset(("x0n", "lim", "b", "c", "m", "e")),
    legal=dict(s_score="s_score_any <= s_max ? s_score_any : s_max", lim="30 * x0n"),
)

# ------------------------------------------------------------------ LayerNorm: residual sum, one channel of both passes


def _residual_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    rows: list[Values] = []
    for _ in range(count):
        r = _scale(rng, p["RES_W"], 24)
        rows.append({"s_res": r["s_x"], "s_chan": (r["s_m"] & 0xFFFFFFFF) | r["s_e"] << 32, "s_acc_q": some(rng, 32)})
    yield {}, rows


def _residual_expect(v: Values, p: Mapping[str, int]) -> Values:
    chan = v["s_chan"]
    residual = requantised(v["s_res"], wrap(chan, 32), chan >> 32, 0, 32)
    return {"m_y": int(ops.saturate(np.asarray(v["s_acc_q"] + residual, np.int64), ops.INT24))}


RESIDUAL_LANE = Unit(
    name="residual_lane",
    module="ibert_residual_lane",
    block=blocks.residual_lane,
    inputs=lambda p: dict(s_valid=flag(), s_res=signed(p["RES_W"]), s_chan=unsigned(39), s_acc_q=signed(32)),
    outputs=lambda p: dict(m_valid=flag(), m_y=signed(24)),
    full=dict(RES_W=16),
    proofs=(dict(RES_W=8), dict(RES_W=16)),
    operands=_residual_operands,
    expect=_residual_expect,
    bugs=(
        ("$signed({s_acc_q[31], s_acc_q})", "$signed({1'b0, s_acc_q})"),
        (".s_e    (s_chan[38:32])", ".s_e    (s_chan[37:31])"),
        ("{x[IN_W-1], {(OUT_W - 1) {!x[IN_W-1]}}}", "{1'b0, {(OUT_W - 1) {1'b1}}}"),
        (".s_valid(s_valid),\n      .s_x    (s_res)", ".s_valid(m_valid),\n      .s_x    (s_res)"),
    ),
    depth=lambda p: 5,
    children=("ibert_requant", "ibert_sat"),
    valid_in="s_valid",
    valid_out="m_valid",
    at=dict(s_acc_q=4),
)


def _square_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    ones = dict.fromkeys(("en_r1", "en_r2", "en_r3", "en_r4"), 1)
    yield {}, [{"y": some(rng, 24), "mu": some(rng, 24), "shift": rng.randrange(32), **ones} for _ in range(count)]


def _square_expect(v: Values, p: Mapping[str, int]) -> Values:
    square = ((v["y"] - v["mu"]) >> v["shift"]) ** 2
    return {"big": 1} if square > ops.UINT32[1] else {"sq": square, "big": 0}


SQUARE_LANE = Unit(
    name="square_lane",
    module="ibert_square_lane",
    block=blocks.square_lane,
    inputs=lambda p: dict(en_r1=flag(), en_r2=flag(), en_r3=flag(), en_r4=flag(), y=signed(24), mu=signed(24), shift=unsigned(5)),
    outputs=lambda p: dict(sq=unsigned(32), big=flag()),
    full={},
    proofs=({},),
    operands=_square_operands,
    expect=_square_expect,
    bugs=(
        ("v_r2 >>> shift", "v_r2 >> shift"),
        ("mag[24:16] != 9'd0", "mag[24:17] != 8'd0"),
        ("vs_r3[24] ? -vs_r3 : vs_r3", "vs_r3[24] ? ~vs_r3 : vs_r3"),
        ("{big_r4, square}", "{big_r4, square ^ {31'd0, en_r1}}"),
        ("if (en_r3)", "if (en_r1)"),
    ),
    depth=lambda p: 5,
    clocks=("clk",),
    hold=6,
    constant=frozenset(("mu", "shift")),
    enables=dict(en_r1=0, en_r2=1, en_r3=2, en_r4=3),
)


def _lane_operands(rng: random.Random, count: int, p: Mapping[str, int]) -> Streams:
    ones = dict.fromkeys(("en_r1", "en_r2", "en_r3", "en_r4"), 1)
    rows: list[Values] = []
    for _ in range(count):
        scale = _scale(rng, 36, 8)
        chan = (some(rng, 32) & 0xFFFFFFFF) | (scale["s_m"] & 0xFFFFFFFF) << 32 | scale["s_e"] << 64 | (scale["s_off"] & 511) << 71
        f = rng.choice((0, 1, (1 << 31) // rng.randrange(1, 1 << 20), (1 << 32) - 1))
        rows.append({"y": some(rng, 24), "mu": some(rng, 24), "f": f, "chan": chan, **ones})
    yield {}, rows


def _lane_expect(v: Values, p: Mapping[str, int]) -> Values:
    o = ops.saturate(np.asarray((((v["y"] - v["mu"]) * v["f"]) >> 1) + wrap(v["chan"], 32), np.int64), ops.INT36)
    return {"o": int(o), "o_chan": v["chan"] >> 32}


LAYERNORM_LANE = Unit(
    name="layernorm_lane",
    module="ibert_layernorm_lane",
    block=blocks.layernorm_lane,
    inputs=lambda p: dict(
        en_r1=flag(), en_r2=flag(), en_r3=flag(), en_r4=flag(), y=signed(24), mu=signed(24), f=unsigned(32), chan=unsigned(80)
    ),
    outputs=lambda p: dict(o=signed(36), o_chan=unsigned(48)),
    full={},
    proofs=({},),
    operands=_lane_operands,
    expect=_lane_expect,
    bugs=(
        ("o_wide = (prod_r4 >>> 1) + bias", "o_wide = (prod_r4 >> 1) + bias"),
        ("f_signed = $signed({1'b0, f})", "f_signed = $signed({f[31], f})"),
        ("prod_r4 <= prod_r3[37:0];", "prod_r4 <= prod_r3[37:0] ^ {37'd0, en_r1};"),
        ("prod_r3[57:37] == {21{prod_r3[57]}}", "prod_r3[57:38] == {20{prod_r3[57]}}"),
        ("o_wide[37:35] == {3{o_wide[37]}}", "o_wide[37:36] == {2{o_wide[37]}}"),
        ("chan_r5 <= chan[79:32];\n    end", "end\n    chan_r5 <= chan[79:32];\n    if (en_r2) chan_r5 <= 48'd0;"),
    ),
    depth=lambda p: 5,
    clocks=("clk",),
    hold=6,
    constant=frozenset(("mu", "f")),
    enables=dict(en_r1=0, en_r2=1, en_r3=2, en_r4=3),
    at=dict(chan=3),
)

UNITS = (REQUANT, SAT, ISQRT, DIV, GELU, EXP, RESIDUAL_LANE, SQUARE_LANE, LAYERNORM_LANE, *NORM_UNITS)
