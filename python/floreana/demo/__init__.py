# SPDX-License-Identifier: Apache-2.0
"""The simulated cluster on a real Linux network: TAP devices, a bridge, namespaces, a host on a plain socket (docs/net-demo.md)."""
