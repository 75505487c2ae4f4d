# SPDX-License-Identifier: Apache-2.0
"""Boards and their devices, as data: ``<board>.toml`` and ``devices.toml`` beside this file (docs/vivado.md)."""

from floreana.boards.data import Board, Clock, Device, FixedPin, Leds, Port, RefClock, Reset, board, boards, device, devices

__all__ = ["Board", "Clock", "Device", "FixedPin", "Leds", "Port", "RefClock", "Reset", "board", "boards", "device", "devices"]
