// One IP packet on its way up, as the sources of IpLayer hand it on. Private to them.
#pragma once

#include <cstdint>

#include "dataplane/base/addresses.h"
#include "dataplane/ip/ip_layer.h"

namespace millrace::ip {

struct IpLayer::Arrival {
  std::uint8_t interface = 0;
  bool group_frame = false;  // broadcast or multicast on the link
  bool reassembled = false;
  bool fragment_header = false;  // IPv6: there was one, if only that of a whole datagram
  IpAddress source;
  IpAddress destination;
  std::uint16_t header_size = 0;
  std::uint16_t protocol_at = 0;  // IPv6: offset of the field that names `protocol`
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 0;
};

}  // namespace millrace::ip
