rtl/node/node_manager.v
rtl/node/node_core.v
