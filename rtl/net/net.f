rtl/net/net_table.v
rtl/net/net_switch_input.v
rtl/net/net_switch_arb.v
rtl/net/net_switch.v
rtl/net/net_eth_tx.v
rtl/net/net_eth_rx.v
rtl/net/net_eth.v
