// One type of resources on an xDS stream: what was asked for, what is acknowledged and what is to be sent next. Pure; two forms,
// one for each protocol. Sources: Envoy's "xDS REST and gRPC protocol", sections "ACK/NACK and resource type instance version",
// "How the client specifies what resources to return" and "Incremental xDS".
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control-agent/xds/name_table.h"
#include "control-agent/xds/xds_message.h"

namespace millrace::agent {

class TypeStream {
 public:
  /// `is_wildcard`: everything that there is is wanted, no names are given (clusters, listeners).
  [[nodiscard]] static std::unique_ptr<TypeStream> make(XdsProtocol protocol, ResourceType type, bool is_wildcard);
  virtual ~TypeStream() = default;

  /// The names that are wanted from now on; not for wildcards.
  virtual void want(const std::set<SharedName>& names) = 0;
  /// Resources of these names are held, in versions that the server may not know: the next stream says so.
  virtual void hold(const std::set<SharedName>& names) = 0;
  /// A new stream: versions that are held stay known, nonces do not.
  virtual void on_open() = 0;
  /// Acknowledges `response`, or rejects it for `error`.
  virtual void answer(const XdsResponse& response, const std::optional<std::string>& error) = 0;
  /// Is there anything to send?
  [[nodiscard]] virtual bool has_request() const = 0;
  /// The next request, without its node. There is one.
  [[nodiscard]] virtual XdsRequest next_request() = 0;

  [[nodiscard]] ResourceType type() const { return type_; }
  [[nodiscard]] bool is_wildcard() const { return is_wildcard_; }
  /// version_info of the last response that was accepted.
  [[nodiscard]] const std::string& version() const { return version_; }

 protected:
  TypeStream(ResourceType type, bool is_wildcard) : type_(type), is_wildcard_(is_wildcard) {}

  const ResourceType type_;
  const bool is_wildcard_;
  std::string version_;
};

/// State of the world: each request names everything that is wanted, and answers the last response.
class SotwTypeStream final : public TypeStream {
 public:
  SotwTypeStream(ResourceType type, bool is_wildcard) : TypeStream(type, is_wildcard) {}

  void want(const std::set<SharedName>& names) override;
  void hold(const std::set<SharedName>&) override {}  // each response says everything
  void on_open() override;
  void answer(const XdsResponse& response, const std::optional<std::string>& error) override;
  [[nodiscard]] bool has_request() const override { return pending_; }
  [[nodiscard]] XdsRequest next_request() override;

 private:
  std::set<SharedName> names_;
  std::string nonce_;
  std::optional<std::string> error_;  // of the response that is to be answered
  bool pending_ = false;
  bool asked_ = false;  // on this stream
};

/// Delta: requests say what has changed in what is wanted; acknowledgements are requests of their own.
class DeltaTypeStream final : public TypeStream {
 public:
  DeltaTypeStream(ResourceType type, bool is_wildcard) : TypeStream(type, is_wildcard) {}

  void want(const std::set<SharedName>& names) override;
  void hold(const std::set<SharedName>& names) override;
  void on_open() override;
  void answer(const XdsResponse& response, const std::optional<std::string>& error) override;
  [[nodiscard]] bool has_request() const override;
  [[nodiscard]] XdsRequest next_request() override;

 private:
  struct Answer {
    std::string nonce;
    std::optional<std::string> error;
  };

  using Names = std::vector<SharedName>;  // sorted

  std::shared_ptr<const Names> wanted_ = std::make_shared<const Names>();
  std::shared_ptr<const Names> subscribed_ = wanted_;  // as the server knows it, on this stream
  NameTable<SharedName> versions_;                     // of what is held
  std::deque<Answer> answers_;
  bool asked_ = false;  // on this stream
};

}  // namespace millrace::agent
