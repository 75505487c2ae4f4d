# SPDX-License-Identifier: Apache-2.0
"""Pipeline depths of the RTL, in cycles: every constant of the schedule model, each with the place that states it.

A depth counts from one named cycle to another one. "In" and "out" are the cycles in which a beat is handed over at a port. None of them
comes from a run of a cluster. docs/schedule.md has them as a table, which `floreana model-check --record 1` makes of the lines below.
"""

from __future__ import annotations

from typing import Final

# ---- rtl/ibert/ibert_linear*.v. Their sum is the header's budget of mode 0: last beat in -> first beat out 18 + ksteps
LINEAR_IN: Final = 4  # ibert_linear_in.v, header: last beat of a row in -> row_valid
ROW_QUEUE: Final = 2  # ibert_row_queue.v, header: push -> head shown
SEQUENCER: Final = 3  # ibert_linear_seq.v, header: 4 from the row shown to its first word out, which is one behind its issue
ARRAY: Final = 6  # ibert_linear_seq.v word_valid 1 behind the issue; ibert_linear_array.v, header: 5 from there to the group
ACC_FIFO: Final = 2  # ibert_acc_fifo.v, header: group in -> unit out
EMIT: Final = 2  # ibert_linear.v p_valid_reg 1, axis_msg_emit.v, header: 1 (one skid buffer)
POST: Final = 13  # ibert_post.v: p1 to p11 of the beat's last vector, then axis_fifo.v 2
CREDIT: Final = 1  # ibert_acc_fifo.v free_reg, ibert_linear_seq.v any_sum_reg: a group's last unit out -> the next group may start
ACC_GROUPS: Final = 64  # ibert_linear.v ACC_FIFO_GROUPS
POST_BEATS: Final = 16  # ibert_post.v DEPTH
POST_HALF: Final = 8  # ibert_post.v m_row_ready: a whole row, or half a FIFO of it
LOOK_AHEAD: Final = 3  # ibert_linear_seq.v: no idle cycle between rows, so a row is taken at least this long before the array is free

# ---- rtl/ibert/ibert_attention*.v. Their sum is the header's budget: completing beat in -> first beat out 3 n + 77
ATTENTION_IN: Final = 4  # ibert_attention_in.v, header 2, and ibert_attention_bank.v, header 2: completing beat in -> the row may be served
OFFER: Final = 1  # ibert_attention_rows.v: row taken -> job_valid
ROW_GAP: Final = 1  # ibert_attention_rows.v, header: one idle cycle between rows
SCORES: Final = 6  # ibert_attention_score.v, header: last key -> m_valid
EXPONENTIALS: Final = 15 + 20  # ibert_attention_exp.v, header: last score -> factor
DIVISION: Final = 18  # ibert_attention.v, header: one job per max(n, 18) cycles, the division
CONTEXT: Final = 6 + 22  # ibert_attention_context.v, header: last key -> sums -> beat
CONTEXT_SPACING: Final = 17  # ibert_attention_context.v SPACING: last keys of two jobs
ATTENTION_OUT: Final = 3  # ibert_attention.v, header: FIFO and skid
SCORES_STORED: Final = 2  # ibert_attention_score.v, header: scores are stored twice over
EXPONENTIALS_STORED: Final = 4  # ibert_attention_exp.v, header: a ring of four
ATTENTION_ROOM: Final = 8  # ibert_attention.v OUT_N: output beats promised

# ---- rtl/ibert/ibert_add_norm*.v. Their sum, last part in -> last beat out: 5 H / (2 LANES) + 87 for SUM_W = 34; header: at most + 88
NORM_IN: Final = 6  # ibert_add_norm_rx.v ready_p4 4, ibert_slot_fifo.v, header: 2
NORM_START: Final = 2  # ibert_add_norm.v S_IDLE -> S_START
NORM_SUM: Final = 11  # ibert_residual_sum.v q1 to q10 9, ibert_mean.v, header: ceil(SUM_W/2) + 2: last word asked for -> done
NORM_SUM_START: Final = 1  # ibert_residual_sum.v: start -> first accumulator beat
NORM_HAND: Final = 1  # ibert_add_norm.v S_SUM -> S_HAND
NORM_ROOT: Final = 8 + 9 + 1  # ibert_layernorm.v r1 to r7 and root_start_reg; ibert_isqrt.v, header: ceil(32/4) + 1; recip_start_reg
NORM_RECIP: Final = 17 + 1  # ibert_recip.v, header: ceil(32/2) + 1; S_DIVIDE -> S_ROOM
NORM_QUIET: Final = 2  # ibert_residual_sum.v quiet: a granted beat is in q1, then its 16/LANES words in q2
NORM_SCALE: Final = 5  # ibert_layernorm.v sc_r1 to sc_r5: the requants are shared so long after the last word
NORM_FLUSH: Final = 5  # ibert_requant.v, header: 4, and full_reg: the last beat into the output FIFO
NORM_OUT: Final = 3  # axis_fifo.v 2, axis_msg_emit.v 1
COPY_START: Final = 4  # ibert_add_norm.v S_IDLE, S_ADDR, S_START, S_ROOM -> S_COPY
COPY_IDLE: Final = 3  # ibert_add_norm.v norm_idle_reg: two cycles later, and S_ROOM -> S_COPY
ACC_READ: Final = 4  # ibert_add_norm_rx.v, header: the accumulator is read in p4

# ---- rtl/net and rtl/node
SWITCH: Final = 5  # net_switch.v, header: last beat in -> first beat out; first in -> first out from an Ethernet port
SWITCH_MULTI: Final = 1  # net_switch.v, header: one more for a multicast
SWITCH_CELLS: Final = 64  # net_switch.v CELLS
ETH_TX: Final = 9  # net_eth_tx.v, header: last beat in -> header
ETH_RX: Final = 6  # net_eth_rx.v, header: last beat in -> first beat of the message out
ETH_EVENT: Final = 3 + 14  # net_eth_rx.v and net_eth_tx.v, headers: last beat of an acknowledgement in -> ev_valid -> the frame it allows
ETH_ACK: Final = 3 + 2 + 7  # net_eth_rx.v, net_rx_peers.v, net_eth_tx.v, headers: frame in -> owed -> ack_due -> acknowledgement out
ETH_ROOM: Final = 8  # net_eth_tx.v s_axis_room: free cells below which the switch begins no message
GATEWAY: Final = 8  # node_gateway.v, header: last beat in -> first beat out

# ---- the line and the simulated network: python/floreana/sim/ethernet.py, python/floreana/sim/host.py; docs/frame-format.md
HALF_BYTES: Final = 125  # a cycle: 100 Gb/s at 200 MHz
OVERHEAD: Final = 24  # bytes a frame: preamble, checksum, gap
HEADER_BEATS: Final = 1  # of a frame
HOST_GAP: Final = 64  # host/host.py SENTENCE_GAP: between the last row of a sequence and the first of the next
