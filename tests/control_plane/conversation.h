// One stream of discovery without its transport: bytes of requests in, bytes of responses out. Numbers its responses ("3-1": the
// first of stream 3) and remembers which version each of them was, so that it can say what a request accepts or rejects.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/control_plane/subscription.h"

namespace millrace::test {

/// What a request said of a response.
struct Verdict {
  std::string type_url;
  std::string version;
  std::optional<Rejection> rejection;  ///< nothing: accepted
};

struct Heard {
  Request request;
  std::optional<Verdict> verdict;  ///< nothing: it answers no response that this stream sent
};

class Conversation {
 public:
  /// `type_url`: of a stream of one type, else empty. `style` must outlive this.
  Conversation(std::uint64_t id, Form form, std::string type_url, const Style& style)
      : id_(id), form_(form), type_url_(std::move(type_url)), style_(style) {}

  /// Nothing: the bytes are no request.
  [[nodiscard]] std::optional<Heard> hear(const std::string& bytes);
  /// The response that is due to the type's subscription; nothing: none.
  [[nodiscard]] std::optional<std::string> answer(const std::string& type_url, const TypeState& state);
  /// `response` as it is, whether or not anybody asked; without a nonce it gets the next one.
  [[nodiscard]] std::string say(Response response);
  /// The bytes of a response that another control plane made, with its own nonce. False: no response of this form.
  bool repeat(const std::string& bytes);

  [[nodiscard]] bool subscribes(const std::string& type_url) const { return subscriptions_.contains(type_url); }
  /// Some response of the type was sent and not answered yet.
  [[nodiscard]] bool unanswered(const std::string& type_url) const;
  /// The types that the client asked for.
  [[nodiscard]] std::vector<std::string> types() const;
  [[nodiscard]] Form form() const { return form_; }
  [[nodiscard]] const std::string& type_url() const { return type_url_; }
  [[nodiscard]] std::uint64_t id() const { return id_; }

 private:
  struct Sent {
    std::string type_url;
    std::string version;
    bool answered = false;
  };

  void remember(const Response& response);
  [[nodiscard]] std::string next_nonce();

  std::uint64_t id_;
  Form form_;
  std::string type_url_;
  const Style& style_;
  std::map<std::string, std::unique_ptr<Subscription>> subscriptions_;
  std::map<std::string, Sent> sent_;  // by nonce
  std::uint64_t responses_ = 0;
};

}  // namespace millrace::test
