// A listener as one worker runs it: accepts transports, chooses their filter chain, and keeps the configuration that connections
// and their requests refer to, one version beside the other, until nothing refers to an old one any more.
//
//   on_accept --[listener filters?]--> ConnectionInspection --+
//        \----------------------------------------------------+--> serve(): filter chain --[TlsAcceptance?]--> network filters
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/model/listener.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/proxy/client_addresses.h"
#include "dataplane/proxy/connection_count.h"
#include "dataplane/proxy/policy/filter_chain_matcher.h"
#include "dataplane/report/cells.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

struct Admission;
struct Runtime;
struct StreamInfo;
class ListenerVersion;

/// Part of a listener's configuration that connections were accepted under.
class Drainable {
 public:
  /// It is not in the configuration any more: what was accepted under it, and still is, has until `end`.
  void start_drain(Instant end) {
    if (!is_draining()) drain_end_ = end;
  }
  [[nodiscard]] bool is_draining() const { return !drain_end_.is_never(); }
  [[nodiscard]] Instant drain_end() const { return drain_end_; }

 private:
  Instant drain_end_ = Instant::never();
};

/// One filter chain of one version of a listener. Lives as long as that version, which pin() keeps alive.
class ChainVersion : public Drainable {
 public:
  ChainVersion(ListenerVersion& version, const config::FilterChain& config, std::uint32_t index, std::uint32_t worker);

  [[nodiscard]] const config::FilterChain& config() const { return config_; }
  [[nodiscard]] const config::Listener& listener() const;
  [[nodiscard]] report::ListenerStats& listener_stats() const;
  [[nodiscard]] ListenerVersion& version() const { return version_; }
  [[nodiscard]] std::uint32_t index() const { return index_; }
  /// The same chain in the newest version: itself, as long as there is none.
  [[nodiscard]] ChainVersion& successor() { return *successor_; }
  void set_successor(ChainVersion& successor) { successor_ = &successor; }

  /// Of a chain that ends in an HTTP connection manager.
  [[nodiscard]] const config::HttpConnectionManager& http() const { return *config_.http(); }
  [[nodiscard]] report::HttpStats& http_stats() const { return *http_stats_; }
  /// Of a chain that ends in a TCP proxy.
  [[nodiscard]] const config::TcpProxy& tcp() const { return *config_.tcp(); }
  [[nodiscard]] report::TcpStats& tcp_stats() const { return *tcp_stats_; }

  void pin() const;
  void unpin() const;

 private:
  ListenerVersion& version_;
  const config::FilterChain& config_;
  report::HttpStats* http_stats_ = nullptr;
  report::TcpStats* tcp_stats_ = nullptr;
  std::uint32_t index_;
  ChainVersion* successor_ = this;  ///< of the newest version, which outlives its use
};

/// One version of a listener's configuration, which drains for connections without a chain yet. Counted by this worker only,
/// without atomics.
class ListenerVersion : public Drainable {
 public:
  ListenerVersion(std::shared_ptr<const config::Listener> listener, std::uint32_t worker);

  [[nodiscard]] const config::Listener& listener() const { return *listener_; }
  [[nodiscard]] report::ListenerStats& listener_stats() { return listener_stats_; }
  /// Null when the listener has no listener filters.
  [[nodiscard]] report::InspectorStats* inspector_stats() { return inspector_stats_; }
  [[nodiscard]] std::vector<ChainVersion>& chains() { return chains_; }
  [[nodiscard]] ChainVersion& chain(std::uint32_t index) { return chains_[index]; }
  [[nodiscard]] bool is(const std::shared_ptr<const config::Listener>& listener) const { return listener_ == listener; }

  /// Its chains that are in `newest` as they are here go on there, the others drain. Those that drain already go on with it.
  void hand_over(ListenerVersion& newest, Instant drain_end);
  /// All of it drains.
  void end(Instant drain_end);

  void pin() { ++pins_; }
  void unpin() { --pins_; }
  [[nodiscard]] bool is_pinned() const { return pins_ > 0; }

 private:
  std::shared_ptr<const config::Listener> listener_;
  report::ListenerStats& listener_stats_;
  report::InspectorStats* inspector_stats_ = nullptr;
  std::vector<ChainVersion> chains_;
  std::size_t pins_ = 0;
};

inline const config::Listener& ChainVersion::listener() const { return version_.listener(); }
inline report::ListenerStats& ChainVersion::listener_stats() const { return version_.listener_stats(); }
inline void ChainVersion::pin() const { version_.pin(); }
inline void ChainVersion::unpin() const { version_.unpin(); }

/// A connection that is ready for its network filter.
struct ReadyTransport {
  stream::ByteStream& stream;  ///< of the client: as accepted or, behind a transport socket, of the plain text
  stream::Chain received;      ///< what was read off it already and comes before what it still has to give
  ClientAddresses addresses;
  std::string server_name = {};       ///< that the client asked for in TLS, in lower case; empty: none
  std::string proxy_extensions = {};  ///< of its PROXY header, those that are kept
  ConnectionCount count = {};
};

class ListenerRuntime final : public stream::Acceptor {
 public:
  ListenerRuntime(Runtime& runtime, std::shared_ptr<const config::Listener> listener);

  /// Takes over a new version. What was accepted under a chain that is there no more, or not as it was, drains, handshakes under
  /// way included: connections end with their next response, and the rest after ProxyContext::drain_time. So does all that was
  /// accepted, if the listener itself has changed. Inspections under way choose among the new version's chains. A new route table
  /// alone (equal content hashes) serves the next requests.
  void update(std::shared_ptr<const config::Listener> listener, Instant now);
  /// The listener is gone from the configuration: drains all that it has accepted.
  void retire(Instant now);
  [[nodiscard]] bool is_unused() const;

  void on_accept(stream::ByteStream& stream, Instant now) override;
  /// Chooses the chain by `traits` (its server_name is the transport's) and hands the connection to its network filter. Without a
  /// chain it is closed.
  void serve(ReadyTransport transport, ConnectionTraits traits, Instant now);

  [[nodiscard]] ListenerVersion& current() { return *versions_.back(); }
  /// The network filters of `chain`, over `transport`; a connection that one of them denies is closed, at once or later. Where
  /// the chain has a transport socket, of the plain text.
  void start_filter(ChainVersion& chain, ReadyTransport transport, Instant now);

 private:
  void start_transport_socket(ChainVersion& chain, ReadyTransport transport, Instant now);
  [[nodiscard]] bool has_room_for(stream::ByteStream& stream, ConnectionCount& count, Instant now);
  [[nodiscard]] Admission ask_filters(ChainVersion& chain, ReadyTransport& transport, Instant now);
  void log_closed(ChainVersion& chain, const Admission& why, StreamInfo& info, Instant now);
  [[nodiscard]] bool start_serving(ChainVersion& chain, ReadyTransport transport, Instant now);
  void drain(Instant now);
  void announce_drain(Instant now);
  void await_drain_end(Instant now);
  void on_drain_end(Instant now);
  void sweep();

  Runtime& runtime_;
  Timer drain_timer_;                                       // to the end of the drain that ends first
  std::vector<std::unique_ptr<ListenerVersion>> versions_;  // the last is the current one
};

}  // namespace millrace::proxy
