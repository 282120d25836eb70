#include "control-agent/xds/type_stream.h"

#include <google/rpc/status.pb.h>

#include <algorithm>
#include <iterator>
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

void SotwTypeStream::want(const std::set<SharedName>& names) {
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
  for (const SharedName& name : names_) out->add_resource_names(name.text());
  if (error_) set_error(*out->mutable_error_detail(), *error_);
  error_.reset();
  pending_ = false;
  asked_ = true;
  return out;
}

void DeltaTypeStream::want(const std::set<SharedName>& names) {
  if (!std::ranges::equal(names, *wanted_)) wanted_ = std::make_shared<const Names>(names.begin(), names.end());
}

// Without versions: a server that has started anew may count from one again.
void DeltaTypeStream::hold(const std::set<SharedName>& names) {
  std::vector<NameTable<SharedName>::Entry> held;
  for (const SharedName& name : names) {
    if (!versions_.contains(name)) held.emplace_back(name, SharedName());
  }
  versions_.set_all(std::move(held));
}

void DeltaTypeStream::on_open() {
  subscribed_ = std::make_shared<const Names>();
  answers_.clear();
  asked_ = false;
}

void DeltaTypeStream::answer(const XdsResponse& response, const std::optional<std::string>& error) {
  answers_.push_back({.nonce = response.nonce, .error = error});
  if (error) return;
  version_ = response.version;
  std::vector<NameTable<SharedName>::Entry> held;
  SharedName version;  // most have the same
  for (const XdsResource& resource : response.resources) {
    if (!resource.has_body) continue;
    if (!(version == resource.version)) version = resource.version;
    const auto wanted = std::ranges::lower_bound(*wanted_, resource.name);
    const bool is_wanted = wanted != wanted_->end() && *wanted == resource.name;
    held.emplace_back(is_wanted ? *wanted : resource.name, version);
  }
  versions_.set_all(std::move(held));
  const std::set<std::string> removed(response.removed.begin(), response.removed.end());
  if (!removed.empty()) versions_.erase_if([&](const auto& entry) { return removed.contains(entry.first); });
}

bool DeltaTypeStream::has_request() const {
  return !answers_.empty() || (!asked_ && is_wildcard_) || (wanted_ != subscribed_ && *wanted_ != *subscribed_);
}

XdsRequest DeltaTypeStream::next_request() {
  auto out = std::make_unique<discovery::DeltaDiscoveryRequest>();
  out->set_type_url(std::string(type_url(type_)));
  if (!answers_.empty()) {
    out->set_response_nonce(std::move(answers_.front().nonce));
    if (answers_.front().error) set_error(*out->mutable_error_detail(), *answers_.front().error);
    answers_.pop_front();
    return out;
  }
  Names added;
  Names gone;
  std::ranges::set_difference(*wanted_, *subscribed_, std::back_inserter(added));
  std::ranges::set_difference(*subscribed_, *wanted_, std::back_inserter(gone));
  for (const SharedName& name : added) out->add_resource_names_subscribe(name.text());
  for (const SharedName& name : gone) out->add_resource_names_unsubscribe(name.text());
  if (!gone.empty()) versions_.erase_if([&](const auto& held) { return std::ranges::binary_search(gone, held.first); });
  if (!asked_) {
    if (!is_wildcard_) versions_.erase_if([&](const auto& held) { return !std::ranges::binary_search(*wanted_, held.first); });
    for (const auto& [name, version] : versions_) (*out->mutable_initial_resource_versions())[name] = version;
  }
  subscribed_ = wanted_;
  asked_ = true;
  return out;
}

}  // namespace millrace::agent
