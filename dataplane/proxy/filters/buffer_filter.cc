// envoy.filters.http.buffer: a request goes on when all of it has come, and then says how long it is.
#include <array>

#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

class BufferFilter final : public HttpFilter {
 public:
  explicit BufferFilter(std::uint32_t limit) : limit_(limit) {}

  // What follows a switch of protocols has no end that could be waited for.
  Verdict on_request(http::RequestHead& head, bool end_stream, Instant) override {
    return end_stream || !head.upgrade.empty() ? Verdict::kContinue : Verdict::kAwaitBody;
  }
  std::size_t body_limit() const override { return limit_; }

  Verdict on_whole_request(http::RequestHead& head, const stream::Chain& body, Instant) override {
    if (head.headers.contains(http::HeaderId::kContentLength)) return Verdict::kContinue;
    std::array<char, kMaxDecimalBytes> length;
    return head.headers.set_copy(http::HeaderId::kContentLength, write_decimal(body.size(), length)) ? Verdict::kContinue
                                                                                                     : Verdict::kNoMemory;
  }

 private:
  const std::uint32_t limit_;
};

}  // namespace

MadeFilter make_filter(const config::BufferRequests& config, const FilterSite& site) {
  const auto* of_route = site.route_config<config::BufferRequests>();
  const config::BufferRequests& buffer = of_route == nullptr ? config : *of_route;
  if (!buffer.max_request_bytes) return MadeFilter::none();
  return MadeFilter::of(make_in_arena<BufferFilter>(site.context.arena, *buffer.max_request_bytes));
}

}  // namespace millrace::proxy
