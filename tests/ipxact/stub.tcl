# SPDX-License-Identifier: Apache-2.0
# A stand-in for Vivado's packager: `tclsh stub.tcl package.tcl ports parameters`, two files with a name a line.
#
# It knows the commands that the scripts use, with their options, and fails (exit 1) on any other command or option, a missing file, a port or
# parameter that the module lacks, a bus that is not there, a property it does not know, a script that never saves.

set known(ports) [split [string trim [read [open [lindex $argv 1]]]] \n]
set known(parameters) [split [string trim [read [open [lindex $argv 2]]]] \n]
set state {}
array set bus {}
array set property {}

proc fail {text} {
  puts stderr "stub: $text"
  exit 1
}
proc unknown {args} { fail "unknown command: $args" }
proc options {name arguments valued flags} {
  set rest {}
  for {set i 0} {$i < [llength $arguments]} {incr i} {
    set word [lindex $arguments $i]
    if {[lsearch -exact $flags $word] >= 0} { continue }
    if {[lsearch -exact $valued $word] >= 0} { incr i; continue }
    if {[string index $word 0] eq "-"} { fail "$name has no option $word" }
    lappend rest $word
  }
  return $rest
}
proc need {what} {
  global state
  if {[lsearch -exact $state $what] < 0} { fail "$what must come before" }
}
proc create_project {args} {
  if {[llength [options create_project $args {-part} {-force}]] != 2} { fail "create_project: name and folder" }
  lappend ::state project
}
proc add_files {args} {
  need project
  foreach file [lindex [options add_files $args {} {-norecurse}] 0] {
    if {![file isfile $file]} { fail "no file $file" }
    puts "file $file"
  }
  lappend ::state files
}
proc current_fileset {} { return sources_1 }
proc update_compile_order {args} { options update_compile_order $args {-fileset} {} }
proc set_property {name value object} {
  switch -- $object {
    sources_1 { set kinds {top} }
    core { set kinds {name version display_name description} }
    default {
      set kinds {value}
      if {[string match param:* $object]} {
        lappend kinds value_validation_type value_validation_list value_validation_range_minimum value_validation_range_maximum
      }
    }
  }
  if {[lsearch -exact $kinds $name] < 0} { fail "$object has no property $name" }
  if {$name eq "value_validation_type" && [lsearch -exact {list range_long} $value] < 0} { fail "value_validation_type $value" }
  set ::property($object,$name) $value
}
namespace eval ipx {}
proc ipx::package_project {args} {
  need files
  if {[llength [options package_project $args {-root_dir -vendor -library -taxonomy} {-import_files -force}]]} { fail package_project }
  lappend ::state package
  # as Vivado does: parameters are there, and one bus found by its name
  set ::bus(clk) clk
}
proc ipx::current_core {} { need package; return core }
proc ipx::get_bus_interfaces {name args} {
  options get_bus_interfaces $args {-of_objects} {}
  return [expr {[info exists ::bus($name)] ? "bus:$name" : ""}]
}
proc ipx::infer_bus_interface {ports kind core} {
  if {$core ne "core"} { fail "infer_bus_interface: $core is no core" }
  foreach port $ports {
    if {[lsearch -exact $::known(ports) $port] < 0} { fail "no port $port" }
  }
  if {[lsearch -exact {xilinx.com:interface:axis_rtl:1.0 xilinx.com:signal:clock_rtl:1.0 xilinx.com:signal:reset_rtl:1.0} $kind] < 0} {
    fail "no bus $kind"
  }
  if {[string match *axis* $kind]} {
    set name [string range [lindex $ports 0] 0 [expr {[string last _ [lindex $ports 0]] - 1}]]
    foreach signal {tdata tvalid} {
      if {[lsearch -exact $ports ${name}_$signal] < 0} { fail "$name has no $signal" }
    }
  } else {
    set name $ports
  }
  if {[info exists ::bus($name)]} { fail "bus $name is there already" }
  set ::bus($name) $ports
  puts "bus $name [llength $ports]"
}
proc ipx::associate_bus_interfaces {args} {
  if {[options associate_bus_interfaces $args {-busif -clock -reset} {}] ne "core"} { fail "associate_bus_interfaces: no core" }
  foreach {option name} [lrange $args 0 end-1] {
    if {![info exists ::bus($name)]} { fail "associate: no bus $name" }
  }
  puts "associated $args"
}
proc ipx::get_bus_parameters {name args} {
  set of [lindex $args 1]
  return [expr {[info exists ::property($of,$name,there)] ? "busparam:$of:$name" : ""}]
}
proc ipx::add_bus_parameter {name object} {
  if {![string match bus:* $object]} { fail "add_bus_parameter: $object is no bus" }
  set ::property($object,$name,there) 1
}
proc ipx::get_user_parameters {name args} {
  options get_user_parameters $args {-of_objects} {}
  if {[lsearch -exact $::known(parameters) $name] < 0} { fail "no parameter $name" }
  return param:$name
}
proc ipx::create_xgui_files {core} {}
proc ipx::update_checksums {core} {}
proc ipx::check_integrity {core} {}
proc ipx::save_core {core} { lappend ::state saved }
proc close_project {} { need saved; lappend ::state closed }

set argv0 [lindex $argv 0]
if {[catch {source $argv0} message]} { fail $message }
need closed
foreach key [lsort [array names property]] { puts "property $key = $property($key)" }
