-- SPDX-License-Identifier: Apache-2.0
-- Wireshark dissector of Floreana frames: UDP port 17996, bytes 42 on of docs/frame-format.md, and the managers' messages of docs/manager.md.
-- Use: wireshark -X lua_script:docs/wireshark/floreana.lua build/PROJECT/sim/traffic.pcapng, or copy it to the personal plugin folder.

local PORT = 17996
local HEADER = 22
local MAX_PAYLOAD = 1024

local TYPES = { [0] = "data", [1] = "ack", [2] = "nack", [3] = "hello", [4] = "hello-ack" }
local NUMBERS = { [0] = "int8", [1] = "int16", [2] = "int32", [3] = "control" }
local CONTROL = 3
local OPCODES = {
    [0x01] = "READ", [0x02] = "WRITE", [0x03] = "FLUSH", [0x04] = "EVENTS",
    [0x81] = "READ reply", [0x82] = "WRITE reply", [0x83] = "FLUSH reply", [0x84] = "EVENTS reply",
    [0xe0] = "EVENT",
}
local READ, WRITE, FLUSH, EVENTS, EVENT = 0x01, 0x02, 0x03, 0x04, 0xe0
local STATUSES = {
    [0] = "good", [1] = "unknown opcode", [2] = "an argument or the length is out of range", [3] = "a kernel is at work",
    [4] = "there is no such unit",
}
local KINDS = { [1] = "link failed", [2] = "peer restarted", [3] = "link up again" }
local UNITS = { [0] = "node", [1] = "linear", [2] = "attention", [3] = "add_norm", [4] = "switch", [5] = "eth0", [6] = "eth1" }

