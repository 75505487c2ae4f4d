# SPDX-License-Identifier: Apache-2.0
"""Softmax normalisation, LayerNorm's arithmetic of a row, and the dot product as MyHDL blocks, in the manner of blocks.py.

The dot product adds in the order of its unit, four neighbours at a time: the sum is the same in every order, which no solver
shows in useful time, and the simulation compares it with a plain sum.
"""

from __future__ import annotations

from typing import Any

from myhdl import ConcatSignal, always, always_comb, block, instances, intbv

from floreana.spec.blocks import flag, ranged, signed, unsigned


@block
def prob(clk: Any, rst: Any, s_valid: Any, s_a: Any, s_f: Any, m_o: Any, m_valid: Any, m_p: Any) -> Any:
    """m_p = min(max((s_a * s_f) >> 24, 0), 255), 3 cycles later; m_o = (s_a * s_f) >> 16, 2 cycles later."""
    a_w = len(s_a)
    bound = 1 << (a_w + 31)  # |a * f|
    prod_p1, prod_p2, p_p3 = ranged(-bound, bound), ranged(-bound, bound), unsigned(8)
    v1, v2, v3 = flag(), flag(), flag()

    @always(clk.posedge)
    def pipeline() -> None:
        share = intbv(0, min=-(1 << (a_w + 7)), max=(1 << (a_w + 7)) + 1)
        if s_valid:
            prod_p1.next = s_a * s_f
        if v1:
            prod_p2.next = prod_p1
        if v2:
            share[:] = prod_p2 >> 24
            if share < 0:
                p_p3.next = 0
            elif share > 255:
                p_p3.next = 255
            else:
                p_p3.next = share
        if rst:
            v1.next = 0
            v2.next = 0
            v3.next = 0
        else:
            v1.next = s_valid
            v2.next = v1
            v3.next = v2

    @always_comb
    def outputs() -> None:
        m_o.next = prod_p2 >> 16
        m_valid.next = v3
        m_p.next = p_p3

    return instances()


@block
def reciprocal(clk: Any, rst: Any, start: Any, den: Any, busy: Any, done: Any, f: Any, log: int) -> Any:
    """f = min(2**log // den, 2**W - 1), 0 for den = 0; ceil((log + 1)/2) + 1 cycles after start."""
    width = len(den)
    steps = (log + 2) // 2
    left, finished, answer = ranged(0, steps), flag(), unsigned(width)

    @always(clk.posedge)
    def control() -> None:
        one = intbv(0)[log + 1 :]
        limit = intbv(0)[width + 1 :]
        quotient = intbv(0)[log + 1 :]
        finished.next = left == 1
        if start and left == 0:
            left.next = steps
            one[:] = 1
            one[:] = one << log  # built, since converted literals are cut at 32 bits
            limit[:] = 1
            limit[:] = limit << width
            if den == 0:
                answer.next = 0
            else:
                quotient[:] = one // den
                if quotient >= limit:
                    answer.next = limit - 1
                else:
                    answer.next = quotient
        elif left != 0:
            left.next = left - 1
        if rst:
            left.next = 0
            finished.next = 0

    @always_comb
    def outputs() -> None:
        busy.next = left != 0
        done.next = finished
        f.next = answer

    return instances()


@block
def softmax_factor(clk: Any, rst: Any, start: Any, den: Any, busy: Any, done: Any, f: Any) -> Any:
    """f = min(2**W // den, 2**W - 1), 0 for den = 0."""
    return reciprocal(clk, rst, start, den, busy, done, f, len(den))


@block
def norm_factor(clk: Any, rst: Any, start: Any, den: Any, busy: Any, done: Any, f: Any) -> Any:
    """f = 2**(W-1) // den, 0 for den = 0."""
    return reciprocal(clk, rst, start, den, busy, done, f, len(den) - 1)


