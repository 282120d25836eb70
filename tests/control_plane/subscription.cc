#include "tests/control_plane/subscription.h"

#include <algorithm>
#include <utility>

namespace millrace::test {
namespace {

constexpr const char* kEverything = "*";

}  // namespace

std::optional<Response> Subscription::due(const TypeState& state) {
  if (unanswered_) return std::nullopt;
  return difference(state);
}

void Subscription::sent(const std::string& nonce) {
  last_nonce_ = nonce;
  unanswered_ = true;
}

bool Subscription::settle(const Request& request) {
  if (request.nonce.empty()) return true;
  if (request.nonce != last_nonce_) return false;
  unanswered_ = false;
  return true;
}

void WorldSubscription::take(const Request& request) {
  if (!settle(request)) return;
  if (!started_) claimed_version_ = request.version_info;
  started_ = true;
  if (request.rejection && style_.resends_after_nack) dirty_ = true;
  std::set<std::string> names(request.names.begin(), request.names.end());
  const bool everything = names.erase(kEverything) > 0;
  ever_named_ = ever_named_ || !request.names.empty();
  const bool wildcard = everything || (!ever_named_ && is_wildcard_type(type_url_));
  dirty_ = dirty_ || (wildcard && !wildcard_) || !std::ranges::includes(names_, names);
  wildcard_ = wildcard;
  names_ = std::move(names);
}

std::optional<Response> WorldSubscription::difference(const TypeState& state) {
  if (!wildcard_ && names_.empty()) return std::nullopt;
  const std::optional<std::string> claimed = std::exchange(claimed_version_, std::nullopt);
  const bool known = style_.skips_known_version && claimed && *claimed == state.version;
  if (!known && !dirty_ && told_generation_ == state.generation) return std::nullopt;
  dirty_ = false;
  told_generation_ = state.generation;
  if (known) return std::nullopt;
  Response response{.type_url = type_url_, .version = state.version, .nonce = {}, .resources = {}, .removed = {}};
  for (const auto& [name, resource] : state.resources) {
    if (wildcard_ || names_.contains(name)) response.resources.push_back(resource);
  }
  return response;
}

void DeltaSubscription::take(const Request& request) {
  settle(request);  // what is subscribed counts in any case: it is told once
  if (!std::exchange(started_, true)) {
    known_ = request.initial_versions;
    if (request.names.empty() && is_wildcard_type(type_url_)) {
      wildcard_ = true;
      told_all_ = false;
    }
  }
  subscribe(request);
  unsubscribe(request);
}

void DeltaSubscription::subscribe(const Request& request) {
  for (const std::string& name : request.names) {
    if (name == kEverything) {
      wildcard_ = true;
      told_all_ = false;
      continue;
    }
    names_.insert(name);
    if (request.initial_versions.contains(name)) continue;
    known_.erase(name);  // asked for again is told again
    asked_.insert(name);
  }
}

void DeltaSubscription::unsubscribe(const Request& request) {
  for (const std::string& name : request.unsubscribed) {
    if (name == kEverything) {
      wildcard_ = false;
      std::erase_if(known_, [&](const auto& entry) { return !names_.contains(entry.first); });
      continue;
    }
    names_.erase(name);
    asked_.erase(name);
    known_.erase(name);  // of a wildcard it is told again: the client may have dropped it
  }
}

std::optional<Response> DeltaSubscription::difference(const TypeState& state) {
  Response response{.type_url = type_url_, .version = state.version, .nonce = {}, .resources = {}, .removed = {}};
  for (const auto& [name, resource] : state.resources) {
    const auto known = known_.find(name);
    if (wants(name) && (known == known_.end() || known->second != resource.version)) response.resources.push_back(resource);
  }
  for (const auto& [name, version] : known_) {
    if (!state.resources.contains(name)) response.removed.push_back(name);
  }
  for (const std::string& name : asked_) {
    if (!state.resources.contains(name) && !known_.contains(name)) response.removed.push_back(name);
  }
  if (response.resources.empty() && response.removed.empty() && told_all_) return std::nullopt;
  for (const std::string& name : response.removed) known_.erase(name);
  for (const Resource& resource : response.resources) known_[resource.name] = resource.version;
  asked_.clear();
  told_all_ = true;
  return response;
}

std::unique_ptr<Subscription> make_subscription(Form form, const std::string& type_url, const Style& style) {
  if (form == Form::kDelta) return std::make_unique<DeltaSubscription>(type_url, style);
  return std::make_unique<WorldSubscription>(type_url, style);
}

}  // namespace millrace::test