local p = Proto("floreana", "Floreana")
local f = {
    version = ProtoField.uint8("floreana.version", "Version", base.DEC, nil, 0xe0),
    type = ProtoField.uint8("floreana.type", "Type", base.DEC, TYPES, 0x1f),
    credit = ProtoField.uint8("floreana.credit", "Credit"),
    node = ProtoField.uint16("floreana.node", "Source node"),
    epoch = ProtoField.uint8("floreana.epoch", "Sender's epoch"),
    epoch_ack = ProtoField.uint8("floreana.epoch_ack", "Epoch acknowledged"),
    seq = ProtoField.uint24("floreana.seq", "Sequence number"),
    ack = ProtoField.uint24("floreana.ack", "Acknowledged (next expected)"),
    limit = ProtoField.uint24("floreana.limit", "Limit: may be sent below"),
    dst_cluster = ProtoField.uint8("floreana.dst_cluster", "Destination cluster"),
    dst_kernel = ProtoField.uint8("floreana.dst_kernel", "Destination kernel"),
    edge = ProtoField.uint8("floreana.edge", "Edge"),
    src_cluster = ProtoField.uint8("floreana.src_cluster", "Source cluster"),
    src_kernel = ProtoField.uint8("floreana.src_kernel", "Source kernel"),
    slot = ProtoField.uint8("floreana.slot", "Slot", base.DEC, nil, 0xf0),
    generation = ProtoField.uint8("floreana.generation", "Generation", base.DEC, nil, 0x0f),
    row = ProtoField.uint16("floreana.row", "Row"),
    offset = ProtoField.uint16("floreana.offset", "Slice offset, 4-byte units", base.DEC, nil, 0xffc0),
    offset_bytes = ProtoField.uint16("floreana.offset_bytes", "Slice offset, bytes"),
    number = ProtoField.uint16("floreana.number", "Type of numbers", base.DEC, NUMBERS, 0x0030),
    last = ProtoField.bool("floreana.last", "Last row", 16, nil, 0x0008),
    reserved = ProtoField.uint16("floreana.reserved", "Reserved", base.DEC, nil, 0x0007),
    payload = ProtoField.bytes("floreana.payload", "Payload"),
    length = ProtoField.uint16("floreana.payload_length", "Payload length"),
}
local m = {
    opcode = ProtoField.uint8("floreana.manager.opcode", "Opcode", base.HEX, OPCODES),
    status = ProtoField.uint8("floreana.manager.status", "Status", base.DEC, STATUSES),
    tag = ProtoField.uint16("floreana.manager.tag", "Tag"),
    first = ProtoField.uint32("floreana.manager.first", "First word"),
    address = ProtoField.uint32("floreana.manager.address", "First address", base.HEX),
    count = ProtoField.uint32("floreana.manager.count", "Count"),
    slot = ProtoField.uint32("floreana.manager.slot", "Slot"),
    generation = ProtoField.uint32("floreana.manager.generation", "Generation"),
    on = ProtoField.uint32("floreana.manager.on", "Events on"),
    words = ProtoField.uint32("floreana.manager.words", "Words there are"),
    word = ProtoField.uint32("floreana.manager.word", "Word", base.HEX),
    entry = ProtoField.bytes("floreana.manager.entry", "Entry"),
    kind = ProtoField.uint8("floreana.manager.kind", "Kind", base.DEC, KINDS),
    port = ProtoField.uint32("floreana.manager.port", "Ethernet port"),
    peer = ProtoField.uint32("floreana.manager.peer", "Peer"),
    node = ProtoField.uint32("floreana.manager.node", "Node"),
    sequence = ProtoField.uint32("floreana.manager.sequence", "Event number"),
}
local e = {
    version = ProtoExpert.new("floreana.bad_version", "Version is not 1", expert.group.MALFORMED, expert.severity.ERROR),
    type = ProtoExpert.new("floreana.bad_type", "Unknown type of frame", expert.group.MALFORMED, expert.severity.ERROR),
    reserved = ProtoExpert.new("floreana.bad_reserved", "Reserved bits are not 0", expert.group.PROTOCOL, expert.severity.WARN),
    length = ProtoExpert.new("floreana.bad_length", "Length is wrong", expert.group.MALFORMED, expert.severity.ERROR),
    empty = ProtoExpert.new("floreana.empty", "Data without payload that is not control", expert.group.PROTOCOL, expert.severity.WARN),
    epoch = ProtoExpert.new("floreana.no_epoch", "Data, ack or nack with an unknown epoch", expert.group.PROTOCOL, expert.severity.WARN),
    slice = ProtoExpert.new("floreana.bad_slice", "Slice is not whole beats of 64 bytes", expert.group.PROTOCOL, expert.severity.WARN),
    nack = ProtoExpert.new("floreana.gap", "A gap: frames are sent again from here", expert.group.SEQUENCE, expert.severity.NOTE),
    refused = ProtoExpert.new("floreana.manager.refused", "The manager refused", expert.group.RESPONSE_CODE, expert.severity.WARN),
    manager = ProtoExpert.new("floreana.manager.malformed", "Not a message of a manager", expert.group.MALFORMED, expert.severity.WARN),
    event = ProtoExpert.new("floreana.manager.told", "Something happened to a link", expert.group.SEQUENCE, expert.severity.NOTE),
}
local function list(...)
    local out = {}
    for _, items in ipairs({ ... }) do
        for _, item in pairs(items) do out[#out + 1] = item end
    end
    return out
end
p.fields = list(f, m)
p.experts = list(e)

-- names of kernel numbers that mean the same in every plan; managers are counted in their cluster, nodes through all of them
local function kernel(number, cluster)
    if number == 0 then return "manager here" end
    if number >= 193 and number <= 223 then
        return string.format(cluster == 0 and "manager of node %d" or "manager %d of cluster %d", number - 193, cluster)
    end
    if number >= 224 and number <= 253 then return "group" end
    if number == 254 then return "gateway" end
    if number == 255 then return "host" end
    return nil
end

local function add_kernel(tree, field, range, cluster)
    local item, name = tree:add(field, range), kernel(range:uint(), cluster:uint())
    if name then item:append_text(" (" .. name .. ")") end
end

-- a control message: a request, a reply or an event, `size` bytes of which a capture may have cut some off. Numbers are little-endian.
-- Returns its text for the info column
local function manager(buf, tree, size)
    if buf:len() == 0 then return "empty control message" end
    local op = buf(0, 1):uint()
    local name = OPCODES[op]
    local sub = tree:add(p, buf(), "Floreana manager: " .. (name or string.format("opcode 0x%02x", op)))
    local item = sub:add(m.opcode, buf(0, 1))
    if size < 12 or (op >= 0x80 and size < 64) then
        item:add_proto_expert_info(e.manager, string.format("Not a message of a manager: %d bytes", size))
        return "short control message"
    end
    if buf:len() < (op >= 0x80 and 64 or 12) then return (name or string.format("opcode 0x%02x", op)) .. ", cut by the capture" end
    if op == EVENT then
        sub:add(m.kind, buf(1, 1))
        sub:add_le(m.port, buf(4, 4))
        sub:add_le(m.peer, buf(8, 4))
        sub:add_le(m.node, buf(12, 4))
        sub:add_le(m.sequence, buf(16, 4))
        local text = string.format("EVENT node %d port %d: %s: peer %d", buf(12, 4):le_uint(), buf(4, 4):le_uint(),
            KINDS[buf(1, 1):uint()] or "unknown kind", buf(8, 4):le_uint())
        item:add_proto_expert_info(e.event, text)
        return text
    end
    local reply = op >= 0x80
    local asked = reply and op - 0x80 or op
    local status = buf(1, 1):uint()
    if reply then
        item = sub:add(m.status, buf(1, 1))
        if status ~= 0 then
            item:add_proto_expert_info(e.refused, "The manager refused: " .. (STATUSES[status] or string.format("status %d", status)))
        end
    end
    sub:add_le(m.tag, buf(2, 2))
    local a, b = buf(4, 4):le_uint(), buf(8, 4):le_uint()
    local what
    if asked == FLUSH then
        sub:add_le(m.slot, buf(4, 4))
        sub:add_le(m.generation, buf(8, 4))
        what = string.format("slot %d generation %d", a, b)
    elseif asked == EVENTS then
        sub:add_le(m.on, buf(4, 4))
        what = a == 1 and "on" or "off"
    elseif asked == WRITE then
        local item = sub:add_le(m.address, buf(4, 4))
        local unit = UNITS[math.floor(a / 2 ^ 28)] or "no unit"
        item:append_text(string.format(" (%s, memory %d, index %d)", unit, math.floor(a / 2 ^ 24) % 16, a % 2 ^ 24))
        sub:add_le(m.count, buf(8, 4))
        what = string.format("%d entries to 0x%08x (%s)", b, a, unit)
    else
        sub:add_le(m.first, buf(4, 4))
        sub:add_le(m.count, buf(8, 4))
        what = string.format("%d words from %d", b, a)
    end
    if reply then
        sub:add_le(m.words, buf(12, 4))
        if asked == READ then
            for at = 64, buf:len() - 4, 4 do
                sub:add_le(m.word, buf(at, 4)):prepend_text(string.format("[%d] ", a + (at - 64) / 4))
            end
        end
        if status ~= 0 then what = what .. ": " .. (STATUSES[status] or string.format("status %d", status)) end
    elseif asked == WRITE then
        for at = 64, buf:len() - 64, 64 do
            sub:add(m.entry, buf(at, 64)):prepend_text(string.format("[%08x] ", a + (at - 64) / 64))
        end
    end
    return string.format("%s tag %d: %s", name or string.format("opcode 0x%02x", op), buf(2, 2):le_uint(), what)
end

function p.dissector(buf, pinfo, root)
    -- of what was on the wire a capture may have kept only the begin
    local kept, size = buf:len(), buf:reported_len()
    if kept == 0 then return 0 end
    pinfo.cols.protocol = "Floreana"
    local first = buf(0, 1):uint()
    local version, kind = math.floor(first / 32), first % 32
    local name = TYPES[kind] or string.format("type %d", kind)
    local tree = root:add(p, buf(), "Floreana " .. name)
    local item = tree:add(f.version, buf(0, 1))
    if version ~= 1 then
        item:add_proto_expert_info(e.version, string.format("Version %d is not 1", version))
        pinfo.cols.info = string.format("version %d, not 1", version)
        return size
    end
    item = tree:add(f.type, buf(0, 1))
    if not TYPES[kind] then item:add_proto_expert_info(e.type, string.format("Unknown type of frame: %d", kind)) end
    if size < HEADER then
        item:add_proto_expert_info(e.length, string.format("%d bytes after UDP, fewer than %d", size, HEADER))
        pinfo.cols.info = name .. ", cut short"
        return size
    end
    if kept < HEADER then
        pinfo.cols.info = name .. ", cut by the capture"
        return size
    end
    local payload = size - HEADER
    local credit, ack = buf(1, 1):uint(), buf(9, 3):uint()
    tree:add(f.credit, buf(1, 1))
    tree:add(f.node, buf(2, 2))
    tree:add(f.epoch, buf(4, 1))
    item = tree:add(f.epoch_ack, buf(5, 1))
    if kind <= 2 and (buf(4, 1):uint() == 0 or buf(5, 1):uint() == 0) then item:add_proto_expert_info(e.epoch) end
    tree:add(f.seq, buf(6, 3))
    item = tree:add(f.ack, buf(9, 3))
    if kind == 2 then item:add_proto_expert_info(e.nack, string.format("A gap: frames are sent again from %d", ack)) end
    tree:add(f.limit, buf(9, 3), (ack + credit) % 2 ^ 24):set_generated()

    local message = tree:add(p, buf(12, 10), "Message header")
    message:add(f.dst_cluster, buf(12, 1))
    add_kernel(message, f.dst_kernel, buf(13, 1), buf(12, 1))
    message:add(f.edge, buf(14, 1))
    message:add(f.src_cluster, buf(15, 1))
    add_kernel(message, f.src_kernel, buf(16, 1), buf(15, 1))
    message:add(f.slot, buf(17, 1))
    message:add(f.generation, buf(17, 1))
    message:add(f.row, buf(18, 2))
    local tail = buf(20, 2):uint()
    local offset, number, last = 4 * math.floor(tail / 64), math.floor(tail / 16) % 4, math.floor(tail / 8) % 2 == 1
    message:add(f.offset, buf(20, 2))
    message:add(f.offset_bytes, buf(20, 2), offset):set_generated()
    message:add(f.number, buf(20, 2))
    message:add(f.last, buf(20, 2))
    item = message:add(f.reserved, buf(20, 2))
    if tail % 8 ~= 0 then item:add_proto_expert_info(e.reserved, string.format("Reserved bits are %d, not 0", tail % 8)) end

    item = tree:add(f.length, buf(), payload):set_generated()
    if payload > MAX_PAYLOAD then
        item:add_proto_expert_info(e.length, string.format("%d bytes of payload, more than %d", payload, MAX_PAYLOAD))
    elseif kind ~= 0 and payload > 0 then
        item:add_proto_expert_info(e.length, string.format("%s with %d bytes of payload", name, payload))
    elseif kind == 0 and number ~= CONTROL then
        if payload == 0 then
            item:add_proto_expert_info(e.empty)
        elseif payload % 64 ~= 0 or offset % 64 ~= 0 then
            item:add_proto_expert_info(e.slice, string.format("Slice of %d bytes at %d is not whole beats of 64 bytes", payload, offset))
        end
    end
    if kept > HEADER then tree:add(f.payload, buf(HEADER)) end

    local link = string.format("node %d epochs %d/%d ack %d credit %d", buf(2, 2):uint(), buf(4, 1):uint(), buf(5, 1):uint(), ack, credit)
    if kind ~= 0 then
        pinfo.cols.info = name .. " " .. link
        return size
    end
    local from, to = buf(16, 1):uint(), buf(13, 1):uint()
    local what
    if number == CONTROL then
        local here = from == 0 or to == 0 or (from >= 193 and from <= 223) or (to >= 193 and to <= 223)
        what = here and kept > HEADER and manager(buf(HEADER):tvb(), tree, payload) or "control"
    else
        what = string.format("edge %d slot %d.%d row %d%s %s %d+%d", buf(14, 1):uint(), math.floor(buf(17, 1):uint() / 16),
            buf(17, 1):uint() % 16, buf(18, 2):uint(), last and " (last)" or "", NUMBERS[number], offset, payload)
    end
    pinfo.cols.info = string.format("data %d %d.%d > %d.%d %s; %s", buf(6, 3):uint(), buf(15, 1):uint(), from, buf(12, 1):uint(), to, what, link)
    return size
end

DissectorTable.get("udp.port"):add(PORT, p)
