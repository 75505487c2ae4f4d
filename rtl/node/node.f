rtl/node/node_requests.v
rtl/node/node_words.v
rtl/node/node_events.v
rtl/node/node_boot.v
rtl/node/node_config.v
rtl/node/node_manager.v
rtl/node/node_core.v
