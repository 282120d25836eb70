// Reads the header of the PROXY protocol, versions 1 and 2, at the beginning of a connection: who the client is, as a proxy
// before us knows it. Source: haproxy.org's proxy-protocol.txt, 2.1 and 2.2. Checked: the form, the family, and that the
// addresses are of one host each. Not read: checksums and other extensions, which are passed on as they are.
//
// Holds at most its own kHeldBytes and the extensions that are wanted; takes its input under any split.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/model/proxy_protocol.h"
#include "dataplane/base/addresses.h"

namespace millrace::proxy {

class ProxyProtocolReader {
 public:
  enum class Status : std::uint8_t {
    kNeedMore,
    kDone,
    kAbsent,      ///< the connection begins with something else: held() and what was not taken
    kDisallowed,  ///< a header of a version that is not taken
    kMalformed,
  };
  enum class Version : std::uint8_t { kNone, kV1, kV2 };
  struct Addresses {
    SocketAddress source;       ///< the client
    SocketAddress destination;  ///< what it has connected to
  };

  /// What the longest line of version 1 takes; more than all of version 2 before its extensions.
  static constexpr std::size_t kHeldBytes = 107;

  explicit ProxyProtocolReader(const config::ProxyProtocolIn& wanted) : wanted_(wanted) {}

  /// Takes bytes up to the end of the header; returns how many. Nothing any more once the status is not kNeedMore.
  std::size_t feed(std::span<const std::uint8_t> bytes);

  [[nodiscard]] Status status() const { return status_; }
  /// As far as the first bytes tell.
  [[nodiscard]] Version version() const { return version_; }
  /// Of kDone. Nothing: the header names none (LOCAL, UNKNOWN), the connection is from whom it comes.
  [[nodiscard]] const std::optional<Addresses>& addresses() const { return addresses_; }
  /// Of kDone: the extensions that are kept, type, length and value of each, as they came.
  [[nodiscard]] std::string& extensions() { return extensions_; }
  /// Of kAbsent, or before it: what was taken before it was known to be no header.
  [[nodiscard]] std::span<const std::uint8_t> held() const { return {held_.data(), held_bytes_}; }

 private:
  void take(std::uint8_t byte);
  void take_signature();
  void take_line();
  void take_frame();
  void take_addresses();
  [[nodiscard]] std::size_t take_rest(std::span<const std::uint8_t> bytes);
  void take_extension(std::uint8_t byte);
  void begin(Version version, bool allowed);
  [[nodiscard]] bool parse_line(std::string_view line);
  [[nodiscard]] bool is_behind_addresses() const;

  const config::ProxyProtocolIn& wanted_;
  Status status_ = Status::kNeedMore;
  Version version_ = Version::kNone;
  std::array<std::uint8_t, kHeldBytes> held_{};
  std::size_t held_bytes_ = 0;
  std::size_t address_bytes_ = 0;            // of version 2, behind its frame
  std::size_t rest_ = 0;                     // of version 2: bytes behind the addresses that are still to come
  std::array<std::uint8_t, 3> extension_{};  // type and length of the one that is read
  std::size_t extension_bytes_ = 0;          // taken of these
  std::size_t value_bytes_ = 0;              // of its value that are still to come
  std::optional<Addresses> addresses_;
  std::string extensions_;
};

}  // namespace millrace::proxy
