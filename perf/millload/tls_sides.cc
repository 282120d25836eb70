#include "perf/millload/tls_sides.h"

#include <fstream>
#include <iterator>
#include <utility>

namespace millrace::perf {
namespace {

// Nothing: it cannot be read.
std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

Result<std::shared_ptr<const tls::Context>, std::string> make_tls_context(tls::Role role, const TlsFiles& files,
                                                                          tls::Version version) {
  tls::ContextConfig config;
  config.role = role;
  config.least_version = config.most_version = version;
  const auto read = [](const std::string& path, std::string& into) {
    auto text = path.empty() ? std::string() : read_file(path);
    if (text) into = std::move(*text);
    return text.has_value();
  };
  tls::CertificateConfig own;
  tls::ValidationConfig validation;
  for (const auto& [path, into] : {std::pair(files.certificate, &own.chain), std::pair(files.key, &own.key),
                                   std::pair(files.authority, &validation.trusted_ca)}) {
    if (!read(path, *into)) return Error<std::string>(path + " cannot be read");
  }
  if (!own.chain.empty()) config.certificates.push_back(std::move(own));
  if (!validation.trusted_ca.empty()) {
    config.validation = std::move(validation);
    config.require_client_certificate = role == tls::Role::kServer;
  }
  auto context = tls::Context::make(config);
  if (!context) return Error<std::string>("TLS: " + context.error().text);
  return *context;
}

stream::ByteStream* TlsConnector::connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                          stream::CloseReason& reason, Instant now) {
  if (context_ == nullptr) return below_.connect(peer, events, reason, now);
  return layer_.connect(below_, peer, context_, {}, resume_ ? &sessions_ : nullptr, events, reason, now);
}

/// A connection whose handshake is under way.
class TlsAcceptor::Pending final : public stream::ByteStreamEvents, public ListNode<> {
 public:
  explicit Pending(TlsAcceptor& acceptor) : acceptor_(acceptor) {}

  void on_connected(stream::ByteStream& stream, Instant now) override {
    acceptor_.above_.on_accept(stream, now);
    forget();
  }
  void on_readable(stream::ByteStream&, Instant) override {}
  void on_writable(stream::ByteStream&, Instant) override {}
  void on_closed(stream::ByteStream& stream, stream::CloseReason, Instant) override {
    if (const auto* failure = stream.handshake_failure()) {
      acceptor_.failures_.add("a TLS handshake with the origin failed: " + failure->text);
    }
    forget();
  }

 private:
  void forget() {
    unlink();
    acceptor_.pending_.destroy(this);
  }
  TlsAcceptor& acceptor_;
};

TlsAcceptor::TlsAcceptor(stream::Acceptor& above, secure::TlsLayer& layer, Failures& failures, const TlsSides& sides,
                         std::size_t limit)
    : above_(above), layer_(layer), failures_(failures), context_(sides.origin), pending_(0, limit) {}

TlsAcceptor::~TlsAcceptor() {
  while (Pending* pending = open_.pop_front()) pending_.destroy(pending);
}

void TlsAcceptor::on_accept(stream::ByteStream& transport, Instant now) {
  if (context_ == nullptr) return above_.on_accept(transport, now);
  Pending* pending = pending_.make(*this);
  stream::Chain nothing(layer_.chains());
  if (pending == nullptr || layer_.accept(transport, nothing, context_, *pending) == nullptr) {
    if (pending != nullptr) pending_.destroy(pending);
    return transport.reset(now);
  }
  open_.push_back(*pending);
}

}  // namespace millrace::perf
