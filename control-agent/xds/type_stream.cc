#include "control-agent/xds/type_stream.h"

#include <google/rpc/status.pb.h>

#include <utility>

namespace millrace::agent {

namespace discovery = envoy::service::discovery::v3;

namespace {

constexpr int kInvalidArgument = 3;  // google.rpc.Code

void set_error(google::rpc::Status& status, const std::string& error) {
  status.set_code(kInvalidArgument);
  status.set_message(error);
}

}  // namespace

std::unique_ptr<TypeStream> TypeStream::make(XdsProtocol protocol, ResourceType type, bool is_wildcard) {
  if (protocol == XdsProtocol::kDelta) return std::make_unique<DeltaTypeStream>(type, is_wildcard);
  return std::make_unique<SotwTypeStream>(type, is_wildcard);
}

void SotwTypeStream::want(const std::set<std::string>& names) {
  if (names == names_) return;
  names_ = names;
  // No names in a first request would ask for everything.
  pending_ = asked_ || !names_.empty();
}

void SotwTypeStream::on_open() {
  nonce_.clear();
  error_.reset();
  asked_ = false;
  pending_ = is_wildcard_ || !names_.empty();
}

void SotwTypeStream::answer(const XdsResponse& response, const std::optional<std::string>& error) {
  if (!error) version_ = response.version;
  nonce_ = response.nonce;
  error_ = error;
  pending_ = true;
}

XdsRequest SotwTypeStream::next_request() {
  auto out = std::make_unique<discovery::DiscoveryRequest>();
  out->set_type_url(std::string(type_url(type_)));
  out->set_version_info(version_);
  out->set_response_nonce(nonce_);
  for (const std::string& name : names_) out->add_resource_names(name);
  if (error_) set_error(*out->mutable_error_detail(), *error_);
  error_.reset();
  pending_ = false;
  asked_ = true;
  return out;
}

// Without versions: a server that has started anew may count from one again.
void DeltaTypeStream::hold(const std::set<std::string>& names) {
  for (const std::string& name : names) versions_.try_emplace(name);
}

void DeltaTypeStream::on_open() {
  subscribed_.clear();
  answers_.clear();
  asked_ = false;
}

void DeltaTypeStream::answer(const XdsResponse& response, const std::optional<std::string>& error) {
  answers_.push_back({.nonce = response.nonce, .error = error});
  if (error) return;
  version_ = response.version;
  for (const XdsResource& resource : response.resources) {
    if (resource.has_body) versions_[resource.name] = resource.version;
  }
  for (const std::string& name : response.removed) versions_.erase(name);
}

bool DeltaTypeStream::has_request() const { return !answers_.empty() || (!asked_ && is_wildcard_) || wanted_ != subscribed_; }

XdsRequest DeltaTypeStream::next_request() {
  auto out = std::make_unique<discovery::DeltaDiscoveryRequest>();
  out->set_type_url(std::string(type_url(type_)));
  if (!answers_.empty()) {
    out->set_response_nonce(std::move(answers_.front().nonce));
    if (answers_.front().error) set_error(*out->mutable_error_detail(), *answers_.front().error);
    answers_.pop_front();
    return out;
  }
  for (const std::string& name : wanted_) {
    if (!subscribed_.contains(name)) out->add_resource_names_subscribe(name);
  }
  for (const std::string& name : subscribed_) {
    if (wanted_.contains(name)) continue;
    out->add_resource_names_unsubscribe(name);
    versions_.erase(name);
  }
  if (!asked_) {
    std::erase_if(versions_, [&](const auto& held) { return !is_wildcard_ && !wanted_.contains(held.first); });
    out->mutable_initial_resource_versions()->insert(versions_.begin(), versions_.end());
  }
  subscribed_ = wanted_;
  asked_ = true;
  return out;
}

}  // namespace millrace::agent
