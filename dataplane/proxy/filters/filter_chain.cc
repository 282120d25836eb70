#include "dataplane/proxy/filters/filter_chain.h"

#include <memory>

#include "dataplane/proxy/filters/registry.h"

namespace millrace::proxy {

const config::RouteFilter* find_route_filter(const MutationLevels& levels, std::string_view name) {
  const auto look = [&](const auto* level) -> const config::RouteFilter* {
    return level == nullptr || level->filters.entries.empty() ? nullptr : level->filters.find(name);
  };
  if (const auto* entry = look(levels.cluster)) return entry;
  if (const auto* entry = look(levels.route)) return entry;
  if (const auto* entry = look(levels.virtual_host)) return entry;
  return look(levels.table);
}

FilterChain::FilterChain(std::span<const config::HttpFilter> configured, const FilterContext& context)
    : configured_(configured),
      context_(context),
      made_(context.arena.make_array<HttpFilter*>(configured.size())),
      request_body_(context_),
      response_body_(context_) {}

FilterChain::~FilterChain() {
  for (std::size_t i = 0; i < passed_; ++i) {
    if (made_[i] != nullptr) std::destroy_at(made_[i]);
  }
}

// A filter is made when its turn comes: what was before it may have chosen another route.
bool FilterChain::make_next() {
  if (made_.empty()) return false;  // no memory in the constructor
  const config::HttpFilter& filter = configured_[passed_];
  const config::RouteFilter* of_route = find_route_filter(context_.levels, filter.name);
  const bool disabled = of_route == nullptr ? filter.disabled : of_route->disabled;
  const MadeFilter made = disabled ? MadeFilter::none() : make_filter(filter, context_);
  if (made.no_memory) return false;
  made_[passed_++] = made.filter;
  return true;
}

HttpFilter::Verdict FilterChain::pass_request(http::RequestHead& head, bool end_stream, Instant now) {
  while (passed_ < configured_.size()) {
    if (!make_next()) return Verdict::kNoMemory;
    HttpFilter* filter = made_[passed_ - 1];
    if (filter == nullptr) continue;
    const Verdict verdict = filter->on_request(head, end_stream, now);
    if (verdict == Verdict::kAnswered || verdict == Verdict::kNoMemory) return verdict;
    if (BodyFilter* body = end_stream ? nullptr : filter->request_body(); body != nullptr && !request_body_.add(*body)) {
      return Verdict::kNoMemory;
    }
    if (verdict != Verdict::kContinue) return verdict;
  }
  return Verdict::kContinue;
}

HttpFilter::Verdict FilterChain::pass_whole_request(http::RequestHead& head, const stream::Chain& body, Instant now) {
  const Verdict verdict = made_[passed_ - 1]->on_whole_request(head, body, now);
  return verdict == Verdict::kContinue ? pass_request(head, false, now) : verdict;
}

bool FilterChain::pass_response(http::ResponseHead& head, bool end_stream, Instant now) {
  while (passed_ < configured_.size()) {
    if (!make_next()) return false;
  }
  for (std::size_t i = passed_; i-- > 0;) {
    if (made_[i] == nullptr) continue;
    if (!made_[i]->on_response(head, end_stream, now)) return false;
    if (BodyFilter* body = end_stream ? nullptr : made_[i]->response_body(); body != nullptr && !response_body_.add(*body))
      return false;
  }
  return true;
}

void FilterChain::end(Instant now) {
  for (std::size_t i = 0; i < passed_; ++i) {
    if (made_[i] != nullptr) made_[i]->on_end(now);
  }
}

}  // namespace millrace::proxy
