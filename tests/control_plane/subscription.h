// What one stream wants of one type, and what it has been told: requests in, responses out, for both forms of the protocol. Pure;
// follows Envoy's "xDS REST and gRPC protocol" and, where that leaves room, go-control-plane and istiod (see README.md).
// One response is outstanding at a time: the next goes out when the last was answered.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "tests/control_plane/snapshot.h"

namespace millrace::test {

/// Where control planes differ.
struct Style {
  /// A response that was rejected is sent again at once, as go-control-plane does in state of the world; istiod waits for a
  /// change.
  bool resends_after_nack = false;
  /// Who names the current version in the first request is not answered until there is another.
  bool skips_known_version = false;
};

class Subscription {
 public:
  Subscription(std::string type_url, const Style& style) : type_url_(std::move(type_url)), style_(style) {}
  virtual ~Subscription() = default;
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  /// Requests of this type, in order.
  virtual void take(const Request& request) = 0;
  /// What is to be said now, without a nonce; nothing: the client knows it all, or has not answered yet.
  [[nodiscard]] std::optional<Response> due(const TypeState& state);
  /// A response with this nonce left, whoever made it.
  void sent(const std::string& nonce);

 protected:
  virtual std::optional<Response> difference(const TypeState& state) = 0;
  /// Takes the nonce. False: the request answers a response that is not the last.
  bool settle(const Request& request);

  std::string type_url_;  // NOLINT(*-non-private-member-variables-in-classes)
  const Style& style_;    // NOLINT(*-non-private-member-variables-in-classes)

 private:
  std::string last_nonce_;
  bool unanswered_ = false;
};

class WorldSubscription final : public Subscription {
 public:
  using Subscription::Subscription;
  void take(const Request& request) override;

 private:
  std::optional<Response> difference(const TypeState& state) override;

  bool wildcard_ = false;
  bool ever_named_ = false;  // an empty list has another meaning before than after
  std::set<std::string> names_;
  std::optional<std::string> claimed_version_;  // of the first request
  bool started_ = false;
  bool dirty_ = true;
  std::uint64_t told_generation_ = 0;
};

class DeltaSubscription final : public Subscription {
 public:
  using Subscription::Subscription;
  void take(const Request& request) override;

 private:
  std::optional<Response> difference(const TypeState& state) override;
  void subscribe(const Request& request);
  void unsubscribe(const Request& request);
  [[nodiscard]] bool wants(const std::string& name) const { return wildcard_ || names_.contains(name); }

  bool wildcard_ = false;
  bool started_ = false;
  bool told_all_ = true;  // false: a wildcard was asked for, which even nothing answers
  std::set<std::string> names_;
  std::set<std::string> asked_;               // since the last response: absence is an answer to them
  std::map<std::string, std::string> known_;  // name -> version, as the client has it
};

[[nodiscard]] std::unique_ptr<Subscription> make_subscription(Form form, const std::string& type_url, const Style& style);

}  // namespace millrace::test
