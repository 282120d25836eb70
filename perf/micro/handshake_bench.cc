// Handshakes a core can do, both sides on it: ours, and OpenSSL's alone between two memory BIOs. "server_us" is the server's
// part. They allocate, as OpenSSL does: no column of allocations.
#include <benchmark/benchmark.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/test_certificates.h"
#include "tls/handshake.h"

namespace millrace::perf {
namespace {

using test::Authority;
using test::Issued;
using test::KeyKind;
using Bytes = std::vector<std::uint8_t>;
using Clock = std::chrono::steady_clock;
using Status = tls::Handshake::Status;

struct Kind {
  bool rsa = false;     // the server's key; a client's is ECDSA
  bool mutual = false;  // the client shows a certificate, too
  bool resumed = false;
};

const Authority& authority() {
  static const Authority made("Bench Authority");
  return made;
}
const Issued& server_leaf(bool rsa) {
  if (rsa) {
    static const Issued made = authority().issue({.names = {"DNS:localhost"}, .key = KeyKind::kRsa2048});
    return made;
  }
  static const Issued made = authority().issue({.names = {"DNS:localhost"}});
  return made;
}
const Issued& client_leaf() {
  static const Issued made = authority().issue({.names = {"URI:spiffe://cluster.local/ns/default/sa/default"}});
  return made;
}

class ServerTime {
 public:
  void start() { started_ = Clock::now(); }
  void stop() { spent_ += Clock::now() - started_; }
  void report(benchmark::State& state) const {
    const auto microseconds = std::chrono::duration<double, std::micro>(spent_).count();
    state.counters["server_us"] = benchmark::Counter(microseconds, benchmark::Counter::kAvgIterations);
    state.counters["per_second"] = benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  }

 private:
  Clock::time_point started_;
  Clock::duration spent_{};
};

// --- ours ---

std::shared_ptr<const tls::Context> context(tls::Role role, const Kind& kind) {
  tls::ContextConfig config;
  config.role = role;
  const bool server = role == tls::Role::kServer;
  if (server || kind.mutual) {
    const Issued& leaf = server ? server_leaf(kind.rsa) : client_leaf();
    config.certificates = {{.chain = leaf.certificate, .key = leaf.key, .password = {}, .ocsp_response = {}}};
  }
  if (!server || kind.mutual) config.validation.emplace().trusted_ca = authority().certificate();
  config.require_client_certificate = server && kind.mutual;
  if (!server) config.server_name = "localhost";
  return tls::Context::make(config).value();
}

struct Ours {
  std::unique_ptr<tls::Handshake> client;
  std::unique_ptr<tls::Handshake> server;
  bool done = false;
  bool resumed = false;

  Ours(const std::shared_ptr<const tls::Context>& client_context, const std::shared_ptr<const tls::Context>& server_context,
       const tls::HandshakeOptions& options, ServerTime& time)
      : client(tls::Handshake::make(client_context, options)) {
    time.start();
    server = tls::Handshake::make(server_context);
    time.stop();
    Status client_status = client->run({});
    Status server_status = Status::kNeedMore;
    while (server_status == Status::kNeedMore) {
      const Bytes request = client->take_output();
      time.start();
      server_status = server->run(request);
      answer = server->take_output();
      time.stop();
      if (client_status == Status::kNeedMore) client_status = client->run(answer);
      if (client_status == Status::kFailed || (request.empty() && answer.empty())) return;
    }
    done = client_status == Status::kDone && server_status == Status::kDone;
    time.start();
    if (done) resumed = server->take_established().facts->resumed;
    server.reset();
    time.stop();
  }
  std::shared_ptr<tls::ClientSession> session() {  // whose tickets came last
    for (std::size_t at = 0; at + 5 <= answer.size();) {
      const std::size_t size = 5 + (static_cast<std::size_t>(answer[at + 3]) << 8 | answer[at + 4]);
      client->feed_ticket(std::span(answer).subspan(at, size));
      at += size;
    }
    return client->take_sessions().back();
  }

