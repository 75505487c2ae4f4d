# SPDX-License-Identifier: Apache-2.0
"""Real heads through the default kernel: published integer vectors of an I-BERT encoder (folder in VECTORS).

The published sequence has 41 tokens and 87 of padding, masked there by the least int32. A masked key's exponential is 0 after
requantisation, so the kernel, which knows no padding, must give the published rows from the 41 tokens alone. The same operands
are then run as 128 tokens without a mask, against the model. Heads 1, 2, 3 and 10 hold a probability that the dump's 32-bit
floats rounded by one and are left out of the published comparison.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from attention_env import Context, Env, Rows, make_tables

from floreana.ibert.params import IntArray, SoftmaxParams

PAIRS = ((0, 4), (5, 6), (7, 8), (9, 11))
TOKENS = 41


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def real_heads(dut: Any) -> None:
    with np.load(Path(os.environ["VECTORS"]) / "encoder_00.npz") as data:
        arrays = {key: data[key].astype(np.int64) for key in data.files if key.startswith("self_attention/")}

    def pair(key: str, heads: tuple[int, int]) -> IntArray:
        return np.concatenate([arrays[f"self_attention/{key}_{head}"] for head in heads], axis=1)

    def scalar(key: str) -> int:
        return int(arrays[f"self_attention/{key}"].ravel()[0])

    masked = arrays["self_attention/softmax/soft_input_0"] == -(1 << 31)
    assert (masked == (np.arange(128) >= TOKENS)).all()
    softmax = SoftmaxParams(*(scalar(f"softmax/{name}") for name in ("x0", "b", "c", "m", "e")))
    ctx = Context(3, 1, 2, softmax, 5, 40)
    tables = make_tables([ctx], 1)
    tables.requant.m[:], tables.requant.e[:], tables.requant.off[:] = scalar("act_out/m"), scalar("act_out/e"), 0
    bench = Env(dut, tables)
    await bench.start()
    rng = random.Random(1)
    published = arrays["self_attention/act_out/output"]
    checked = 0
    for n in (TOKENS, 128):
        for heads in PAIRS if n == TOKENS else PAIRS[:1]:
            q, k = pair("attention_matmul/input_q", heads)[:n], pair("attention_matmul/input_k", heads)[:n]
            messages = Rows(ctx, 1, 9, q, k, pair("softmax_matmul/input_v", heads)[:n]).messages(rng)
            rng.shuffle(messages)
            base = len(bench.sink.received)
            await bench.send(messages)
            await bench.sink.wait(base + 2 * n)
            for header, payload in bench.sink.received[base:] if n == TOKENS else ():
                head = heads[header.offset // 16]
                wanted = published[header.row, 64 * head : 64 * head + 64]
                assert (np.frombuffer(payload, np.int8) == wanted).all(), f"head {head} row {header.row}"
                checked += 64
    await bench.finish(2 * (4 * TOKENS + 128))
    assert checked == 8 * TOKENS * 64
    print(f"published values: checked {checked} equal {checked}", flush=True)
