# SPDX-License-Identifier: Apache-2.0
"""The scalar arithmetic as MyHDL blocks: what each unit of rtl/ibert must compute, and how wide each step is.

A block has the ports and the latency of its unit, and no more of its structure than the multiplications: roots and quotients are
searched by definition, rounding compares the remainder with a half, saturation compares with the
limits. The ``intbv`` ranges are the bounds; a value outside one raises ValueError in simulation.
"""

from __future__ import annotations

from typing import Any

from myhdl import Signal, always, always_comb, block, instances, intbv

EXP_N = 30  # SOFTMAX_N of floreana.ibert.ops


def signed(bits: int) -> Any:
    """A signal of the signed range of ``bits`` bits."""
    return Signal(intbv(0, min=-(1 << (bits - 1)), max=1 << (bits - 1)))


def unsigned(bits: int) -> Any:
    """A signal of 0 .. 2**bits - 1."""
    return Signal(intbv(0)[bits:])


def ranged(low: int, high: int) -> Any:
    """A signal of low .. high, both inclusive."""
    return Signal(intbv(max(low, 0), min=low, max=high + 1))


def flag() -> Any:
    return Signal(bool(0))


@block
def requant(clk: Any, rst: Any, s_valid: Any, s_x: Any, s_m: Any, s_e: Any, s_off: Any, m_valid: Any, m_y: Any) -> Any:
    """m_y = saturate(round_half_even(s_x * s_m / 2**s_e) + s_off), 4 cycles later."""
    in_w = len(s_x)
    width = in_w + 32
    bound = 1 << (in_w + 30)  # |x * m|
    out_w = len(m_y)

    x, m, e1, off1 = signed(in_w), signed(32), unsigned(7), signed(9)
    prod, e2, off2 = ranged(-bound, bound), unsigned(7), signed(9)
    rounded, nearest, off3 = ranged(-bound, bound), ranged(-bound, bound), signed(9)
    y = signed(out_w)
    v1, v2, v3, v4 = flag(), flag(), flag(), flag()

    @always_comb
    def definition() -> None:
        quotient = intbv(0, min=-bound, max=bound + 1)
        back = intbv(0, min=-bound * 2, max=bound * 2)
        rest = intbv(0)[width + 1 :]
        twice = intbv(0)[width + 2 :]
        one = intbv(0)[width + 2 :]
        if e2 >= width:
            nearest.next = 0  # |x * m| <= 2**(e - 1): below a half, or a tie at 0
        else:
            quotient[:] = prod >> e2
            back[:] = quotient << e2
            rest[:] = prod - back  # 0 .. 2**e - 1
            twice[:] = rest << 1
            one[:] = 1
            one[:] = one << e2
            if twice > one or (twice == one and quotient[0]):
                nearest.next = quotient + 1
            else:
                nearest.next = quotient

    @always(clk.posedge)
    def pipeline() -> None:
        total = intbv(0, min=-bound - 256, max=bound + 257)
        limit = intbv(0, min=0, max=(1 << (out_w - 1)) + 1)
        if s_valid:
            x.next = s_x
            m.next = s_m
            e1.next = s_e
            off1.next = s_off
        if v1:
            prod.next = x * m
            e2.next = e1
            off2.next = off1
        if v2:
            rounded.next = nearest
            off3.next = off2
        if v3:
            total[:] = rounded + off3
            limit[:] = 1
            limit[:] = limit << (out_w - 1)  # built, since converted literals are cut at 32 bits
            if total >= limit:
                y.next = limit - 1
            elif total < -limit:
                y.next = -limit
            else:
                y.next = total
        if rst:
            v1.next = 0
            v2.next = 0
            v3.next = 0
            v4.next = 0
        else:
            v1.next = s_valid
            v2.next = v1
            v3.next = v2
            v4.next = v3

    @always_comb
    def outputs() -> None:
        m_valid.next = v4
        m_y.next = y

    return instances()


