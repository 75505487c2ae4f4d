# SPDX-License-Identifier: Apache-2.0
"""The data files of boards and devices: what they hold, and that faults in them are found."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from floreana.boards import Board, Device, board, boards, device, devices
from floreana.boards.data import DEVICES_FILE, load_board, load_device
from floreana.errors import FloreanaError, InputError

NAMES = ("fb2cg", "sidewinder", "u250", "u280", "u55c", "vcu118", "zcu102")
WITH_MAC = tuple(name for name in NAMES if name != "zcu102")
FIGURES = ("lut", "ff", "dsp", "ramb36", "uram")


def raw_board(name: str) -> dict[str, Any]:
    return copy.deepcopy(tomllib.loads((DEVICES_FILE.parent / f"{name}.toml").read_text(encoding="utf-8")))


def test_the_rooms_contents() -> None:
    assert tuple(boards()) == NAMES
    assert set(devices()) == {
        "xczu19eg", "xcu250", "xcu280", "xcu55c", "xcvu9p", "xcku15p", "xcvc1902", "xcvp1802", "xcve2802", "xczu9eg",
    }  # fmt: skip
    assert all(isinstance(value, Board) for value in boards().values())
    assert all(isinstance(value, Device) for value in devices().values())
    assert {one.device_name for one in boards().values()} <= set(devices())


@pytest.mark.parametrize("name", NAMES)
def test_pins_and_sites_of_a_board(name: str) -> None:
    """What the model enforces, counted once more from the file: pins, quads and MACs are used once, and the MAC reaches its quad."""
    raw, one = raw_board(name), board(name)
    text = (DEVICES_FILE.parent / f"{name}.toml").read_text(encoding="utf-8")
    pins = re.findall(r'"([A-Z]{1,2}[0-9]{1,2})"', re.sub(r'".*?:.*?"', "", text))
    assert sorted(pins) == sorted(one.pins)
    assert len(set(pins)) == len(pins)
    groups = [port["gt_group"] for port in raw["ports"]]
    assert len(set(groups)) == len(groups)
    assert len({port["cmac"] for port in raw["ports"]}) == len(groups)
    assert all(port.cmac in port.cmac_legal and len(port.lanes) == 4 for port in one.ports)
    assert one.sources and all(source.strip() for source in one.sources)
    assert len(one.ports) == (2 if name in WITH_MAC else 0)


def test_every_figure_has_a_source_and_unknown_ones_are_absent() -> None:
    for one in devices().values():
        assert sorted(one.figures) == sorted(figure for figures in one.sources.values() for figure in figures), one.name
        assert all(source.strip() for source in one.sources)
    assert device("xcku15p").figures == {}
    assert device("xczu19eg").mac100 is None
    assert device("xczu9eg").mac100 == 0
    assert (device("xcvc1902").aie, device("xcvc1902").aie_mac8, device("xcvc1902").aie_mhz) == (400, 128, 1250)


def test_the_device_of_docs_resources_is_the_boards() -> None:
    """The FPGA that `make synth` measures against is the Sidewinder's."""
    from floreana.project import synth

    one = board("sidewinder").device
    assert {"LUT": one.lut, "FF": one.ff, "DSP48E2": one.dsp, "RAMB36": one.ramb36, "URAM288": one.uram} == synth.AVAILABLE


def test_a_memory_too_hot_is_never_told() -> None:
    for name in ("u280", "u55c"):
        assert [(pin.name, pin.level) for pin in board(name).fixed] == [("hbm_cattrip", 0)]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"board 'sidewindr' is unknown; known: fb2cg, sidewinder, .*; did you mean sidewinder\?"):
        board("sidewindr")
    with pytest.raises(InputError, match=r"device 'xczu19' is unknown; known: xcku15p, .*; did you mean xczu19eg\?"):
        device("xczu19")


def _set(raw: dict[str, Any], path: str, value: object) -> None:
    *way, last = path.split(".")
    for part in way:
        raw = raw[int(part)] if part.isdigit() else raw[part]
    raw[last] = value


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("clock.p", "R32", "pin R32 is used twice"),
        ("ports.1.gt_group", "X0Y12~X0Y15", "GT quad X0Y3 is used twice"),
        ("ports.1.cmac", "CMACE4_X0Y1", "CMAC CMACE4_X0Y1 is used twice"),
        ("ports.0.cmac", "CMACE4_X0Y3", "CMACE4_X0Y3 does not reach quad X0Y3; legal: CMACE4_X0Y1"),
        ("ports.0.gt_group", "X0Y13~X0Y16", "not the four transceivers of one quad"),
        ("ports.0.rx", ["L41", "K39", "J41"], "rx"),
        ("part", "xcu250-figd2104-2L-e", "part xcu250-figd2104-2L-e is not a xczu19eg"),
        ("device", "xczu9eg", "is not a xczu9eg"),
        ("device", "xczu99", "device xczu99 is unknown"),
        ("leds.colour", "red", "Extra inputs are not permitted"),
        ("sources", [], "sources"),
        ("ports.0.refclk.mhz", 125.0, "125.0 MHz is no reference clock of cmac_usplus"),
    ],
)
def test_faults_of_a_board_are_found(path: str, value: object, told: str) -> None:
    raw = raw_board("sidewinder")
    load_board("sidewinder", raw)
    _set(raw, path, value)
    with pytest.raises(FloreanaError, match=re.escape(told)):
        load_board("sidewinder", raw)


def test_more_ports_than_macs_is_found() -> None:
    raw = raw_board("zcu102")
    raw["ports"] = raw_board("u280")["ports"]
    with pytest.raises(FloreanaError, match="2 ports, but xczu9eg has 0 100G MACs"):
        load_board("zcu102", raw)


def test_a_figure_without_source_is_found() -> None:
    raw = tomllib.loads(DEVICES_FILE.read_text(encoding="utf-8"))["xczu19eg"]
    assert [raw[name] for name in FIGURES] == [522_720, 1_045_440, 1_968, 984, 128]
    load_device("xczu19eg", raw)
    raw["mac100"] = 4
    with pytest.raises(FloreanaError, match="each figure has one source"):
        load_device("xczu19eg", raw)


def test_the_package_carries_its_data() -> None:
    assert {path.stem for path in Path(DEVICES_FILE.parent).glob("*.toml")} == {*NAMES, "devices"}
