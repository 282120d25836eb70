#include "control-agent/last_good/stand_in.h"

#include <algorithm>
#include <utility>

namespace millrace::agent {
namespace {

XdsResponse empty_response(const KindKey& kind) {
  return {
      .type_url = std::string(type_url(kind.type)), .version = {}, .nonce = {}, .resources = {}, .removed = {}, .is_delta = true};
}

XdsResource to_resource(const std::string& name, const LastGood::Saved& saved) {
  return {.name = name, .version = saved.version, .body = saved.body, .has_body = true, .ttl = {}};
}

}  // namespace

void StandIn::on_asked(const KindKey& kind, Instant now) {
  if (!last_good_.empty()) asked_.try_emplace(kind, Asked{.since = now});
}

void StandIn::on_closed(const std::string& source) { closed_.insert(source); }

void StandIn::on_answered(const KindKey& kind) {
  closed_.erase(kind.source);
  if (const auto at = asked_.find(kind); at != asked_.end()) at->second.answered = true;
}

// Who lets one question wait lets all of them wait.
bool StandIn::is_silent(const std::string& source, Instant now) const {
  return closed_.contains(source) || std::ranges::any_of(asked_, [&](const auto& entry) {
           const auto& [kind, asked] = entry;
           return kind.source == source && !asked.answered && now >= asked.since + kPatience;
         });
}

bool StandIn::speaks_for(const KindKey& kind, Instant now) const {
  const auto at = asked_.find(kind);
  return at != asked_.end() && !at->second.answered && is_silent(kind.source, now);
}

Instant StandIn::next_timeout(Instant now) const {
  Instant next = Instant::never();
  for (const auto& [kind, asked] : asked_) {
    const Instant end = asked.since + kPatience;
    if (!asked.answered && end > now) next = std::min(next, end);
  }
  return next;
}

const LastGood::Kind* StandIn::find(const KindKey& kind) const {
  const auto at = last_good_.kinds.find(kind);
  return at == last_good_.kinds.end() ? nullptr : &at->second;
}

bool StandIn::knows(const KindKey& kind, const std::string& name) const {
  const LastGood::Kind* known = find(kind);
  return known != nullptr && known->contains(name);
}

XdsResponse StandIn::say_all(const KindKey& kind) const {
  XdsResponse out = empty_response(kind);
  if (const LastGood::Kind* known = find(kind)) {
    for (const auto& [name, saved] : *known) out.resources.push_back(to_resource(name, saved));
  }
  return out;
}

XdsResponse StandIn::say(const KindKey& kind, const std::set<std::string>& names) const {
  XdsResponse out = empty_response(kind);
  const LastGood::Kind* known = find(kind);
  for (const std::string& name : names) {
    const auto at = known == nullptr ? LastGood::Kind::const_iterator() : known->find(name);
    if (known != nullptr && at != known->end()) {
      out.resources.push_back(to_resource(name, at->second));
    } else {
      out.removed.push_back(name);
    }
  }
  return out;
}

}  // namespace millrace::agent
