#include "tls/handshake.h"

#include <algorithm>
#include <utility>

#include <openssl/err.h>

#include "tls/openssl/connection.h"
#include "tls/openssl/library_session.h"
#include "tls/openssl/session_facts.h"
#include "tls/record.h"

namespace millrace::tls {
namespace {

using Reason = HandshakeFailure::Reason;

constexpr std::size_t kRandomBytes = 32;
constexpr std::size_t kMasterSecretBytes = 48;

// The explicit nonce of our Finished, which OpenSSL begins with a random number: it stands in the first handshake record behind
// our change_cipher_spec. Output comes in whole records.
class FinishedNonce {
 public:
  void look_at(std::span<const std::uint8_t> records) {
    while (records.size() > kRecordHeaderBytes && !found_) {
      const std::size_t length = static_cast<std::size_t>(records[3]) << 8 | records[4];
      const auto record = records.first(std::min(records.size(), kRecordHeaderBytes + length));
      if (encrypted_ && record.size() >= kRecordHeaderBytes + 8) {
        found_ = true;
        for (const std::uint8_t byte : record.subspan(kRecordHeaderBytes, 8)) nonce_ = nonce_ << 8 | byte;
      }
      encrypted_ |= record[0] == static_cast<std::uint8_t>(ContentType::kChangeCipherSpec);
      records = records.subspan(record.size());
    }
  }
  [[nodiscard]] std::uint64_t next() const { return nonce_ + 1; }

 private:
  bool encrypted_ = false;
  bool found_ = false;
  std::uint64_t nonce_ = 0;
};

// Of TLS 1.3: RFC 8446 7.3. False: no memory.
bool take_traffic_secrets(const Connection& connection, bool server, Established& established) {
  established.send_secret = server ? connection.server_secret : connection.client_secret;
  established.receive_secret = server ? connection.client_secret : connection.server_secret;
  if (established.send_secret.empty() || established.receive_secret.empty()) return false;
  established.send = traffic_keys(*established.suite, established.send_secret.bytes());
  established.receive = traffic_keys(*established.suite, established.receive_secret.bytes());
  established.send_sequence = connection.records_after_finished;  // a server's tickets
  return true;
}

// Of TLS 1.2: RFC 5246 6.3. Both Finished were the first records under these keys.
bool take_key_block(const SSL* ssl, bool server, const FinishedNonce& nonce, Established& established) {
  Secret master(kMasterSecretBytes);
  std::uint8_t client_random[kRandomBytes] = {};
  std::uint8_t server_random[kRandomBytes] = {};
  const bool good = SSL_SESSION_get_master_key(SSL_get_session(ssl), master.bytes().data(), master.size()) == master.size() &&
                    SSL_get_client_random(ssl, client_random, kRandomBytes) == kRandomBytes &&
                    SSL_get_server_random(ssl, server_random, kRandomBytes) == kRandomBytes;
  if (!good) return false;
  KeyBlock block = key_block(*established.suite, master.bytes(), client_random, server_random);
  established.send = server ? block.server : block.client;
  established.receive = server ? block.client : block.server;
  established.send_sequence = established.receive_sequence = 1;
  if (established.suite->explicit_nonce_bytes() > 0) established.explicit_nonce = nonce.next();
  return true;
}

class OpensslHandshake final : public Handshake {
 public:
  explicit OpensslHandshake(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

  Status run(std::span<const std::uint8_t> bytes, bool ended) override {
    MR_ASSERT(status_ == Status::kNeedMore);
    ERR_clear_error();
    connection_->feed(bytes);
    const int result = SSL_do_handshake(connection_->ssl.get());
    const std::size_t before = output_.size();
    drain(connection_->out, output_);
    nonce_.look_at(std::span<const std::uint8_t>(output_).subspan(before));
    if (result == 1) {
      status_ = establish() ? Status::kDone : Status::kFailed;
    } else if (SSL_get_error(connection_->ssl.get(), result) != SSL_ERROR_WANT_READ) {
      fail(connection_->failure(result));
    } else if (ended) {
      fail({.reason = Reason::kTruncated, .alert = {}, .text = "the peer closed the connection in the middle of the handshake"});
    }
    ERR_clear_error();
    return status_;
  }

  std::vector<std::uint8_t> take_output() override { return std::exchange(output_, {}); }

  Established take_established() override {
    MR_ASSERT(status_ == Status::kDone);
    return std::move(established_);
  }

  const HandshakeFailure& failure() const override { return failure_; }

  void feed_ticket(std::span<const std::uint8_t> record) override {
    if (connection_ == nullptr) return;
    ERR_clear_error();
    connection_->feed(record);
    std::uint8_t nothing[1];
    std::size_t got = 0;
    const int result = SSL_read_ex(connection_->ssl.get(), nothing, sizeof(nothing), &got);
    // What is no ticket, or came out of order, ends it: no session is lost but those that would have come.
    if (result == 1 || SSL_get_error(connection_->ssl.get(), result) != SSL_ERROR_WANT_READ) release();
    ERR_clear_error();
  }

  std::vector<std::shared_ptr<ClientSession>> take_sessions() override {
    if (connection_ != nullptr) keep_sessions();
    return std::exchange(sessions_, {});
  }

 private:
  void fail(HandshakeFailure failure) {
    status_ = Status::kFailed;
    failure_ = std::move(failure);
    failure_.staple = connection_->staple();
    release();
  }

  void keep_sessions() {
    for (auto& session : std::exchange(connection_->sessions, {})) sessions_.push_back(std::move(session));
  }

  void release() {
    keep_sessions();
    connection_.reset();
  }

  bool establish() {
    const Context::Impl& impl = connection_->impl();
    const SSL* const ssl = connection_->ssl.get();
    const bool server = impl.role == Role::kServer;
    const bool tls13 = SSL_version(ssl) == TLS1_3_VERSION;
    established_.facts = facts_of(*connection_);
    connection_->keep_renewed_session();
    if (!impl.keep_records) established_.suite = find_cipher_suite(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)));
    if (established_.suite == nullptr) {
      keep_sessions();
      established_.library = make_library_session(std::move(connection_));
      return true;
    }
    const bool has_keys =
        (tls13 ? take_traffic_secrets(*connection_, server, established_) : take_key_block(ssl, server, nonce_, established_)) &&
        established_.send.valid() && established_.receive.valid();
    if (!has_keys) {
      fail({.reason = Reason::kInternal, .alert = {}, .text = "OpenSSL has no keys to hand over: " + error_text()});
      return false;
    }
    drain(connection_->in, established_.unread);
    if (server || !tls13 || !impl.resume) release();  // a client of TLS 1.3 waits for tickets
    return true;
  }

  std::unique_ptr<Connection> connection_;  // null: no longer needed, or the library session's
  Status status_ = Status::kNeedMore;
  FinishedNonce nonce_;
  std::vector<std::uint8_t> output_;
  Established established_;
  HandshakeFailure failure_;
  std::vector<std::shared_ptr<ClientSession>> sessions_;
};

}  // namespace

std::unique_ptr<Handshake> Handshake::make(std::shared_ptr<const Context> context, const HandshakeOptions& options) {
  auto connection = Connection::make(std::move(context), options);
  return connection == nullptr ? nullptr : std::make_unique<OpensslHandshake>(std::move(connection));
}

}  // namespace millrace::tls
