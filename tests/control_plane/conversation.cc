#include "tests/control_plane/conversation.h"

#include <algorithm>
#include <utility>

namespace millrace::test {

std::optional<Heard> Conversation::hear(const std::string& bytes) {
  auto request = decode_request(form_, bytes);
  if (!request) return std::nullopt;
  if (request->type_url.empty()) request->type_url = type_url_;  // a stream of one type needs not say it
  Heard heard{.request = std::move(*request), .verdict = {}};
  const Request& said = heard.request;
  auto& subscription = subscriptions_[said.type_url];
  if (!subscription) subscription = make_subscription(form_, said.type_url, style_);
  subscription->take(said);
  // Requests after the first answer may carry the nonce of a response that was judged before: they only change what is asked for.
  if (const auto sent = sent_.find(said.nonce); sent != sent_.end() && !std::exchange(sent->second.answered, true))
    heard.verdict = Verdict{.type_url = sent->second.type_url, .version = sent->second.version, .rejection = said.rejection};
  return heard;
}

std::optional<std::string> Conversation::answer(const std::string& type_url, const TypeState& state) {
  const auto subscription = subscriptions_.find(type_url);
  if (subscription == subscriptions_.end()) return std::nullopt;
  auto response = subscription->second->due(state);
  if (!response) return std::nullopt;
  return say(std::move(*response));
}

std::string Conversation::say(Response response) {
  if (response.nonce.empty()) response.nonce = next_nonce();
  remember(response);
  return encode_response(form_, response);
}

bool Conversation::repeat(const std::string& bytes) {
  const auto response = decode_response(form_, bytes);
  if (!response) return false;
  remember(*response);
  return true;
}

void Conversation::remember(const Response& response) {
  sent_.insert_or_assign(response.nonce, Sent{.type_url = response.type_url, .version = response.version});
  if (const auto subscription = subscriptions_.find(response.type_url); subscription != subscriptions_.end())
    subscription->second->sent(response.nonce);
}

bool Conversation::unanswered(const std::string& type_url) const {
  return std::ranges::any_of(sent_,
                             [&](const auto& entry) { return entry.second.type_url == type_url && !entry.second.answered; });
}

std::vector<std::string> Conversation::types() const {
  std::vector<std::string> types;
  for (const auto& [type_url, subscription] : subscriptions_) types.push_back(type_url);
  return types;
}

std::string Conversation::next_nonce() { return std::to_string(id_) + "-" + std::to_string(++responses_); }

}  // namespace millrace::test
