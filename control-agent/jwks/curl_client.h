// GETs by libcurl, without waiting for any of them: the owner waits for all together. Each has a connection of its own, over the
// host's network, past whatever proxies its environment names.
#pragma once

#include <memory>
#include <vector>

#include "control-agent/jwks/http_get.h"
#include "dataplane/base/time.h"

namespace millrace::agent {

class CurlClient final : public HttpGetter {
 public:
  /// Throws std::runtime_error where libcurl cannot be used at all.
  CurlClient();
  /// Whoever still waits hears nothing more.
  ~CurlClient() override;
  CurlClient(const CurlClient&) = delete;
  CurlClient& operator=(const CurlClient&) = delete;

  void get(const HttpGet& request, Done done) override;

  /// Waits until there is something to do, or wake() is called, for `most` at most; then does it.
  void wait(Duration most);
  /// Ends the wait() that is under way, or else the next. Any thread.
  void wake();

 private:
  struct Transfer;

  void finish(void* handle, int result);

  void* multi_;  // a CURLM
  std::vector<std::unique_ptr<Transfer>> transfers_;
};

}  // namespace millrace::agent
