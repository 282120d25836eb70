// A handshake over OpenSSL with memory BIOs: bytes in, bytes out, no socket. What it leaves behind is plain: keys, numbers,
// facts; the SSL object goes, unless its records have to stay with OpenSSL. One thread at a time, any thread: helper threads run
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tls/alert.h"
#include "tls/certificate.h"
#include "tls/cipher_suite.h"
#include "tls/context.h"
#include "tls/key_schedule.h"

namespace millrace::tls {

/// What became of a client's wish for an OCSP response beside our certificate (RFC 6066 8).
enum class Staple : std::uint8_t {
  kNotAsked,
  kOmitted,  ///< there is no good one, and ocsp_staple_policy does without
  kAttached,
  kRefused,  ///< there is no good one, and the policy, or the certificate, demands one
};

/// What was agreed on, and with whom. Lives as long as the connection, and in what refers to it.
struct SessionFacts {
  Version version = Version::kTls13;
  std::string cipher;       ///< OpenSSL's name
  std::string curve;        ///< "X25519"; empty where none was used
  std::string server_name;  ///< what the client asked for; empty: nothing
  std::string protocol;     ///< ALPN; empty: none
  bool resumed = false;
  std::shared_ptr<const CertificateFacts> own;  ///< the leaf that we showed; null: none. All sessions of a context share it
  std::shared_ptr<const PeerCertificate> peer;  ///< null: it showed none. Sessions of a context with the same peer share it
  bool peer_verified = false;                   ///< its chain was verified, not merely taken
  std::string session_id;                       ///< hexadecimal
  Staple staple = Staple::kNotAsked;            ///< a server's
};

/// An end of a handshake that is no session, for counters and texts.
struct HandshakeFailure {
  enum class Reason : std::uint8_t {
    kProtocol,       ///< what came is not TLS, or not what the handshake wants
    kPeerAlert,      ///< the peer refused: `alert`
    kNoCertificate,  ///< a certificate was asked for and none came
    kUntrusted,      ///< its chain: unknown, expired, revoked
    kWrongName,      ///< none of its names will do
    kWrongHash,      ///< not pinned
    kNoStaple,       ///< the client wants an OCSP response, and we may not do without a good one
    kTruncated,      ///< the transport ended
    kInternal,       ///< no memory, no randomness
  };
  Reason reason = Reason::kProtocol;
  std::optional<Alert> alert;         ///< sent (what take_output() holds), or received with kPeerAlert
  std::string text;                   ///< OpenSSL's, or the verification's
  Staple staple = Staple::kNotAsked;  ///< a server's
};

/// A client's resumable session; opaque. Shared, since TLS 1.2 may use one again. What cannot be used, such as one of another
/// Context, of another server name, or of a peer whose certificate has expired since, is not offered: a full handshake follows.
class ClientSession;
/// Of TLS 1.3: offered once (RFC 8446 C.4); OpenSSL does not take it again.
[[nodiscard]] bool single_use(const ClientSession& session);
/// Seconds since 1970 from which on no server takes it.
[[nodiscard]] std::int64_t expiry(const ClientSession& session);

/// Records that stay with OpenSSL. Sans-I/O like all else.
class LibrarySession {
 public:
  virtual ~LibrarySession() = default;
  /// Ciphertext from the transport.
  virtual void feed(std::span<const std::uint8_t> bytes) = 0;
  /// Plaintext; 0: none, for now. Look at peer_closed() and failure() then.
  virtual std::size_t read(std::span<std::uint8_t> to) = 0;
  /// Takes all of `text`.
  virtual void write(std::span<const std::uint8_t> text) = 0;
  /// close_notify.
  virtual void close() = 0;
  /// Ciphertext for the transport.
  [[nodiscard]] virtual std::vector<std::uint8_t> take_output() = 0;
  [[nodiscard]] virtual bool peer_closed() const = 0;
  [[nodiscard]] virtual std::optional<HandshakeFailure> failure() const = 0;
  /// A client's sessions that came as tickets.
  [[nodiscard]] virtual std::vector<std::shared_ptr<ClientSession>> take_sessions() = 0;
};

/// What a finished handshake hands over.
struct Established {
  std::shared_ptr<const SessionFacts> facts;
  const CipherSuite* suite = nullptr;  ///< null: `library` has the records
  std::unique_ptr<LibrarySession> library;

  // For RecordSealer and RecordOpener.
  TrafficKeys send;
  TrafficKeys receive;
  std::uint64_t send_sequence = 0;
  std::uint64_t receive_sequence = 0;
  std::uint64_t explicit_nonce = 0;  ///< of our next record, of a suite that has one
  Secret send_secret;                ///< TLS 1.3: what key updates go on from
  Secret receive_secret;

  std::vector<std::uint8_t> unread;  ///< ciphertext that came behind the handshake
};

struct HandshakeOptions {
  std::string server_name;  ///< a client's SNI instead of the context's (auto_sni); empty: the context's
  /// auto_san_validation: has to be among the peer's DNS names (or addresses), instead of what the validation says of names, as
  /// in Envoy; empty: not asked.
  std::string expected_name;
  std::vector<std::string> protocols;      ///< ALPN instead of the context's; empty: the context's
  std::shared_ptr<ClientSession> session;  ///< to resume; null: none
};

class Handshake {
 public:
  enum class Status : std::uint8_t { kNeedMore, kDone, kFailed };

  /// Null: no memory, or a protocol among the options that ALPN cannot carry (1 to 255 bytes).
  [[nodiscard]] static std::unique_ptr<Handshake> make(std::shared_ptr<const Context> context,
                                                       const HandshakeOptions& options = {});
  virtual ~Handshake() = default;

  /// Takes what the transport brought, and goes on as far as it can; a client begins with nothing. This is where the time goes:
  /// up to several milliseconds. After kDone or kFailed not to be called any more. `ended`: nothing more will come.
  [[nodiscard]] virtual Status run(std::span<const std::uint8_t> bytes, bool ended = false) = 0;
  /// For the transport: to be sent whatever run() said.
  [[nodiscard]] virtual std::vector<std::uint8_t> take_output() = 0;
  /// After kDone, once.
  [[nodiscard]] virtual Established take_established() = 0;
  /// After kFailed.
  [[nodiscard]] virtual const HandshakeFailure& failure() const = 0;

  /// A client of TLS 1.3 after kDone: a record with a ticket, as it came, header included, in order and before any other record
  /// was left out. Its session key is known to OpenSSL alone, which is why the object has to live until the first data came.
  virtual void feed_ticket(std::span<const std::uint8_t> record) = 0;
  /// A client's new sessions, to be offered by later handshakes with the same peer.
  [[nodiscard]] virtual std::vector<std::shared_ptr<ClientSession>> take_sessions() = 0;
};

}  // namespace millrace::tls
