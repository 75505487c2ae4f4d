# SPDX-License-Identifier: Apache-2.0
"""Executable specifications of the scalar arithmetic: MyHDL blocks, simulated, converted and proven equal to the Verilog units."""