@block
def mean(clk: Any, rst: Any, start: Any, total: Any, count: Any, busy: Any, done: Any, mean: Any) -> Any:
    """mean = round_half_even(total / count), its low bits, ceil(SUM_W/2) + 2 cycles after start."""
    sum_w, count_w, mean_w = len(total), len(count), len(mean)
    steps = (sum_w + 1) // 2
    left, divided, finished = ranged(0, steps), flag(), flag()
    waiting, answer = unsigned(mean_w), signed(mean_w)
    nearest = unsigned(mean_w)

    @always_comb
    def definition() -> None:
        half = intbv(0)[sum_w:]
        far = intbv(0, min=-(1 << (sum_w + count_w)), max=1 << (sum_w + count_w))
        lifted = intbv(0)[sum_w + count_w :]
        quotient = intbv(0)[sum_w + count_w :]
        rest = intbv(0)[count_w:]
        twice = intbv(0)[count_w + 1 :]
        half[:] = 1
        half[:] = half << (sum_w - 1)
        far[:] = half * count
        far[:] = far + total
        lifted[:] = far  # not negative, and the same remainder; the quotient is 2**(sum_w - 1) too great
        quotient[:] = 0
        rest[:] = 0
        if count != 0:
            quotient[:] = lifted // count
            rest[:] = lifted % count
        twice[:] = rest << 1
        if twice > count or (twice == count and quotient[0]):
            quotient[:] = quotient + 1
        quotient[:] = quotient + half  # half twice: nothing but a bit beyond the sign
        nearest.next = quotient[mean_w:]

    @always(clk.posedge)
    def control() -> None:
        divided.next = left == 1
        finished.next = divided
        if divided:
            answer.next = waiting.signed()
        if start and left == 0:
            left.next = steps
            waiting.next = nearest
        elif left != 0:
            left.next = left - 1
        if rst:
            left.next = 0
            divided.next = 0
            finished.next = 0

    @always_comb
    def outputs() -> None:
        busy.next = left != 0
        done.next = finished
        mean.next = answer

    return instances()


@block
def sigma(root: Any, shift: Any, sigma: Any) -> Any:
    """sigma = min(max(root << shift, 1), 2**32 - 1). Combinational."""

    @always_comb
    def definition() -> None:
        wide = intbv(0)[47:]
        limit = intbv(0)[33:]
        limit[:] = 1
        limit[:] = limit << 32
        wide[:] = root
        wide[:] = wide << shift
        if wide == 0:
            sigma.next = 1
        elif wide >= limit:
            sigma.next = limit - 1
        else:
            sigma.next = wide

    return instances()


@block
def product(clk: Any, enable: Any, a: Any, b: Any, p: Any) -> Any:
    """p = a * b of the signed bytes, a cycle later."""

    @always(clk.posedge)
    def register() -> None:
        if enable:
            p.next = a.signed() * b.signed()

    return instances()


@block
def sum_of_four(clk: Any, enable: Any, a: Any, b: Any, c: Any, d: Any, s: Any) -> Any:
    """s = a + b + c + d, a cycle later."""

    @always(clk.posedge)
    def register() -> None:
        if enable:
            s.next = (a + b) + (c + d)

    return instances()


@block
def sum_of_two(clk: Any, enable: Any, a: Any, b: Any, s: Any) -> Any:
    """s = a + b, a cycle later."""

    @always(clk.posedge)
    def register() -> None:
        if enable:
            s.next = a + b

    return instances()


@block
def dot(clk: Any, rst: Any, s_valid: Any, s_a: Any, s_b: Any, m_valid: Any, m_sum: Any) -> Any:
    """m_sum[h] = sum of s_a[i] * s_b[i] over the 64 / HEADS signed bytes i of head h, 4 cycles later."""
    heads = len(m_sum) // 32
    v1, v2, v3, v4 = flag(), flag(), flag(), flag()

    # |a * b| <= 2**14, and four times as much in each level
    prods = [ranged(-(1 << 14), 1 << 14) for _ in range(64)]
    fours = [ranged(-(1 << 16), 1 << 16) for _ in range(16)]
    sixteens = [ranged(-(1 << 18), 1 << 18) for _ in range(4)]
    totals = [signed(32) for _ in range(heads)]

    level1 = [product(clk, s_valid, s_a(8 * i + 8, 8 * i), s_b(8 * i + 8, 8 * i), prods[i]) for i in range(64)]
    level2 = [sum_of_four(clk, v1, *prods[4 * i : 4 * i + 4], fours[i]) for i in range(16)]
    level3 = [sum_of_four(clk, v2, *fours[4 * i : 4 * i + 4], sixteens[i]) for i in range(4)]
    if heads == 1:
        level4 = [sum_of_four(clk, v3, *sixteens, totals[0])]
    else:
        level4 = [sum_of_two(clk, v3, *sixteens[2 * i : 2 * i + 2], totals[i]) for i in range(2)]
    every = totals[0] if heads == 1 else ConcatSignal(totals[1], totals[0])

    @always(clk.posedge)
    def valid() -> None:
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
        m_sum.next = every[32 * heads :]

    return level1, level2, level3, level4, valid, outputs
