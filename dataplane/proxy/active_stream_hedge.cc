// Tries that go on beside their successors, when the policy wants that of a try whose time has run out (hedged_try.h).
#include <memory>
#include <new>

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/hedged_try.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/stream_retries.h"

namespace millrace::proxy {

// False: this try ends, as without hedging. One that has not even taken the whole request is not worth waiting for.
bool ActiveStream::hedge(Instant now) {
  if (!retries_->hedges_on_try_timeout() || !retries_->is_open() || !request_sent_ || !upstream_->is_open()) return false;
  void* try_memory = arena_.allocate(sizeof(HedgedTry), alignof(HedgedTry));
  void* request_memory = arena_.allocate(sizeof(UpstreamRequest), alignof(UpstreamRequest));
  if (try_memory == nullptr || request_memory == nullptr) return false;
  pool_->endpoint_stats().rq_timeout.add();
  upstream_->note_timeout(now);
  retries_->uncount();
  if (!take_retry()) {
    retries_->give_up();
    return true;  // and goes on alone
  }
  retries_->hedges().push_back(*::new (try_memory)
                                   HedgedTry(*this, *upstream_, *pool_, {info_.upstream_local, info_.upstream_remote}));
  upstream_ = ::new (request_memory) UpstreamRequest(*this);
  request_sent_ = false;
  try_timed_out_ = true;
  retries_->wait(Duration(), now);
  return true;
}

// The request itself is in no state any more.
void ActiveStream::end_hedge(HedgedTry& hedge) {
  retries_->hedges().remove(hedge);
  std::destroy_at(&hedge);
}

void ActiveStream::end_hedges(Instant now) {
  if (retries_ == nullptr) return;
  while (!retries_->hedges().empty()) {
    HedgedTry& hedge = retries_->hedges().front();
    hedge.request().cancel(now);
    end_hedge(hedge);
  }
}

// A bad one is not waited for, as long as another can still become the answer: that one was its retry.
bool ActiveStream::rejects_hedge(HedgedTry& hedge, const http::ResponseHead& head, bool end_stream, Instant now) {
  const bool others =
      upstream_->is_active() || retries_->is_waiting() || &retries_->hedges().front() != &retries_->hedges().back();
  if (others && retries_->retry().wants(head)) {
    hedge.pool().endpoint_stats().rq_error.add();
    hedge.request().cancel(now);
    end_hedge(hedge);
    return true;
  }
  if (retries_->is_counted()) cluster_->stats().upstream_rq_retry_success.add();
  upstream_->cancel(now);
  retries_->give_up();
  upstream_ = &hedge.request();
  upstream_->hand_over(*this);
  take(hedge.pool());
  info_.upstream_local = hedge.addresses().local;
  info_.upstream_remote = hedge.addresses().remote;
  end_hedge(hedge);
  request_body_.clear();
  request_sent_ = true;
  return follow_redirect(head, end_stream, now);
}

void ActiveStream::on_hedge_failure(HedgedTry& hedge, UpstreamFailure failure, std::string_view transport_failure, Instant now) {
  end_hedge(hedge);
  if (upstream_->is_active() || retries_->is_waiting() || !retries_->hedges().empty()) return;
  on_upstream_failure(failure, transport_failure, now);
}

}  // namespace millrace::proxy
