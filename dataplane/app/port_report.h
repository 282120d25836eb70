// What people read about a port or a crypto device: a line in the log at start, an entry of /millrace/nic.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "nic/crypto_device.h"
#include "nic/port.h"

namespace millrace::app {

/// "device: rss; software: rx_ip_checksum, tx_tcp_checksum (offered)": who does what; "(offered)" is what the device could do.
[[nodiscard]] std::string offloads_text(std::span<const nic::OffloadUse> offloads);
/// "telnet: software (the driver has no flow table)".
[[nodiscard]] std::string rule_text(const nic::RuleUse& rule);
/// Asks the device for its counters of rules.
[[nodiscard]] nlohmann::ordered_json port_json(const nic::Port& port);
/// "crypto_aesni_gcm on the workers' CPUs, 2 queue pairs, records in place, device: AES-128-GCM; software: ChaCha20-Poly1305".
[[nodiscard]] std::string crypto_device_text(const nic::CryptoDeviceInfo& info);
[[nodiscard]] nlohmann::ordered_json crypto_device_json(const nic::CryptoDevice& device);

}  // namespace millrace::app
