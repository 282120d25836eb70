// The keys of session tickets (RFC 5077, RFC 8446 4.6.1): as configured, or our own, which change while the process lives. Shared
// by all threads that run handshakes of a context.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/ssl.h>

#include "tls/secret.h"

namespace millrace::tls {

struct TicketKey {
  static constexpr std::size_t kNameBytes = 16;
  static constexpr std::size_t kHmacBytes = 32;
  static constexpr std::size_t kAesBytes = 32;
  static constexpr std::size_t kBytes = kNameBytes + kHmacBytes + kAesBytes;

  std::array<std::uint8_t, kNameBytes> name{};  ///< stands in the ticket
  Secret hmac;                                  ///< HMAC-SHA256
  Secret aes;                                   ///< AES-256-CBC

  /// Of kBytes: name, HMAC, AES.
  [[nodiscard]] static TicketKey read(std::span<const std::uint8_t, kBytes> bytes);
};

class TicketKeys {
 public:
  struct Found {
    TicketKey key;
    bool renew = false;  ///< it seals no longer: the client should get a new ticket
  };

  /// The first seals, all of them open.
  explicit TicketKeys(std::vector<TicketKey> configured) : keys_(std::move(configured)) {}
  /// Random ones. A key seals for half of `lifetime_seconds`, at most 12 hours, and opens for as long again.
  explicit TicketKeys(std::int64_t lifetime_seconds);

  /// `now` in seconds since 1970. Empty: no randomness, so no ticket.
  [[nodiscard]] std::optional<TicketKey> sealing(std::int64_t now);
  [[nodiscard]] std::optional<Found> find(std::span<const std::uint8_t, TicketKey::kNameBytes> name, std::int64_t now);

 private:
  void rotate(std::int64_t now);  // under the lock

  std::mutex mutex_;
  std::vector<TicketKey> keys_;      // the sealing one first
  std::int64_t period_seconds_ = 0;  // 0: configured keys, which do not change
  std::int64_t sealing_since_ = 0;
};

/// OpenSSL's ticket callbacks (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)) with these keys: 1 good, 2 good but to be renewed, 0 no
/// such key or no ticket, -1 no memory.
int seal_ticket(TicketKeys& keys, std::int64_t now, std::uint8_t* name, std::uint8_t* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac);
int open_ticket(TicketKeys& keys, std::int64_t now, const std::uint8_t* name, const std::uint8_t* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac);

}  // namespace millrace::tls
