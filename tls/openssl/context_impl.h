// What a Context is made of. Not changed after Context::make(), but for the ticket keys, which lock themselves.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <vector>

#include "tls/context.h"
#include "tls/openssl/certificate_choice.h"
#include "tls/openssl/handles.h"
#include "tls/openssl/own_certificate.h"
#include "tls/openssl/peer_certificates.h"
#include "tls/openssl/ticket_keys.h"
#include "tls/openssl/trust.h"

namespace millrace::tls {

struct Context::Impl {
  Role role = Role::kServer;
  SslContextHandle ssl;  // holds the first certificate, the authorities and all that is alike in every handshake
  std::vector<OwnCertificate> own;
  std::shared_ptr<const std::vector<CertificateFacts>> own_facts;  // sessions hold it, not the context with its keys
  CertificateChoice choice;                                        // a server's; points to `own`
  Trust trust;
  std::unique_ptr<PeerCertificates> peers = std::make_unique<PeerCertificates>();
  std::unique_ptr<TicketKeys> ticket_keys;  // a server's that gives tickets
  std::vector<std::uint8_t> protocols;      // as on the wire
  ContextConfig parameters;                 // versions, ciphers, curves, signature algorithms, and nothing else
  std::string server_name;                  // a client's
  bool require_server_name = false;         // a server's
  bool resume = false;                      // a client's
  bool keep_records = false;
  std::function<std::int64_t()> clock;
  /// Sessions know by it whether they are of this context: an address alone might come again.
  std::shared_ptr<const char> identity = std::make_shared<const char>('\0');

  /// Seconds since 1970.
  [[nodiscard]] std::int64_t now() const { return clock ? clock() : std::time(nullptr); }
};

}  // namespace millrace::tls
