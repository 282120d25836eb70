// Who a connection is from and what it was made to, as filters, routes, rules and logs see it.
#pragma once

#include "dataplane/base/addresses.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::proxy {

struct ClientAddresses {
  SocketAddress local;          ///< what the client has connected to, as far as a PROXY header tells
  SocketAddress remote;         ///< the client, likewise
  SocketAddress direct_remote;  ///< whom the packets come from

  /// Without a PROXY header.
  [[nodiscard]] static ClientAddresses of(const stream::ByteStream& stream) {
    return {stream.local_address(), stream.peer_address(), stream.peer_address()};
  }
};

}  // namespace millrace::proxy
