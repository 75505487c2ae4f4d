# SPDX-License-Identifier: Apache-2.0
"""floreana.host.words: the one table of manager words, and the messages of docs/manager.md."""

from __future__ import annotations

import ast
import re
import struct
from pathlib import Path

import pytest

from floreana.host import words

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("eth_n", "count"), [(1, 240), (2, 304)])
def test_every_word_has_one_name(eth_n: int, count: int) -> None:
    table = words.word_map(eth_n)
    assert words.word_count(eth_n) == len(table) == count
    assert [word.index for word in table] == list(range(count))
    named = [word for word in table if word.kind != "spare"]
    assert len({word.name for word in named}) == len(named)
    for word in named:
        assert re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", word.name) and word.meaning
        assert words.index_of(word.name, eth_n) == word.index
    print(f"checked {len(named)} equal {len(named)}")


def test_places_of_the_map() -> None:
    """First and last words of the blocks, as the RTL has them."""
    for name, index in {
        "node.magic": 0, "node.k_lanes": 8, "node.row_beats": 25, "node.lost": 26, "node.rx_cells": 30, "linear.messages_in": 32,
        "linear.stale": 45, "attention.stale": 57, "add_norm.stale": 74, "manager.requests": 80, "manager.busy_refused": 88,
        "switch.manager.messages_in": 96, "switch.eth0.stalled": 135, "switch.gateway.messages_in": 136, "node.gateway": 31,
        "gateway.messages_in": 160, "gateway.releases_out": 175, "eth0.tx.messages": 176, "eth0.tx.refused": 191,
        "eth0.rx.frames": 192, "eth0.rx.dropped.mac_error": 202, "eth0.rx.dropped.responder_busy": 222, "eth0.link.expiries": 224,
        "eth0.link.up_low": 228, "eth0.link.restarted_high": 233,
    }.items():  # fmt: skip
        assert words.index_of(name) == index
    assert words.index_of("eth1.tx.messages", 2) == 240 and words.index_of("switch.eth1.stalled", 2) == 143
    assert words.index_of("switch.gateway.stalled", 2) == 151
    for name in ("eth1.tx.messages", "switch.eth1.dropped", "node.spare", "nothing"):
        with pytest.raises(KeyError, match="no manager word"):
            words.index_of(name)
    with pytest.raises(ValueError, match="1 or 2"):
        words.word_map(3)


