// TLS for the generator's clients and its origin, by the gateway's own streams: a connector and an acceptor that speak it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/pool.h"
#include "dataplane/base/result.h"
#include "dataplane/secure/tls_layer.h"
#include "dataplane/stream/byte_stream.h"
#include "perf/millload/failures.h"

namespace millrace::perf {

/// Files in PEM. A side without TLS has no context.
struct TlsFiles {
  std::string certificate;
  std::string key;
  std::string authority;  ///< whom the peer has to show a certificate of; empty: anybody, or none
};

struct TlsSides {
  std::shared_ptr<const tls::Context> client;  ///< null: clients speak plain text
  std::shared_ptr<const tls::Context> origin;  ///< null: the origin does
  bool resume = false;                         ///< clients offer sessions of earlier connections
};

/// An error names the file and what is wrong with it.
[[nodiscard]] Result<std::shared_ptr<const tls::Context>, std::string> make_tls_context(tls::Role role, const TlsFiles& files,
                                                                                        tls::Version version);

/// Opens streams; with TLS where there is a context.
class TlsConnector final : public stream::Connector {
 public:
  /// `connections` at a time, each with a session to resume.
  TlsConnector(stream::Connector& below, secure::TlsLayer& layer, const TlsSides& sides, std::size_t connections)
      : below_(below), layer_(layer), context_(sides.client), resume_(sides.resume), sessions_(2 * connections) {}
  [[nodiscard]] stream::ByteStream* connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                            stream::CloseReason& reason, Instant now) override;

 private:
  stream::Connector& below_;
  secure::TlsLayer& layer_;
  const std::shared_ptr<const tls::Context> context_;
  const bool resume_;
  secure::SessionCache sessions_;
};

/// Hands on what has shaken hands, or what needs not. A handshake that fails is a failure of the measurement.
class TlsAcceptor final : public stream::Acceptor {
 public:
  TlsAcceptor(stream::Acceptor& above, secure::TlsLayer& layer, Failures& failures, const TlsSides& sides, std::size_t limit);
  ~TlsAcceptor();
  TlsAcceptor(const TlsAcceptor&) = delete;
  TlsAcceptor& operator=(const TlsAcceptor&) = delete;

  void on_accept(stream::ByteStream& transport, Instant now) override;

 private:
  class Pending;

  stream::Acceptor& above_;
  secure::TlsLayer& layer_;
  Failures& failures_;
  const std::shared_ptr<const tls::Context> context_;
  Pool<Pending> pending_;
  IntrusiveList<Pending> open_;
};

}  // namespace millrace::perf
