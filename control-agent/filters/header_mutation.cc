#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

namespace mutation = envoy::extensions::filters::http::header_mutation::v3;

namespace {

using Rules = google::protobuf::RepeatedPtrField<envoy::config::common::mutation_rules::v3::HeaderMutation>;

std::vector<config::HeaderEdit> translate_edits(const Rules& rules, const std::string& path, Diagnostics& diagnostics) {
  std::vector<config::HeaderEdit> out;
  for (int i = 0; i < rules.size(); ++i) {
    const std::string rule_path = index_path(path, static_cast<std::size_t>(i));
    if (rules[i].has_append()) {
      out.emplace_back(translate_header_option(rules[i].append(), join_path(rule_path, "append"), diagnostics));
    } else {
      out.emplace_back(translate_header_removal(rules[i].remove(), join_path(rule_path, "remove"), diagnostics));
    }
  }
  return out;
}

config::HeaderEdits translate_level(const mutation::Mutations& mutations, const std::string& path, Diagnostics& diagnostics) {
  return {.request = translate_edits(mutations.request_mutations(), join_path(path, "request_mutations"), diagnostics),
          .response = translate_edits(mutations.response_mutations(), join_path(path, "response_mutations"), diagnostics)};
}

}  // namespace

config::EditHeaders translate_filter(const mutation::HeaderMutation& filter, const std::string& path, TranslateContext& context) {
  return {.edits = translate_level(filter.mutations(), join_path(path, "mutations"), context.diagnostics),
          .most_specific_last = filter.most_specific_header_mutations_wins()};
}

config::HeaderEdits translate_filter(const mutation::HeaderMutationPerRoute& route, const std::string& path,
                                     TranslateContext& context) {
  return translate_level(route.mutations(), join_path(path, "mutations"), context.diagnostics);
}

}  // namespace millrace::agent