# by block: the bench that compares a unit's counters with what it saw, its list of them in the order of sts_count, and what it calls
# by another name; `drop_x` and `x` are `dropped_x` here
BENCHES: dict[str, tuple[str, str, dict[str, str]]] = {
    "linear.": (
        "ibert_linear/linear_bench.py", "COUNTERS",
        {"drop_queue": "dropped_repeat", "no_row": "idle_row", "blocked": "idle_output", "drop_stale": "stale", "switch": "idle_switch"},
    ),
    "attention.": (
        "ibert_attention/attention_env.py", "COUNTS",
        {"messages": "messages_in", "beats": "beats_in", "rows": "rows_out", "waiting": "idle_row", "stalled": "idle_output"},
    ),
    "add_norm.": (
        "ibert_add_norm/norm_bench.py", "COUNTERS",
        {
            "messages": "messages_in", "beats": "beats_in", "overflow": "dropped_ready", "normalised": "rows_normalised",
            "entered": "rows_entered", "refused": "idle_output", "drop_stale": "stale",
        },
    ),
    "gateway.": ("node_gateway/gateway_bench.py", "COUNTS", {}),
    "eth0.tx.": (
        "net_eth_tx/tx_bench.py", "COUNTS",
        {
            "data": "frames", "helloacks": "hello_acks", "no_node": "dropped_node", "malformed": "dropped_format", "back": "go_backs",
            "peak": "cells_peak",
        },
    ),
    "eth0.rx.dropped.": (
        "net_eth_rx/oracle.py", "CAUSES",
        {
            "destination mac": "dst_mac", "destination address": "dst_ip", "version or type": "version", "source address": "src_address",
            "full": "no_cell", "busy": "responder_busy",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("block", BENCHES)
def test_the_units_count_what_the_words_say(block: str) -> None:
    """Each word of a unit has the meaning that the unit's bench compares with an independent count."""
    path, name, others = BENCHES[block]
    tree = ast.parse((ROOT / "tb" / path).read_text(encoding="utf-8"))
    told = next(
        ast.literal_eval(item.value)
        for item in tree.body
        if isinstance(item, ast.Assign) and any(isinstance(target, ast.Name) and target.id == name for target in item.targets)
    )
    first = words.index_of(f"{block}{others.get(told[0], told[0]).replace(' ', '_')}")
    table = words.word_map()
    for place, entry in enumerate(told):
        word = table[first + place]
        expected = others.get(entry, entry).replace(" ", "_")
        names = {f"{block}{expected}", f"{block}dropped_{expected.removeprefix('drop_')}"}
        assert word.name in names or (entry == "spare" and word.kind == "spare"), (entry, word)
    rest = [word for word in table[first + len(told) :] if word.name.startswith(block) and word.kind != "spare"]
    assert not rest, f"no bench counts {rest}"


def test_document_has_the_table() -> None:
    text = (ROOT / "docs" / "manager.md").read_text(encoding="utf-8")
    assert text.endswith("\n\n" + words.markdown_table()), "docs/manager.md: run `python -m floreana.host.words` and replace its last table"


def test_causes_are_those_of_the_transport() -> None:
    """As many causes as docs/transport.md lists, numbered from 0."""
    text = (ROOT / "docs" / "transport.md").read_text(encoding="utf-8")
    listed = re.search(r"Causes of dropped frames.*?: (0 .*?)\.\n", text, re.DOTALL)
    assert listed is not None
    numbers = [int(n) for n in re.findall(r"(?:^|, )\s*(\d+) ", " ".join(listed[1].split()))]
    assert numbers == list(range(len(words.RX_CAUSES)))


def test_names_for_words_that_were_read() -> None:
    named = words.name_words([11, 22, 0xFFFF_FFFF, 1], 228)
    assert named == {"eth0.link.up_low": 11, "eth0.link.up_high": 22, "eth0.link.failed_low": 0xFFFF_FFFF, "eth0.link.failed_high": 1}
    assert words.peer_mask(named, "eth0.link.up") == {0, 1, 3, 33, 34, 36}
    assert words.peer_mask(named, "eth0.link.failed") == set(range(33))
    assert words.name_words([5, 7], 46) == {"linear.idle_switch": 5}
    with pytest.raises(ValueError, match="not all within"):
        words.name_words([0, 0], 239)


def test_requests() -> None:
    assert words.read_request(0xBEEF, 32, 16) == bytes.fromhex("0100efbe2000000010000000")
    assert words.flush_request(1, 3, 9) == bytes.fromhex("030001000300000009000000")
    assert words.events_request(2, True) == bytes.fromhex("040002000100000000000000")
    payload = words.write_request(3, 0x1400_0005, [1, 1 << 511])
    assert len(payload) == 192 and payload[:12] == bytes.fromhex("020003000500001402000000") and not any(payload[12:64])
    assert payload[64:] == (1).to_bytes(64, "little") + (1 << 511).to_bytes(64, "little")
    for values in ([], [0] * 16):
        with pytest.raises(ValueError, match="split it"):
            words.write_request(0, 0, values)
    with pytest.raises(ValueError, match="tag"):
        words.read_request(1 << 16, 0, 1)
    with pytest.raises(ValueError, match="arguments"):
        words.read_request(0, -1, 1)


def test_replies_and_events() -> None:
    head = struct.pack("<BBHIII48x", 0x81, 0, 7, 32, 2, 224)
    assert words.Reply.parse(head + struct.pack("<2I", 5, 6)) == words.Reply(words.OP_READ, 0, 7, 32, 2, 224, (5, 6))
    refused = struct.pack("<BBHIII48x", 0x82, words.STATUS_BUSY, 7, 32, 0, 224)
    assert words.Reply.parse(refused) == words.Reply(words.OP_WRITE, 3, 7, 32, 0, 224, ())
    assert words.STATUS[words.Reply.parse(refused).status] == "a kernel is at work"
    event = struct.pack("<BBHIIII44x", 0xE0, 2, 0, 1, 17, 3, 99)
    assert words.Event.parse(event) == words.Event(words.EVENT_RESTARTED, 1, 17, 3, 99)
    for wrong in (b"", head[:63], b"\x01" + head[1:], event, head + b"\0" * 4):
        with pytest.raises(ValueError, match="reply"):
            words.Reply.parse(wrong)
    for wrong in (head, event[:-1], b"\xe0\x04" + event[2:]):
        with pytest.raises(ValueError, match="not an event"):
            words.Event.parse(wrong)