@block
def sat(x: Any, y: Any) -> Any:
    """y = x, or the nearest limit of y's type. Combinational."""
    out_w = len(y)

    @always_comb
    def definition() -> None:
        limit = intbv(0, min=0, max=(1 << (out_w - 1)) + 1)
        limit[:] = 1
        limit[:] = limit << (out_w - 1)  # built, since converted literals are cut at 32 bits
        if x >= limit:
            y.next = limit - 1
        elif x < -limit:
            y.next = -limit
        else:
            y.next = x

    return instances()


@block
def isqrt(clk: Any, rst: Any, start: Any, num: Any, busy: Any, done: Any, root: Any) -> Any:
    """root = the greatest integer whose square is at most num, ceil(W/4) + 1 cycles after start."""
    bits, steps = len(root), (len(root) + 1) // 2
    left, answer, found, finished = ranged(0, steps), unsigned(bits), unsigned(bits), flag()

    @always_comb
    def definition() -> None:
        best = intbv(0)[bits:]
        trial = intbv(0)[bits:]
        square = intbv(0)[2 * bits :]
        best[:] = 0
        for i in range(bits):
            trial[:] = best
            trial[bits - 1 - i] = True
            square[:] = trial * trial
            if square <= num:
                best[:] = trial
        found.next = best

    @always(clk.posedge)
    def control() -> None:
        finished.next = left == 1
        if start and left == 0:
            left.next = steps
            answer.next = found
        elif left != 0:
            left.next = left - 1
        if rst:
            left.next = 0
            finished.next = 0

    @always_comb
    def outputs() -> None:
        busy.next = left != 0
        done.next = finished
        root.next = answer

    return instances()


@block
def div(clk: Any, rst: Any, start: Any, num: Any, den: Any, busy: Any, done: Any, quo: Any, rem: Any) -> Any:
    """quo = num // den, rem = num % den, ceil(NUM_W/2) + 1 cycles after start; den = 0 gives all ones and num."""
    steps = (len(num) + 1) // 2
    num_w, den_w = len(num), len(den)
    left, finished = ranged(0, steps), flag()
    quotient, remainder = unsigned(num_w), unsigned(den_w)

    @always(clk.posedge)
    def control() -> None:
        beyond = intbv(0)[num_w + 1 :]
        finished.next = left == 1
        if start and left == 0:
            left.next = steps
            if den == 0:
                beyond[:] = 1
                beyond[:] = beyond << num_w
                quotient.next = beyond - 1
                remainder.next = num[den_w:]
            else:
                quotient.next = num // den
                remainder.next = num % den
        elif left != 0:
            left.next = left - 1
        if rst:
            left.next = 0
            finished.next = 0

    @always_comb
    def outputs() -> None:
        busy.next = left != 0
        done.next = finished
        quo.next = quotient
        rem.next = remainder

    return instances()


