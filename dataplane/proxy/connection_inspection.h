// A connection whose filter chain is not chosen yet: its first bytes are looked at (Envoy's listener filters proxy_protocol,
// tls_inspector and http_inspector) until they have told enough, the client has gone, or listener_filters_timeout has passed. A
// PROXY header is taken off; the bytes behind it are kept, and whoever serves the connection gets them before those that are
// still to come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/proxy/client_addresses.h"
#include "dataplane/proxy/connection_count.h"
#include "dataplane/proxy/http_inspector.h"
#include "dataplane/proxy/proxy_protocol_reader.h"
#include "dataplane/proxy/serviced.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/stream/chain.h"
#include "tls/client_hello.h"

namespace millrace::proxy {

struct Runtime;
class ListenerRuntime;
class ListenerVersion;
struct AllTag;
struct GraveTag;

class ConnectionInspection final : public Serviced,
                                   public stream::ByteStreamEvents,
                                   public ListNode<AllTag>,
                                   public ListNode<GraveTag> {
 public:
  ConnectionInspection(Runtime& runtime, ListenerRuntime& listener, ListenerVersion& version, stream::ByteStream& stream,
                       ConnectionCount count, Instant now);

  [[nodiscard]] ListenerRuntime& listener() { return listener_; }
  /// That has accepted it.
  [[nodiscard]] const ListenerVersion& version() const { return version_; }

  /// Gives up a connection whose client has not said anything.
  void start_drain(Instant now);
  void close(Instant now);
  void abort(Instant now);

  void service(Instant now) override;

  // stream::ByteStreamEvents
  void on_connected(stream::ByteStream&, Instant) override {}
  void on_readable(stream::ByteStream& stream, Instant now) override;
  void on_writable(stream::ByteStream&, Instant) override {}
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

 private:
  enum class State : std::uint8_t {
    kLooking,
    kReady,    // all is known that is to be known
    kRefused,  // it must not go on
    kOver,
  };

  void take(Instant now);
  [[nodiscard]] bool take_proxy_header(stream::Chain& part);
  void settle_proxy_header();
  [[nodiscard]] bool keep_half_a_header();
  [[nodiscard]] bool keep(stream::Chain& part);
  void look(const stream::Chain& part);
  void look_for_http(const stream::Chain& part);
  void settle_tls();
  void settle_http();
  void hand_over(Instant now);
  void finish();
  void on_timeout(Instant now);
  [[nodiscard]] std::size_t most_bytes() const;

  Runtime& runtime_;
  ListenerRuntime& listener_;
  ListenerVersion& version_;  // pinned
  stream::ByteStream* stream_;
  ConnectionCount count_;
  ClientAddresses addresses_;
  std::string proxy_extensions_;
  stream::Chain received_;                        // all that was read, but for a PROXY header; at most most_bytes()
  std::optional<ProxyProtocolReader> proxy_;      // until it has decided
  std::optional<tls::ClientHelloInspector> tls_;  // until it has decided
  std::optional<HttpInspector> http_;             // likewise
  std::string server_name_;
  std::vector<std::string> protocols_;
  bool is_tls_ = false;
  State state_ = State::kLooking;
  Timer timer_;  // listener_filters_timeout
};

}  // namespace millrace::proxy
