# SPDX-License-Identifier: Apache-2.0
# A stand-in for Vivado that runs the generated scripts under tclsh: `tclsh stub.tcl` takes Vivado's own options.
#
# It knows the commands that the scripts use, each with its options, and nothing else. It fails (exit 1, file and line) on an unknown command or option,
# a missing file, an unknown property of an IP, two IPs on one GT quad or one CMAC, a port or pin in a constraint that the top lacks, a constraint on
# nothing, a port without a pin. It makes no netlist: what synthesis and routing would find comes from the environment, for tests of what stops a build:
#   STUB_PROPERTIES  file with the names of the IP's properties, one a line (required)
#   STUB_SLACK, STUB_TPWS, STUB_PROGRESS, STUB_UNCONSTRAINED, STUB_IPDEF, STUB_TARGETS, STUB_REPLACE
# State is kept where Vivado keeps it: in the .xpr file.

proc setting {name otherwise} {
  return [expr {[info exists ::env(STUB_$name)] ? $::env(STUB_$name) : $otherwise}]
}

# command -> options with a value, options without, least and most other arguments
set known {
  create_project        {-part} {-force} 2 2
  open_project          {} {} 1 1
  close_project         {} {} 0 0
  current_project       {} {} 0 0
  current_design        {} {} 0 0
  get_board_parts       {} {-quiet} 1 1
  get_filesets          {} {} 1 1
  get_files             {} {} 1 1
  get_runs              {} {} 1 1
  add_files             {-fileset} {-norecurse} 1 1
  create_ip             {-name -vendor -library -module_name} {} 0 0
  get_ips               {} {} 1 1
  generate_target       {} {} 2 2
  set_property          {-dict} {} 1 3
  get_property          {} {} 2 2
  set_msg_config        {-id -new_severity} {} 0 0
  reset_run             {} {} 1 1
  launch_runs           {-jobs -to_step} {} 1 1
  wait_on_run           {} {} 1 1
  open_run              {-name} {} 1 1
  write_checkpoint      {} {-force} 1 1
  write_bitstream       {} {-force} 1 1
  report_utilization    {-file} {-hierarchical} 0 0
  report_timing_summary {-file} {} 0 0
  report_clock_interaction {-file} {} 0 0
  report_cdc            {-file} {-details} 0 0
  report_methodology    {-file} {} 0 0
  report_drc            {-file} {} 0 0
  report_route_status   {-file} {} 0 0
  check_timing          {} {-return_string} 0 0
  get_timing_paths      {-delay_type -max_paths -nworst} {-quiet} 0 0
  get_cells             {-filter} {-quiet -hierarchical} 0 1
  get_pins              {-filter} {-hierarchical} 0 1
  get_nets              {} {} 1 1
  get_ports             {} {} 0 1
  get_clocks            {-of_objects} {} 0 1
  create_clock          {-name -period} {} 1 1
  set_false_path        {-from -to} {} 0 0
  set_max_delay         {-from -to} {-datapath_only} 1 1
  set_input_delay       {} {} 2 2
  set_output_delay      {} {} 2 2
  set_operating_conditions {-design_power_budget} {} 0 0
  open_hw_manager       {} {} 0 0
  close_hw_manager      {} {} 0 0
  connect_hw_server     {-url} {} 0 0
  disconnect_hw_server  {} {} 0 0
  get_hw_targets        {} {-quiet} 1 1
  open_hw_target        {} {} 1 1
  close_hw_target       {} {} 0 0
  get_hw_devices        {} {-quiet} 1 1
  program_hw_devices    {} {} 1 1
}
# the only ones that may stand in constraints
set constraints {set_property get_ports get_nets get_pins get_cells get_clocks create_clock set_false_path set_max_delay set_input_delay
  set_output_delay set_operating_conditions current_design}

foreach {name valued flags least most} $known {
  proc $name args "call $name {$valued} {$flags} $least $most \$args"
}