@block
def gelu(clk: Any, rst: Any, s_valid: Any, s_gelu: Any, s_x: Any, s_b: Any, s_c: Any, s_shift: Any, m_valid: Any, m_y: Any) -> Any:
    """m_y = saturate(x * (((sign(x) * ((min(|x|, -b) + b)**2 + c)) >> 14) + shift)), or x, 5 cycles later."""
    x_p1, x_p2, x_p3 = signed(32), signed(32), signed(32)
    c_p1, c_p2, shift_p1, shift_p2 = signed(40), signed(40), signed(24), signed(24)
    gelu_p1, gelu_p2, gelu_p3 = flag(), flag(), flag()
    d_p1 = ranged(-(1 << 19), 0)
    sq_p2 = ranged(0, 1 << 38)
    gs_p3 = signed(28)
    prod_p4 = ranged(-(1 << 59), 1 << 59)
    y = signed(48)
    v1, v2, v3, v4, v5 = flag(), flag(), flag(), flag(), flag()

    @always(clk.posedge)
    def pipeline() -> None:
        magnitude = intbv(0, min=0, max=(1 << 31) + 1)
        clip = intbv(0, min=0, max=(1 << 19) + 1)
        poly = intbv(0, min=-(1 << 41), max=1 << 41)
        limit = intbv(0, min=0, max=(1 << 47) + 1)
        if s_valid:
            gelu_p1.next = s_gelu
            x_p1.next = s_x
            c_p1.next = s_c
            shift_p1.next = s_shift
            if s_x < 0:
                magnitude[:] = -s_x
            else:
                magnitude[:] = s_x
            clip[:] = -s_b
            if magnitude < clip:
                clip[:] = magnitude
            d_p1.next = clip + s_b
        if v1:
            gelu_p2.next = gelu_p1
            x_p2.next = x_p1
            c_p2.next = c_p1
            shift_p2.next = shift_p1
            sq_p2.next = d_p1 * d_p1
        if v2:
            gelu_p3.next = gelu_p2
            x_p3.next = x_p2
            poly[:] = sq_p2 + c_p2
            if x_p2 < 0:
                poly[:] = -poly
            poly[:] = poly >> 14
            gs_p3.next = poly + shift_p2
        if v3:
            if gelu_p3:
                prod_p4.next = x_p3 * gs_p3
            else:
                prod_p4.next = x_p3
        if v4:
            limit[:] = 1
            limit[:] = limit << 47  # built, since converted literals are cut at 32 bits
            if prod_p4 >= limit:
                y.next = limit - 1
            elif prod_p4 < -limit:
                y.next = -limit
            else:
                y.next = prod_p4
        if rst:
            v1.next = 0
            v2.next = 0
            v3.next = 0
            v4.next = 0
            v5.next = 0
        else:
            v1.next = s_valid
            v2.next = v1
            v3.next = v2
            v4.next = v3
            v5.next = v4

    @always_comb
    def outputs() -> None:
        m_valid.next = v5
        m_y.next = y

    return instances()


@block
def exp(
    clk: Any, rst: Any, s_valid: Any, s_score: Any, s_max: Any, x0n: Any, lim: Any, b: Any, c: Any, m: Any, e: Any, m_valid: Any, m_ea: Any
) -> Any:
    """m_ea = requant(max(r*(r + b) + c, 0); m, e - 30 + q) with q, r of floor division by -x0n, 14 cycles later."""
    dist_p1 = unsigned(32)
    d_p2 = ranged(0, EXP_N * 65535)
    d_p3, d_p4, d_p5, d_p6, d_p7 = unsigned(16), unsigned(16), unsigned(16), unsigned(16), unsigned(16)
    q_p3, q_p4, q_p5 = ranged(0, EXP_N), ranged(0, EXP_N), ranged(0, EXP_N)
    q_p6, q_p7, q_p8, q_p9 = ranged(0, EXP_N), ranged(0, EXP_N), ranged(0, EXP_N), ranged(0, EXP_N)
    r_p8 = ranged(-65535, 0)
    rb_p8 = ranged(-(1 << 19) - 65535, (1 << 19) - 1)
    prod_p9 = ranged(-(1 << 36), 1 << 36)
    z_p10 = signed(37)
    e_p10 = unsigned(7)
    off = signed(9)
    v1, v2, v3, v4, v5, v6, v7, v8, v9, v10 = (flag() for _ in range(10))

    requantised = requant(clk, rst, v10, z_p10, m, e_p10, off, m_valid, m_ea)

    @always(clk.posedge)
    def pipeline() -> None:
        polynomial = intbv(0, min=-(1 << 38), max=1 << 38)
        if s_valid:
            dist_p1.next = s_max - s_score
        if v1:
            if dist_p1 > lim:
                d_p2.next = lim
            else:
                d_p2.next = dist_p1
        if v2:
            q_p3.next = d_p2 // x0n
            d_p3.next = d_p2 % x0n
        if v3:
            d_p4.next = d_p3
            q_p4.next = q_p3
        if v4:
            d_p5.next = d_p4
            q_p5.next = q_p4
        if v5:
            d_p6.next = d_p5
            q_p6.next = q_p5
        if v6:
            d_p7.next = d_p6
            q_p7.next = q_p6
        if v7:
            r_p8.next = -d_p7
            rb_p8.next = b - d_p7
            q_p8.next = q_p7
        if v8:
            prod_p9.next = r_p8 * rb_p8
            q_p9.next = q_p8
        if v9:
            polynomial[:] = prod_p9 + c
            if polynomial < 0:
                z_p10.next = 0
            else:
                z_p10.next = polynomial
            e_p10.next = e - EXP_N + q_p9
        off.next = 0
        if rst:
            v1.next = 0
            v2.next = 0
            v3.next = 0
            v4.next = 0
            v5.next = 0
            v6.next = 0
            v7.next = 0
            v8.next = 0
            v9.next = 0
            v10.next = 0
        else:
            v1.next = s_valid
            v2.next = v1
            v3.next = v2
            v4.next = v3
            v5.next = v4
            v6.next = v5
            v7.next = v6
            v8.next = v7
            v9.next = v8
            v10.next = v9

    return instances()


