// One GET over HTTP/1.1: what is asked of whom, what comes back, and who can ask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"
#include "tls/context.h"

namespace millrace::agent {

/// Larger answers are errors.
inline constexpr std::size_t kMaxHttpBodyBytes = 1024 * 1024;
inline constexpr std::size_t kMaxHttpHeaderBytes = 64 * 1024;

struct HttpGet {
  SocketAddress address;
  std::shared_ptr<const tls::Context> tls;  ///< null: plain text
  std::string server_name;                  ///< SNI; empty: none
  std::string expected_name;                ///< that the certificate has to have, in place of the context's; empty: those
  std::string authority;
  std::string path;
  Duration connect_timeout;
  Duration timeout;
};

struct HttpAnswer {
  std::uint16_t status = 0;  ///< 0: none came, see `error`
  std::string body = {};
  std::string error = {};
};

/// For one thread.
class HttpGetter {
 public:
  using Done = std::function<void(HttpAnswer)>;

  virtual ~HttpGetter() = default;
  /// Calls `done` once: at once, or later from where the getter is driven; never after its end.
  virtual void get(const HttpGet& request, Done done) = 0;
};

}  // namespace millrace::agent
