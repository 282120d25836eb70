// envoy.filters.http.rbac: lets a request pass or answers 403, and tells in metadata what its rules and its shadow rules have
// said.
#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/policy/access_rules.h"

namespace millrace::proxy {
namespace {

constexpr std::string_view kMetadata = "envoy.filters.http.rbac";
constexpr std::string_view kCommonMetadata = "envoy.common";

class RbacFilter final : public HttpFilter {
 public:
  RbacFilter(const config::Rbac& rbac, FilterContext& context) : rbac_(rbac), context_(context) {}

  Verdict on_request(http::RequestHead& head, bool, Instant now) override {
    const AccessSubject subject{context_.info, &head, context_.worker};
    if (rbac_.shadow_rules) {
      const AccessVerdict shadow = judge(*rbac_.shadow_rules, subject);
      report::RbacStats& stats = rbac_.shadow_cell->per_worker[context_.worker];
      (shadow.allowed ? stats.shadow_allowed : stats.shadow_denied).add();
      if (!tell(shadow, rbac_.shadow_stat_prefix, "shadow_effective_policy_id", "shadow_engine_result"))
        return Verdict::kNoMemory;
    }
    if (!rbac_.rules) return Verdict::kContinue;
    const AccessVerdict verdict = judge(*rbac_.rules, subject);
    report::RbacStats& stats = rbac_.cell->per_worker[context_.worker];
    (verdict.allowed ? stats.allowed : stats.denied).add();
    if (!tell(verdict, rbac_.rules_stat_prefix, "enforced_effective_policy_id", "enforced_engine_result"))
      return Verdict::kNoMemory;
    if (rbac_.rules->action == config::AccessRules::Action::kLog && !tell_log_hint(verdict.policy != nullptr))
      return Verdict::kNoMemory;
    if (verdict.allowed) return Verdict::kContinue;
    context_.actions.answer(
        {.status = 403, .body = "RBAC: access denied", .details = access_denied_details(verdict, context_.arena)}, now);
    return Verdict::kAnswered;
  }

 private:
  // Adds the policy's name, where one matched, and the result, to what this filter has told before.
  bool tell(const AccessVerdict& verdict, std::string_view prefix, std::string_view id_key, std::string_view result_key) {
    const MetadataValue* members = nullptr;
    if (const MetadataValue* before = context_.info.metadata.find(kMetadata)) members = before->first;
    if (verdict.policy != nullptr && !prepend(members, prefix, id_key, verdict.policy->name)) return false;
    return prepend(members, prefix, result_key, verdict.allowed ? "allowed" : "denied") && set(kMetadata, members);
  }

  bool tell_log_hint(bool matched) {
    const MetadataValue* members = nullptr;
    MetadataValue* hint = add(members, "", "access_log_hint");
    if (hint == nullptr) return false;
    hint->kind = MetadataValue::Kind::kBool;
    hint->boolean = matched;
    return set(kCommonMetadata, members);
  }

  MetadataValue* add(const MetadataValue*& members, std::string_view prefix, std::string_view key) {
    const std::span<MetadataValue> value = context_.arena.make_array<MetadataValue>(1);
    const std::string_view name = prefix.empty() ? key : context_.arena.concat({prefix, key});
    if (value.empty() || name.data() == nullptr) return nullptr;
    value[0] = {.key = name, .next = members};
    members = &value[0];
    return &value[0];
  }

  bool prepend(const MetadataValue*& members, std::string_view prefix, std::string_view key, std::string_view text) {
    MetadataValue* value = add(members, prefix, key);
    if (value == nullptr) return false;
    value->kind = MetadataValue::Kind::kString;
    value->text = text;
    return true;
  }

  bool set(std::string_view filter, const MetadataValue* members) {
    const std::span<MetadataValue> value = context_.arena.make_array<MetadataValue>(1);
    if (value.empty()) return false;
    value[0] = {.kind = MetadataValue::Kind::kStruct, .first = members};
    return context_.info.metadata.set(filter, value[0], context_.arena);
  }

  const config::Rbac& rbac_;
  FilterContext& context_;
};

}  // namespace

MadeFilter make_filter(const config::Rbac& config, const FilterSite& site) {
  const auto* of_route = site.route_config<config::RbacPerRoute>();
  if (of_route != nullptr && !of_route->rbac) return MadeFilter::none();
  const config::Rbac& rbac = of_route == nullptr ? config : *of_route->rbac;
  if (!rbac.rules && !rbac.shadow_rules) return MadeFilter::none();
  return MadeFilter::of(make_in_arena<RbacFilter>(site.context.arena, rbac, site.context));
}

}  // namespace millrace::proxy