  Bytes answer = {};
};

void handshake(benchmark::State& state, Kind kind) {
  const auto client = context(tls::Role::kClient, kind);
  const auto server = context(tls::Role::kServer, kind);
  tls::HandshakeOptions options;
  ServerTime warm_up;
  if (kind.resumed) options.session = Ours(client, server, {}, warm_up).session();
  ServerTime time;
  for (auto _ : state) {
    Ours exchange(client, server, options, time);
    if (!exchange.done || exchange.resumed != kind.resumed) state.SkipWithError("the handshake failed, or is of another kind");
    if (kind.resumed) options.session = exchange.session();  // each session is used once
  }
  time.report(state);
}

// --- OpenSSL's alone ---

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using BareContext = std::unique_ptr<SSL_CTX, FreeContext>;

void show(SSL_CTX* context, const Issued& issued) {
  BIO* certificate_text = BIO_new_mem_buf(issued.certificate.data(), static_cast<int>(issued.certificate.size()));
  BIO* key_text = BIO_new_mem_buf(issued.key.data(), static_cast<int>(issued.key.size()));
  X509* certificate = PEM_read_bio_X509(certificate_text, nullptr, nullptr, nullptr);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(key_text, nullptr, nullptr, nullptr);
  SSL_CTX_use_certificate(context, certificate);
  SSL_CTX_use_PrivateKey(context, key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  BIO_free(certificate_text);
  BIO_free(key_text);
}

void believe(SSL_CTX* context) {
  BIO* text = BIO_new_mem_buf(authority().certificate().data(), static_cast<int>(authority().certificate().size()));
  X509* certificate = PEM_read_bio_X509(text, nullptr, nullptr, nullptr);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  X509_free(certificate);
  BIO_free(text);
}

SSL* bare_side(SSL_CTX* context, bool server) {
  SSL* ssl = SSL_new(context);
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  server ? SSL_set_accept_state(ssl) : SSL_set_connect_state(ssl);
  return ssl;
}

void pump(SSL* from, SSL* to) {
  char bytes[16384];
  const int size = BIO_read(SSL_get_wbio(from), bytes, sizeof(bytes));
  if (size > 0) BIO_write(SSL_get_rbio(to), bytes, size);
}

void end(SSL* ssl) {
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl);
}

// `wanted`, if it is there, gets a session to offer later; `offered` may be null.
bool bare_exchange(SSL_CTX* client_context, SSL_CTX* server_context, SSL_SESSION** wanted, SSL_SESSION* offered,
                   ServerTime& time) {
  SSL* client = bare_side(client_context, false);
  if (offered != nullptr) SSL_set_session(client, offered);
  time.start();
  SSL* server = bare_side(server_context, true);
  time.stop();
  bool done = false;
  for (int i = 0; i < 4 && !done; ++i) {
    const bool client_done = SSL_do_handshake(client) == 1;
    pump(client, server);
    time.start();
    done = SSL_do_handshake(server) == 1 && client_done;
    time.stop();
    pump(server, client);
  }
  if (wanted != nullptr) {
    char nothing;
    (void)SSL_read(client, &nothing, 1);
    *wanted = SSL_get1_session(client);
  }
  done = done && (offered == nullptr || SSL_session_reused(client) == 1);
  end(client);
  time.start();
  end(server);
  time.stop();
  return done;
}

void bare_handshake(benchmark::State& state, Kind kind) {
  const BareContext client(SSL_CTX_new(TLS_client_method()));
  const BareContext server(SSL_CTX_new(TLS_server_method()));
  show(server.get(), server_leaf(kind.rsa));
  SSL_CTX_set_session_id_context(server.get(), reinterpret_cast<const unsigned char*>("bench"), 5);
  SSL_CTX_set_session_cache_mode(server.get(), SSL_SESS_CACHE_OFF);
  believe(client.get());
  if (kind.mutual) {
    show(client.get(), client_leaf());
    believe(server.get());
  }
  SSL_SESSION* session = nullptr;
  ServerTime warm_up;
  if (kind.resumed) (void)bare_exchange(client.get(), server.get(), &session, nullptr, warm_up);
  ServerTime time;
  for (auto _ : state) {
    if (!bare_exchange(client.get(), server.get(), nullptr, session, time)) state.SkipWithError("the handshake failed");
  }
  time.report(state);
  SSL_SESSION_free(session);
}

#define MILLRACE_HANDSHAKE_BENCHMARK(name, ...)          \
  BENCHMARK_CAPTURE(handshake, name, Kind{__VA_ARGS__}); \
  BENCHMARK_CAPTURE(bare_handshake, name, Kind{__VA_ARGS__})

MILLRACE_HANDSHAKE_BENCHMARK(ecdsa, .rsa = false);
MILLRACE_HANDSHAKE_BENCHMARK(ecdsa_mutual, .mutual = true);
MILLRACE_HANDSHAKE_BENCHMARK(rsa, .rsa = true);
MILLRACE_HANDSHAKE_BENCHMARK(rsa_mutual, .rsa = true, .mutual = true);
MILLRACE_HANDSHAKE_BENCHMARK(resumed, .resumed = true);
MILLRACE_HANDSHAKE_BENCHMARK(resumed_mutual, .mutual = true, .resumed = true);

}  // namespace
}  // namespace millrace::perf
