#include "control-agent/jwks/curl_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "tls/library_client.h"

namespace millrace::agent {
namespace {

constexpr int kMostWaitMilliseconds = 60'000;

/// Initialised once, for the life of the process.
bool has_library() {
  static const bool kReady = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return kReady;
}

struct FreeEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using EasyHandle = std::unique_ptr<CURL, FreeEasy>;
using ListHandle = std::unique_ptr<curl_slist, FreeList>;

// Zero would mean that there is no limit.
long milliseconds(Duration duration) {
  return static_cast<long>(std::clamp<std::int64_t>(duration.to_milliseconds(), 1, 86'400'000));
}

}  // namespace

/// One GET.
struct CurlClient::Transfer {
  EasyHandle easy;
  ListHandle fields;
  ListHandle connect_to;
  std::optional<tls::LibraryClient> tls;
  std::array<char, CURL_ERROR_SIZE> error{};
  std::size_t header_bytes = 0;
  std::string body;
  std::string too_large;  // what is: a text for the error
  Done done;

  /// False: libcurl refuses.
  [[nodiscard]] bool prepare(const HttpGet& request);
  [[nodiscard]] HttpAnswer answer(CURLcode result);

  // Less than it was given makes libcurl give up.
  static std::size_t on_body(char* bytes, std::size_t one, std::size_t count, void* argument) {
    Transfer& transfer = *static_cast<Transfer*>(argument);
    if (transfer.body.size() + one * count > kMaxHttpBodyBytes) {
      transfer.too_large = "the body of the answer has more than " + std::to_string(kMaxHttpBodyBytes) + " bytes";
      return 0;
    }
    transfer.body.append(bytes, one * count);
    return one * count;
  }
  static std::size_t on_header(char*, std::size_t one, std::size_t count, void* argument) {
    Transfer& transfer = *static_cast<Transfer*>(argument);
    transfer.header_bytes += one * count;
    if (transfer.header_bytes <= kMaxHttpHeaderBytes) return one * count;
    transfer.too_large = "the header fields of the answer have more than " + std::to_string(kMaxHttpHeaderBytes) + " bytes";
    return 0;
  }
  static CURLcode on_tls_context(CURL*, void* ssl_context, void* argument) {
    return static_cast<Transfer*>(argument)->tls->configure(ssl_context) ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
  }
};

// The URL names the server for SNI, which an address never is, and connect_to the endpoint.
bool CurlClient::Transfer::prepare(const HttpGet& request) {
  easy.reset(curl_easy_init());
  if (easy == nullptr) return false;
  bool good = true;
  const auto set = [&](CURLoption option, auto value) { good = good && curl_easy_setopt(easy.get(), option, value) == CURLE_OK; };
  const std::string address = request.address.to_string();
  std::string host = address;
  if (request.tls != nullptr && !request.server_name.empty()) {
    host = request.server_name + ":" + std::to_string(request.address.port);
    connect_to.reset(curl_slist_append(nullptr, ("::" + address).c_str()));
    good = connect_to != nullptr;
    set(CURLOPT_CONNECT_TO, connect_to.get());
  }
  set(CURLOPT_URL, ((request.tls == nullptr ? "http://" : "https://") + host + request.path).c_str());
  fields.reset(curl_slist_append(nullptr, ("host: " + request.authority).c_str()));
  good = good && fields != nullptr;
  set(CURLOPT_HTTPHEADER, fields.get());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_FRESH_CONNECT, 1L);  // a connection of another TLS context is none of ours
  set(CURLOPT_FORBID_REUSE, 1L);
  set(CURLOPT_TIMEOUT_MS, milliseconds(request.timeout));
  set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(std::min(request.connect_timeout, request.timeout)));
  set(CURLOPT_ERRORBUFFER, error.data());
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  if (request.tls == nullptr) return good;
  tls.emplace(request.tls, request.expected_name);
  // The context decides whom to believe, in a callback of its own: nothing of libcurl's judgement is wanted.
  set(CURLOPT_SSL_VERIFYPEER, 0L);
  set(CURLOPT_SSL_VERIFYHOST, 0L);
  set(CURLOPT_CAINFO, static_cast<const char*>(nullptr));
  set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  set(CURLOPT_SSL_SESSIONID_CACHE, 0L);
  set(CURLOPT_SSL_CTX_FUNCTION, &Transfer::on_tls_context);
  set(CURLOPT_SSL_CTX_DATA, static_cast<void*>(this));
  return good;
}

HttpAnswer CurlClient::Transfer::answer(CURLcode result) {
  if (result == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    return {.status = static_cast<std::uint16_t>(status), .body = std::move(body), .error = {}};
  }
  if (!too_large.empty()) return {.status = 0, .body = {}, .error = too_large};
  if (tls && !tls->refusal().empty()) return {.status = 0, .body = {}, .error = tls->refusal()};
  return {.status = 0, .body = {}, .error = error[0] != '\0' ? error.data() : curl_easy_strerror(result)};
}

CurlClient::CurlClient() : multi_(has_library() ? curl_multi_init() : nullptr) {
  if (multi_ == nullptr) throw std::runtime_error("libcurl cannot be initialised: there is not enough memory");
}

CurlClient::~CurlClient() {
  for (const auto& transfer : transfers_) curl_multi_remove_handle(multi_, transfer->easy.get());
  transfers_.clear();
  curl_multi_cleanup(multi_);
}

void CurlClient::get(const HttpGet& request, Done done) {
  auto transfer = std::make_unique<Transfer>();
  if (!transfer->prepare(request) || curl_multi_add_handle(multi_, transfer->easy.get()) != CURLM_OK) {
    return done({.status = 0, .body = {}, .error = "libcurl refuses the request"});
  }
  transfer->done = std::move(done);
  transfers_.push_back(std::move(transfer));
}

void CurlClient::wait(Duration most) {
  const auto timeout = static_cast<int>(std::clamp<std::int64_t>(most.to_milliseconds(), 0, kMostWaitMilliseconds));
  int running = 0;
  curl_multi_perform(multi_, &running);
  curl_multi_poll(multi_, nullptr, 0, transfers_.size() > static_cast<std::size_t>(running) ? 0 : timeout, nullptr);
  curl_multi_perform(multi_, &running);
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg == CURLMSG_DONE) finish(message->easy_handle, message->data.result);
  }
}

void CurlClient::wake() { curl_multi_wakeup(multi_); }

void CurlClient::finish(void* handle, int result) {
  const auto at = std::ranges::find(transfers_, handle, [](const auto& transfer) { return transfer->easy.get(); });
  if (at == transfers_.end()) return;
  const std::unique_ptr<Transfer> transfer = std::move(*at);
  transfers_.erase(at);
  curl_multi_remove_handle(multi_, handle);
  transfer->done(transfer->answer(static_cast<CURLcode>(result)));
}

}  // namespace millrace::agent