proc call {name valued flags least most arguments} {
  set options {}
  set rest {}
  while {[llength $arguments] > 0} {
    set arguments [lassign $arguments word]
    if {$word in $valued} {
      if {[llength $arguments] == 0} {error "$name: $word needs a value"}
      set arguments [lassign $arguments value]
      dict set options $word $value
    } elseif {$word in $flags} {
      dict set options $word 1
    } elseif {[regexp {^-[a-z]} $word]} {
      error "$name: unknown option $word"
    } else {
      lappend rest $word
    }
  }
  if {[llength $rest] < $least || [llength $rest] > $most} {
    error "$name: [llength $rest] arguments"
  }
  return [do_$name $options {*}$rest]
}

proc unknown args {
  error "unknown command [lindex $args 0]"
}

proc need_file {path} {
  if {![file isfile $path]} {error "no such file: $path"}
}

# ---- project

set state {}
set current ""

proc keep {key value} {dict set ::state $key $value}
proc kept {key} {
  if {$::current eq ""} {error "no project is open"}
  return [dict get $::state $key]
}

proc do_create_project {options name folder} {
  if {![dict exists $options -part]} {error "create_project: no -part"}
  file mkdir $folder
  set ::current $folder/$name.xpr
  foreach {key value} [list part [dict get $options -part] board_part {} files {} xdc {} ips {} top {} defines {} generated {} late {} not_synth {} raised {} ran {}] {
    keep $key $value
  }
}
proc do_close_project {options} {
  kept files
  set out [open $::current w]
  puts $out $::state
  close $out
  set ::current ""
  set ::state {}
}
proc do_open_project {options path} {
  need_file $path
  set in [open $path]
  set ::state [string trim [read $in]]
  close $in
  set ::current $path
}
proc do_current_project {options} {return project}
proc do_current_design {options} {return design}
proc do_get_board_parts {options pattern} {return {}}
proc do_get_filesets {options name} {
  if {$name ni {sources_1 constrs_1}} {error "no fileset $name"}
  return fileset:$name
}
proc do_get_runs {options name} {
  if {$name ni {synth_1 impl_1}} {error "no run $name"}
  return run:$name
}
proc do_add_files {options files} {
  set xdc [expr {[dict exists $options -fileset] && [dict get $options -fileset] eq "constrs_1"}]
  foreach file $files {
    need_file $file
    keep [expr {$xdc ? "xdc" : "files"}] [concat [kept [expr {$xdc ? "xdc" : "files"}]] [list [file normalize $file]]]
  }
}
proc do_get_files {options name} {
  foreach file [concat [kept xdc] [kept files]] {
    if {[file tail $file] eq $name} {return file:$file}
  }
  error "get_files: no file $name in the project"
}

# ---- IP

proc do_create_ip {options} {
  foreach name {-name -vendor -library -module_name} {
    if {![dict exists $options $name]} {error "create_ip: no $name"}
  }
  if {[dict get $options -name] ne "cmac_usplus"} {error "create_ip: unknown IP [dict get $options -name]"}
  set module [dict get $options -module_name]
  if {$module in [dict keys [kept ips]]} {error "create_ip: $module exists"}
  keep ips [dict merge [kept ips] [dict create $module {}]]
}
proc do_get_ips {options pattern} {
  set found {}
  foreach name [dict keys [kept ips]] {
    if {[string match $pattern $name]} {lappend found $name}
  }
  if {[llength $found] == 0} {error "get_ips: no IP $pattern"}
  return $found
}
proc do_generate_target {options what ips} {
  foreach ip $ips {
    keep generated [concat [kept generated] $ip]
  }
}
proc set_ip {ip pairs} {
  set ips [kept ips]
  foreach {name value} $pairs {
    if {![regexp {^CONFIG\.(.*)$} $name - short] || $short ni $::properties} {error "IP $ip has no property $name"}
    if {$short in {GT_GROUP_SELECT CMAC_CORE_SELECT}} {
      foreach other [dict keys $ips] {
        if {$other ne $ip && [dict exists $ips $other $short] && [dict get $ips $other $short] eq $value} {
          error "$short $value is used by $other and $ip"
        }
      }
    }
    dict set ips $ip $short $value
  }
  keep ips $ips
}

