// What people read about a port: a line in the log at start, an entry of /millrace/nic.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "nic/port.h"

namespace millrace::app {

/// "device: rss; software: rx_ip_checksum, tx_tcp_checksum (offered)": who does what; "(offered)" is what the device could do.
[[nodiscard]] std::string offloads_text(const nic::PortInfo& info);
/// "telnet: software (the driver has no flow table)".
[[nodiscard]] std::string rule_text(const nic::RuleUse& rule);
/// Asks the device for its counters of rules.
[[nodiscard]] nlohmann::ordered_json port_json(const nic::Port& port);

}  // namespace millrace::app
