#include "dataplane/proxy/hedged_try.h"

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/connection_pool.h"

namespace millrace::proxy {

HedgedTry::HedgedTry(ActiveStream& stream, UpstreamRequest& request, ConnectionPool& pool, const UpstreamAddresses& addresses)
    : stream_(stream), request_(request), pool_(pool), addresses_(addresses) {
  pool_.pin();
  request_.hand_over(*this);
}

HedgedTry::~HedgedTry() { pool_.unpin(); }

Arena& HedgedTry::arena() { return stream_.arena(); }

bool HedgedTry::rejects_response(http::ResponseHead& head, bool end_stream, Instant now) {
  return stream_.rejects_hedge(*this, head, end_stream, now);
}

void HedgedTry::on_upstream_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now) {
  stream_.on_hedge_failure(*this, failure, transport_failure, now);
}

}  // namespace millrace::proxy