# ---- properties

proc do_set_property {options args} {
  if {[dict exists $options -dict]} {
    set pairs [dict get $options -dict]
    set objects [lindex $args 0]
  } else {
    if {[llength $args] != 3} {error "set_property: name, value, objects"}
    lassign $args name value objects
    set pairs [list $name $value]
  }
  if {[llength $pairs] % 2} {error "set_property: odd list"}
  if {[llength $objects] == 0} {error "set_property: no objects"}
  if {[dict exists $::state ips] && [dict exists [kept ips] [lindex $objects 0]]} {
    return [set_ip [lindex $objects 0] $pairs]
  }
  foreach object $objects {
    set_object $object $pairs
  }
}
proc set_object {object pairs} {
  foreach {name value} $pairs {
    switch -glob -- $object/$name {
      project*/board_part - project*/target_language {}
      fileset:sources_1/top {keep top $value}
      fileset:sources_1/verilog_define {keep defines $value}
      file:*/used_in_synthesis {keep not_synth [string range $object 5 end]}
      file:*/processing_order {if {$value ni {EARLY NORMAL LATE}} {error "processing_order $value"}}
      hw:*/PROGRAM.FILE {
        need_file $value
        set ::image $value
      }
      design/* {
        if {![regexp {^(CFGBVS|CONFIG_VOLTAGE|CONFIG_MODE|BITSTREAM\.(GENERAL|CONFIG)\.[A-Z0-9_]+)$} $name]} {error "design has no property $name"}
      }
      port:*/PACKAGE_PIN {
        if {[dict exists $::pins $value]} {error "pin $value is used by [dict get $::pins $value] and $object"}
        dict set ::pins $value $object
        dict set ::placed $object $value
      }
      port:*/IOSTANDARD {dict set ::standards $object $value}
      net:*/CLOCK_DEDICATED_ROUTE {}
      default {error "set_property: unknown property $name of $object"}
    }
  }
}
proc do_get_property {options name object} {
  if {$::current ne "" && [dict exists [kept ips] $object]} {
    if {$name eq "IPDEF"} {return [setting IPDEF xilinx.com:ip:cmac_usplus:3.1]}
    regsub {^CONFIG\.} $name {} short
    if {![dict exists [kept ips] $object $short]} {error "get_property: $object has no $name"}
    lassign [setting REPLACE {}] replaced by
    return [expr {$short eq $replaced ? $by : [dict get [kept ips] $object $short]}]
  }
  switch -glob -- $object/$name {
    run:*/PROGRESS {return [setting PROGRESS 100%]}
    run:*/STATUS {return "as [setting PROGRESS 100%] says"}
    run:*/STATS.TPWS {return [setting TPWS 0.000]}
    path/SLACK {return [setting SLACK 0.012]}
    path/STARTPOINT_PIN {return a/C}
    path/ENDPOINT_PIN {return b/D}
    port:*/PACKAGE_PIN {
      # the N pin of a pair of serial lanes is placed with the P pin
      regsub {_n\[} $object {_p[} pair
      foreach one [list $object $pair] {
        if {[dict exists $::placed $one]} {return [dict get $::placed $one]}
      }
      return {}
    }
    default {error "get_property: unknown property $name of $object"}
  }
}
proc do_set_msg_config {options} {
  if {[dict get $options -new_severity] ni {ERROR INFO WARNING {CRITICAL WARNING}}} {error "severity"}
  keep raised [concat [kept raised] [list [dict get $options -id]]]
}

# ---- runs

proc do_reset_run {options run} {do_get_runs {} $run}
proc do_launch_runs {options run} {
  do_get_runs {} $run
  if {![string is integer -strict [dict get $options -jobs]]} {error "launch_runs: -jobs [dict get $options -jobs]"}
  if {$run eq "impl_1" && "synth_1" ni [kept ran]} {error "impl_1 before synth_1"}
  keep ran [concat [kept ran] $run]
}
proc do_wait_on_run {options run} {
  if {$run ni [kept ran]} {error "$run was not launched"}
}
proc do_open_run {options run} {
  do_wait_on_run {} $run
  read_top
  set ::pins {}
  set ::placed {}
  set ::standards {}
  set ::clocks {}
  foreach xdc [kept xdc] {
    if {$run eq "synth_1" && $xdc eq [kept not_synth]} {continue}
    need_file $xdc
    set reader [interp create -safe]
    foreach command [$reader eval {info commands}] {
      if {$command ni {set list expr}} {$reader hide $command}
    }
    foreach command $::constraints {
      $reader alias $command $command
    }
    $reader alias unknown unknown
    set in [open $xdc]
    set number 0
    set command ""
    while {[gets $in line] >= 0} {
      incr number
      append command $line\n
      if {[info complete $command] && ![regexp {\\$} $line]} {
        if {[catch {$reader eval $command} message]} {
          close $in
          error "[file tail $xdc]:$number: $message"
        }
        set command ""
      }
    }
    close $in
    interp delete $reader
  }
  foreach port [dict keys $::placed] {
    if {![dict exists $::standards $port] && ![regexp {refclk|_[rt]x_} $port]} {error "no IOSTANDARD for $port"}
  }
}

# What the top declares: ports with their bits, instances with the pins that are connected, nets
proc read_top {} {
  set ::ports {}
  set ::nets {}
  set ::instances {}
  set ::unresolved {}
  set modules [concat [kept generated] {IBUF IBUFDS BUFG MMCME4_BASE}]
  set text ""
  foreach file [kept files] {
    need_file $file
    lappend modules [file rootname [file tail $file]]
    if {[file rootname [file tail $file]] eq [kept top]} {
      set in [open $file]
      regsub -all -line {//.*$} [read $in] {} text
      close $in
    }
  }
  if {![regexp "module\\s+[kept top]\\s*\\((.*?)\\);(.*)endmodule" $text - head body]} {error "no file holds the top [kept top]"}
  foreach {- direction high name} [regexp -all -inline {(input|output)\s+wire\s+(?:\[(\d+):0\])?\s*(\w+)} $head] {
    if {$high eq ""} {
      lappend ::ports $name
    } else {
      for {set bit 0} {$bit <= $high} {incr bit} {lappend ::ports "$name\[$bit\]"}
    }
  }
  foreach {- names} [regexp -all -inline {wire\s+(?:\[\d+:0\]\s*)?([\w, ]+)[;=]} $body] {
    foreach name [split $names ,] {lappend ::nets [string trim $name]}
  }
  foreach {- module - instance pins} [regexp -all -inline {\n  (\w+) (#\([^;]*?\)\s*)?(\w+) \(\s*(\.[^;]*)\);} $body] {
    dict set ::instances $instance [lmap {- pin} [regexp -all -inline {\.(\w+)\s*\(} $pins] {set pin}]
    if {$module ni $modules} {lappend ::unresolved $module}
  }
}

proc do_get_ports {options {patterns *}} {
  set found {}
  foreach pattern $patterns {
    # brackets are indices here, no set of characters
    set glob [string map {\[ \\\[ \] \\\]} $pattern]
    set some [lsearch -all -inline -glob $::ports $glob]
    if {[llength $some] == 0} {error "the top has no port $pattern"}
    foreach port $some {lappend found port:$port}
  }
  return $found
}
proc do_get_nets {options name} {
  if {$name ni $::nets} {error "the top has no net $name"}
  return net:$name
}
proc do_get_pins {options {pins {}}} {
  if {[dict exists $options -filter]} {return [matching pin [dict get $options -filter]]}
  foreach pin $pins {
    lassign [split $pin /] instance port
    if {![dict exists $::instances $instance] || $port ni [dict get $::instances $instance]} {error "the top has no pin $pin"}
  }
  return [lmap pin $pins {string cat pin:$pin}]
}
proc matching {kind filter} {
  if {$filter eq "IS_BLACKBOX"} {return $::unresolved}
  if {![regexp {^NAME =~ (\w+)/\S+$} $filter - instance]} {error "filter {$filter}"}
  if {![dict exists $::instances $instance]} {error "the top has no instance $instance"}
  lappend ::filters $filter
  return [list $kind:$filter]
}
proc do_get_cells {options} {return [matching cell [dict get $options -filter]]}
proc do_get_clocks {options {name {}}} {
  if {[dict exists $options -of_objects]} {return [dict get $options -of_objects]}
  if {$name ni $::clocks} {error "no clock $name"}
  return clock:$name
}
proc objects {what} {
  if {[llength $what] == 0} {error "a constraint on nothing"}
}
proc do_create_clock {options port} {
  objects $port
  if {[dict get $options -name] in $::clocks} {error "clock [dict get $options -name] exists"}
  if {![string is double -strict [dict get $options -period]]} {error "period"}
  lappend ::clocks [dict get $options -name]
}
proc do_set_false_path {options} {
  if {[dict size $options] == 0} {error "set_false_path: everything"}
  foreach what [dict values $options] {objects $what}
}
proc do_set_max_delay {options value} {
  if {![dict exists $options -from] || ![string is double -strict $value]} {error "set_max_delay: -from and a number are needed"}
  objects [dict get $options -from]
  objects [dict get $options -to]
}
proc do_set_input_delay {options value ports} {objects $ports}
proc do_set_output_delay {options value ports} {objects $ports}
proc do_set_operating_conditions {options} {}

# ---- reports and results

proc written {path} {
  if {[file pathtype $path] ne "relative"} {error "$path is not relative"}
  set out [open $path w]
  puts $out stub
  close $out
}
foreach name {utilization timing_summary clock_interaction cdc methodology drc route_status} {
  proc do_report_$name {options} {written [dict get $options -file]}
}
proc do_write_checkpoint {options path} {written $path}
proc do_write_bitstream {options path} {written $path}
proc do_check_timing {options} {
  lassign [setting UNCONSTRAINED {none 0}] kind count
  set text "check_timing report\n"
  foreach one {no_clock constant_clock pulse_width_clock unconstrained_internal_endpoints no_input_delay no_output_delay} {
    append text "1. checking $one ([expr {$one eq $kind ? $count : 0}])\n"
  }
  return $text
}
proc do_get_timing_paths {options} {
  if {[dict get $options -delay_type] ni {max min}} {error "delay type"}
  return [expr {[setting SLACK 0] eq "none" ? {} : "path"}]
}

# ---- boards

proc do_open_hw_manager {options} {set ::open manager}
proc do_connect_hw_server {options} {
  if {$::open ne "manager"} {error "no hardware manager"}
}
proc do_get_hw_targets {options pattern} {
  return [lsearch -all -inline -glob [setting TARGETS {localhost:3121/xilinx_tcf/Xilinx/A001 localhost:3121/xilinx_tcf/Xilinx/B002}] $pattern]
}
proc do_open_hw_target {options target} {}
proc do_get_hw_devices {options pattern} {return [list hw:$pattern]}
proc do_program_hw_devices {options device} {puts "PROGRAMMED $device $::image"}
foreach name {close_hw_target disconnect_hw_server close_hw_manager} {
  proc do_$name {options} {}
}

# ---- Vivado's command line

set source ""
set log ""
set arguments $argv
set argv {}
while {[llength $arguments] > 0} {
  set arguments [lassign $arguments option]
  switch -- $option {
    -mode {set arguments [lassign $arguments mode]}
    -log {set arguments [lassign $arguments log]}
    -source {set arguments [lassign $arguments source]}
    -tclargs {
      set argv $arguments
      break
    }
    -notrace - -nojournal {}
    default {
      puts stderr "stub: unknown option of vivado: $option"
      exit 1
    }
  }
}
set in [open [setting PROPERTIES ""]]
set properties [split [string trim [read $in]] \n]
close $in
if {[catch {
  if {$log ne ""} {written $log}
  need_file $source
  source $source
} message]} {
  puts stderr "stub: $source: $message"
  puts stderr $errorInfo
  exit 1
}
