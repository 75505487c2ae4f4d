rtl/axis/axis_ram.v
rtl/axis/axis_lutram.v
rtl/axis/axis_skid.v
rtl/axis/axis_fifo.v
rtl/axis/axis_galapagos_in.v
rtl/axis/axis_galapagos_out.v
rtl/axis/axis_msg_emit.v
