rtl/node/node_shell_close.v
rtl/node/node_shell_cross.v
rtl/node/node_shell_rx.v
rtl/node/node_shell_link.v
rtl/node/node_shell.v