@block
def residual_lane(clk: Any, rst: Any, s_valid: Any, s_res: Any, s_chan: Any, s_acc_q: Any, m_valid: Any, m_y: Any) -> Any:
    """m_y = saturate(s_acc_q + requant(s_res; m1, e1)), s_chan = {e1 7, m1 32}, 4 cycles after s_res; s_acc_q comes with m_valid."""
    m1, e1, off = signed(32), unsigned(7), signed(9)
    res_q, total = signed(32), signed(33)

    residual = requant(clk, rst, s_valid, s_res, m1, e1, off, m_valid, res_q)
    limited = sat(total, m_y)

    @always_comb
    def fields() -> None:
        m1.next = s_chan[32:0].signed()
        e1.next = s_chan[39:32]
        off.next = 0
        total.next = s_acc_q + res_q

    return instances()


@block
def square_lane(
    clk: Any, en_r1: Any, en_r2: Any, en_r3: Any, en_r4: Any, y: Any, mu: Any, shift: Any, sq: Any, big: Any,
) -> Any:  # fmt: skip
    """sq = ((y - mu) >> shift)**2 where the magnitude is below 2**16; big where it is not."""
    v_r2, vs_r3 = ranged(-(1 << 24) + 1, (1 << 24) - 1), ranged(-(1 << 24) + 1, (1 << 24) - 1)
    mag_r4, big_r4 = unsigned(16), flag()

    @always(clk.posedge)
    def pipeline() -> None:
        magnitude = intbv(0, min=-(1 << 24), max=(1 << 24) + 1)
        if en_r1:
            v_r2.next = y - mu
        if en_r2:
            vs_r3.next = v_r2 >> shift
        if en_r3:
            magnitude[:] = vs_r3
            if magnitude < 0:
                magnitude[:] = -magnitude
            big_r4.next = magnitude >= 1 << 16
            mag_r4.next = magnitude[16:]
        if en_r4:
            sq.next = mag_r4 * mag_r4
            big.next = big_r4

    return instances()


@block
def layernorm_lane(
    clk: Any, en_r1: Any, en_r2: Any, en_r3: Any, en_r4: Any, y: Any, mu: Any, f: Any, chan: Any, o: Any, o_chan: Any,
) -> Any:  # fmt: skip
    """o = saturate((((y - mu) * f) >> 1) + bias), o_chan the rest of chan."""
    v_r2 = ranged(-(1 << 24) + 1, (1 << 24) - 1)
    prod_r3, prod_r4 = ranged(-(1 << 56), 1 << 56), ranged(-(1 << 56), 1 << 56)
    wide, o_sat = ranged(-(1 << 57), (1 << 57) - 1), signed(36)

    limited = sat(wide, o_sat)

    @always_comb
    def affine() -> None:
        half = intbv(0, min=-(1 << 56), max=1 << 56)
        half[:] = prod_r4 >> 1
        wide.next = half + chan[32:0].signed()

    @always(clk.posedge)
    def pipeline() -> None:
        if en_r1:
            v_r2.next = y - mu
        if en_r2:
            prod_r3.next = v_r2 * f
        if en_r3:
            prod_r4.next = prod_r3
        if en_r4:
            o.next = o_sat
            o_chan.next = chan[80:32]

    return instances()
