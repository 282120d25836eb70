// The HTTP filters of one stream: who has had its turn, who is waited for, and the ways of the two bodies. In the stream's arena,
// and only where the connection manager has filters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/proxy/filters/body_pipe.h"
#include "dataplane/proxy/filters/http_filter.h"

namespace millrace::proxy {

class FilterChain {
 public:
  /// `configured` outlives the stream.
  FilterChain(std::span<const config::HttpFilter> configured, const FilterContext& context);
  ~FilterChain();
  FilterChain(const FilterChain&) = delete;
  FilterChain& operator=(const FilterChain&) = delete;

  using Verdict = HttpFilter::Verdict;
  /// The request passes the filters, from the first, or else from the one behind that which stopped it. kContinue: all of them.
  [[nodiscard]] Verdict pass_request(http::RequestHead& head, bool end_stream, Instant now);
  /// After kAwaitBody: the filter that asked for it sees it; then as pass_request().
  [[nodiscard]] Verdict pass_whole_request(http::RequestHead& head, const stream::Chain& body, Instant now);
  /// After kAwaitBody.
  [[nodiscard]] std::size_t body_limit() const { return made_[passed_ - 1]->body_limit(); }

  /// The response passes the filters, the last one first. Once. False: no memory.
  [[nodiscard]] bool pass_response(http::ResponseHead& head, bool end_stream, Instant now);

  /// Active or not is known when the heads have passed.
  [[nodiscard]] BodyPipe& request_body() { return request_body_; }
  [[nodiscard]] BodyPipe& response_body() { return response_body_; }

  /// The stream is over.
  void end(Instant now);

 private:
  [[nodiscard]] bool make_next();

  const std::span<const config::HttpFilter> configured_;
  FilterContext context_;
  std::span<HttpFilter*> made_;  // as configured_, up to passed_; null: not in this stream
  std::size_t passed_ = 0;       // of configured_: had their turn
  BodyPipe request_body_;
  BodyPipe response_body_;
};

}  // namespace millrace::proxy
