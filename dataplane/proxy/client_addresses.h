// Who a connection is from and what it was made to, as filters, routes, rules and logs see it.
#pragma once

#include "dataplane/base/addresses.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::proxy {

struct ClientAddresses {
  SocketAddress local;          ///< what the client has connected to, as far as a PROXY header tells
  SocketAddress remote;         ///< the client, likewise
  SocketAddress direct_remote;  ///< whom the packets come from
  bool local_is_original;       ///< `local` is where the client wanted to go: its listener or a PROXY header says so

  /// As filter chains see it: a Unix socket matches as 255.255.255.255, as in Envoy.
  [[nodiscard]] static SocketAddress for_matching(const SocketAddress& address) {
    return address.is_pipe() ? SocketAddress{IpAddress::v4(255, 255, 255, 255), 0} : address;
  }
  /// Without a PROXY header.
  [[nodiscard]] static ClientAddresses of(const stream::ByteStream& stream, bool local_is_original) {
    return {stream.local_address(), stream.peer_address(), stream.peer_address(), local_is_original};
  }
};

}  // namespace millrace::proxy
