// TLS for the proxy's harness: clients and an origin that speak it, and a proxy that does on either side.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "tests/support/test_certificates.h"
#include "tests/support/tls_pipe.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tls/context_slot.h"

namespace millrace::proxy::test {

using millrace::test::Authority;
using millrace::test::CertificateSpec;

inline const Authority& authority() {
  static const Authority made("proxy");
  return made;
}

inline tls::ContextConfig config_of(tls::Role role, const CertificateSpec& spec) {
  tls::ContextConfig config;
  config.role = role;
  const millrace::test::Issued leaf = authority().issue(spec);
  config.certificates.push_back({.chain = leaf.certificate, .key = leaf.key, .password = {}, .ocsp_response = {}});
  return config;
}

inline std::shared_ptr<const tls::Context> make(const tls::ContextConfig& config) {
  auto made = tls::Context::make(config);
  EXPECT_TRUE(made) << made.error().text;
  return *made;
}

inline std::shared_ptr<tls::ContextSlot> slot(const tls::ContextConfig& config) {
  return std::make_shared<tls::ContextSlot>(make(config));
}

inline tls::ContextConfig server(bool asks_for_certificates = false) {
  tls::ContextConfig config = config_of(tls::Role::kServer, {.names = {"DNS:shop.example", "URI:spiffe://a/gateway"}});
  if (asks_for_certificates) {
    config.require_client_certificate = true;
    config.validation.emplace();
    config.validation->trusted_ca = authority().certificate();
  }
  return config;
}

inline tls::ContextConfig client() {
  return config_of(tls::Role::kClient, {.names = {"URI:spiffe://a/client", "DNS:client.example"}});
}

inline ProxyHarness::Change with_tls(const tls::ContextConfig& config) {
  return [config](config::Listener& listener, config::Cluster&, config::Route&) { listener.chains[0].tls = slot(config); };
}

/// A client that speaks TLS to the proxy.
class TlsClient {
 public:
  TlsClient(ProxyHarness& proxy, const tls::ContextConfig& config, const std::string& name = "shop.example") : proxy_(proxy) {
    stream::CloseReason reason{};
    tls::HandshakeOptions options;
    options.server_name = name;
    stream_ = proxy.tls.connect(proxy.net, ProxyHarness::kListen, make(config), options, nullptr, peer_, reason, proxy.now);
    peer_.attach(*stream_);
  }
  std::string exchange(const std::string& request) {
    peer_.send(request);
    proxy_.run();
    return peer_.take_received();
  }
  ~TlsClient() {
    peer_.reset();
    proxy_.run();
  }
  /// Ends the transport without close_notify.
  void truncate() {
    proxy_.net.shut(stream_->local_address());
    proxy_.run();
  }
  Client& peer() { return peer_; }

 private:
  ProxyHarness& proxy_;
  Client peer_{proxy_.chains, proxy_.now};
  stream::ByteStream* stream_ = nullptr;
};

/// The origin speaks TLS, and hands its streams to the harness's.
struct TlsOrigin {
  TlsOrigin(ProxyHarness& proxy, const tls::ContextConfig& config) : acceptor(proxy.tls, make(config), proxy.origin()) {
    proxy.net.listen(ProxyHarness::kOrigin, acceptor);
  }
  millrace::test::TlsAcceptor acceptor;
};

inline ProxyHarness::Change to_tls(const tls::ContextConfig& config,
                                   const std::function<void(config::UpstreamTls&)>& change = {}) {
  return [config, change](config::Listener&, config::Cluster& cluster, config::Route&) {
    auto tls = std::make_shared<config::UpstreamTls>();
    tls->slot = slot(config);
    if (change) change(*tls);
    cluster.endpoints[0].own_extras().tls = tls;
  };
}

/// A client that looks at certificates.
inline tls::ContextConfig believing_client() {
  tls::ContextConfig config = client();
  config.validation.emplace();
  config.validation->trusted_ca = authority().certificate();
  return config;
}

}  // namespace millrace::proxy::test
