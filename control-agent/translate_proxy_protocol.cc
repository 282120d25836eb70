#include "control-agent/translate_proxy_protocol.h"

#include "control-agent/translate_common.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;

namespace {

config::ProxyTlvTypes translate_types(const core::ProxyProtocolPassThroughTLVs& tlvs) {
  config::ProxyTlvTypes out;
  if (tlvs.match_type() == core::ProxyProtocolPassThroughTLVs::INCLUDE_ALL) return out.set();
  for (const std::uint32_t type : tlvs.tlv_type()) {
    if (type < out.size()) out.set(type);  // validate.rules have refused others
  }
  return out;
}

}  // namespace

config::ProxyProtocolIn translate_proxy_protocol(
    const envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol& filter, const std::string& path,
    TranslateContext& context) {
  config::ProxyProtocolIn out;
  out.optional = filter.allow_requests_without_proxy_protocol();
  for (const int version : filter.disallowed_versions()) {
    (version == core::ProxyProtocolConfig::V1 ? out.v1 : out.v2) = false;
  }
  if (!out.v1 && !out.v2 && !out.optional) {
    context.diagnostics.error(join_path(path, "disallowed_versions"), "must leave a version, or no connection is ever served");
  }
  if (filter.has_pass_through_tlvs()) out.kept = translate_types(filter.pass_through_tlvs());
  out.cell = context.cells.proxy_protocols.get(filter.stat_prefix());
  return out;
}

config::ProxyProtocolOut translate_proxy_protocol(const core::ProxyProtocolConfig& config) {
  config::ProxyProtocolOut out;
  using Version = config::ProxyProtocolOut::Version;
  out.version = config.version() == core::ProxyProtocolConfig::V2 ? Version::kV2 : Version::kV1;
  if (config.has_pass_through_tlvs()) out.passed = translate_types(config.pass_through_tlvs());
  return out;
}

}  // namespace millrace::agent
