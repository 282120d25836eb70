#include "tests/control_plane/journal.h"

#include <algorithm>

namespace millrace::test {

void Journal::record(const Conversation& conversation, const Heard& heard) {
  const char* form = conversation.form() == Form::kDelta ? "delta" : "sotw";
  requests_.push_back({{"stream", conversation.id()}, {"form", form}, {"request", heard.request.text}});
  if (heard.verdict) verdicts_.push_back(*heard.verdict);
}

nlohmann::ordered_json Journal::requests(std::size_t first) const {
  auto list = nlohmann::ordered_json::array();
  for (std::size_t i = first; i < requests_.size(); ++i) list.push_back(requests_[i]);
  return list;
}

nlohmann::ordered_json Journal::last(const std::string& type_url) const {
  nlohmann::ordered_json found{{"ack", nullptr}, {"nack", nullptr}};
  for (const Verdict& verdict : verdicts_) {
    if (verdict.type_url != type_url) continue;
    if (verdict.rejection) {
      found["nack"] = {{"version", verdict.version}, {"code", verdict.rejection->code}, {"message", verdict.rejection->message}};
    } else {
      found["ack"] = {{"version", verdict.version}};
    }
  }
  return found;
}

bool Journal::judged(const std::string& type_url, const std::string& version, bool accepted) const {
  return std::ranges::any_of(verdicts_, [&](const Verdict& verdict) {
    return verdict.type_url == type_url && verdict.version == version && !verdict.rejection == accepted;
  });
}

}  // namespace millrace::test
