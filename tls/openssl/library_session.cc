#include "tls/openssl/library_session.h"

#include <utility>

#include <openssl/err.h>

namespace millrace::tls {
namespace {

class OpensslSession final : public LibrarySession {
 public:
  explicit OpensslSession(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

  void feed(std::span<const std::uint8_t> bytes) override { connection_->feed(bytes); }

  std::size_t read(std::span<std::uint8_t> to) override {
    if (peer_closed_ || failure_ || to.empty()) return 0;
    ERR_clear_error();
    std::size_t got = 0;
    check(SSL_read_ex(ssl(), to.data(), to.size(), &got));
    return got;
  }

  void write(std::span<const std::uint8_t> text) override {
    if (closed_ || failure_ || text.empty()) return;
    ERR_clear_error();
    std::size_t written = 0;
    check(SSL_write_ex(ssl(), text.data(), text.size(), &written));
  }

  void close() override {
    if (closed_ || failure_) return;
    closed_ = true;
    ERR_clear_error();
    (void)SSL_shutdown(ssl());
  }

  std::vector<std::uint8_t> take_output() override {
    std::vector<std::uint8_t> output;
    drain(connection_->out, output);
    return output;
  }

  [[nodiscard]] bool peer_closed() const override { return peer_closed_; }
  [[nodiscard]] std::optional<HandshakeFailure> failure() const override { return failure_; }
  std::vector<std::shared_ptr<ClientSession>> take_sessions() override { return std::exchange(connection_->sessions, {}); }

 private:
  [[nodiscard]] SSL* ssl() const { return connection_->ssl.get(); }

  void check(int result) {
    if (result == 1) return;
    const int error = SSL_get_error(ssl(), result);
    if (error == SSL_ERROR_WANT_READ) return;
    if (error == SSL_ERROR_ZERO_RETURN) {
      peer_closed_ = true;
    } else {
      failure_ = connection_->failure(result);
    }
  }

  std::unique_ptr<Connection> connection_;
  bool closed_ = false;  // by us
  bool peer_closed_ = false;
  std::optional<HandshakeFailure> failure_;
};

}  // namespace

std::unique_ptr<LibrarySession> make_library_session(std::unique_ptr<Connection> connection) {
  return std::make_unique<OpensslSession>(std::move(connection));
}

}  // namespace millrace::tls
