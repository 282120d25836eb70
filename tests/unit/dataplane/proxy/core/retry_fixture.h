// Policies of retries, and origins that fail: what the tests of retries share.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/compile/format_compiler.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {

inline constexpr std::string_view kUnavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
inline constexpr Duration kLongestBackOff = Duration::milliseconds(250);
inline constexpr SocketAddress kSecond{IpAddress::v4(198, 18, 1, 2), 8080};

using ChangePolicy = std::function<void(config::RetryPolicy&)>;

/// The route's policy: these conditions, and what else `change` wants.
inline void set_policy(config::Route& route, std::initializer_list<config::RetryCondition> conditions,
                       const ChangePolicy& change = {}) {
  auto policy = std::make_shared<config::RetryPolicy>();
  for (const config::RetryCondition condition : conditions) policy->conditions.add(condition);
  if (change) change(*policy);
  action_of(route).retry = policy;
}

/// "code flags details attempts|" of each request.
inline void log_attempts(config::Listener& listener) {
  listener.chains[0].http()->access_logs[0].format =
      *config::compile_format("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n");
}

inline ProxyHarness::Change with_policy(std::initializer_list<config::RetryCondition> conditions, ChangePolicy change = {}) {
  return [conditions = std::vector(conditions), change = std::move(change)](config::Listener& listener, config::Cluster&,
                                                                            config::Route& route) {
    set_policy(route, {}, [&](config::RetryPolicy& policy) {
      for (const config::RetryCondition condition : conditions) policy.conditions.add(condition);
      if (change) change(policy);
    });
    log_attempts(listener);
  };
}

inline ProxyHarness::Change retries_5xx(std::uint32_t retries = 1) {
  return with_policy({config::RetryCondition::k5xx}, [=](config::RetryPolicy& policy) { policy.num_retries = retries; });
}

/// Answers the first `failures` requests that are complete with `failure`, all others with 200.
inline void fail_first(Origin& origin, int failures, std::string_view failure = kUnavailable) {
  origin.on_bytes([left = failures, failure = std::string(failure)](OriginConnection& connection) mutable {
    if (connection.received().find("\r\n\r\n") == std::string::npos) return;
    connection.clear_received();
    connection.send(left-- > 0 ? failure : ok("good"));
  });
}

/// What `client` has after all back-offs.
inline const std::string& outcome(ProxyHarness& proxy, Client& client) {
  proxy.advance(kLongestBackOff * 4);
  return client.received();
}

/// The head of a request with a body of that many bytes.
inline std::string post(std::size_t bytes) {
  return "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: " + std::to_string(bytes) + "\r\n\r\n";
}

}  // namespace millrace::proxy::test
