#include "control-agent/field_table.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "control-agent/loader.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace millrace::agent {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using testing::ElementsAre;
using testing::HasSubstr;

const Descriptor* find(std::string_view name) {
  return DescriptorPool::generated_pool()->FindMessageTypeByName(std::string(name));
}

struct Findings {
  std::vector<std::string> errors;
  std::vector<std::string> harmless;
  std::vector<std::string> warnings;
};

template <typename Message>
Findings check(std::string_view text) {
  Message message;
  SourceMap places;
  Diagnostics diagnostics(&places);
  EXPECT_TRUE(parse_text(text, "", {}, message, places, diagnostics)) << diagnostics.errors().at(0).to_string();
  check_fields(message, "", diagnostics);
  Findings out;
  for (const auto& error : diagnostics.errors()) out.errors.push_back(error.path + ": " + error.reason);
  for (const auto& entry : diagnostics.harmless_fields()) out.harmless.push_back(entry.path);
  for (const auto& warning : diagnostics.warnings()) out.warnings.push_back(warning.reason);
  return out;
}

TEST(FieldTable, NamesOnlyFieldsThatExistAndEachOnce) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const auto& row : field_table()) {
    const auto* type = find(row.message);
    ASSERT_NE(type, nullptr) << row.message;
    EXPECT_NE(type->FindFieldByName(std::string(row.field)), nullptr) << row.message << "." << row.field;
    EXPECT_TRUE(seen.emplace(row.message, row.field).second) << row.message << "." << row.field;
  }
}

TEST(FieldTable, HasARowForEveryFieldOfItsMessages) {
  for (const auto& row : field_table()) {
    const auto* type = find(row.message);
    for (int i = 0; i < type->field_count(); ++i) {
      EXPECT_NE(find_row(row.message, type->field(i)->name()), nullptr) << row.message << "." << type->field(i)->name();
    }
  }
}

TEST(FieldTable, HasTheMessagesBehindEveryActingField) {
  for (const auto& row : field_table()) {
    if (row.status != FieldStatus::kActs) continue;
    const auto* field = find(row.message)->FindFieldByName(std::string(row.field));
    const auto* type = field->is_map() ? field->message_type()->map_value()->message_type() : field->message_type();
    if (type == nullptr || type->well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED) continue;
    EXPECT_TRUE(has_message(type->full_name())) << row.message << "." << row.field << " needs rows of " << type->full_name();
  }
}

TEST(FieldTable, GivesEveryRefusedAndHarmlessFieldANote) {
  for (const auto& row : field_table()) {
    if (row.status == FieldStatus::kActs) continue;
    EXPECT_FALSE(row.note.empty()) << row.message << "." << row.field;
    if (row.status != FieldStatus::kRefused) continue;
    EXPECT_TRUE(row.note.starts_with("yet") || row.note.starts_with(": ")) << row.message << "." << row.field;
  }
}

TEST(FieldTable, RefusesWhatWouldOtherwiseBeIgnoredSilently) {
  for (const auto& [message, field] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"envoy.config.route.v3.RouteAction", "cluster_specifier_plugin"},
           {"envoy.config.route.v3.RouteAction", "retry_policy_typed_config"},
           {"envoy.config.cluster.v3.UpstreamConnectionOptions", "set_local_interface_name_on_upstream_connections"},
           {"envoy.extensions.transport_sockets.tls.v3.CommonTlsContext", "custom_handshaker"},
           {"envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext", "custom_validator_config"}}) {
    EXPECT_EQ(find_row(message, field)->status, FieldStatus::kRefused) << message << "." << field;
  }
}

// A message in which `field` alone is set.
std::unique_ptr<google::protobuf::Message> with_field(const FieldDescriptor& field) {
  std::unique_ptr<google::protobuf::Message> out(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(field.containing_type())->New());
  const auto& reflection = *out->GetReflection();
  const bool many = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      auto* held = many ? reflection.AddMessage(out.get(), &field) : reflection.MutableMessage(out.get(), &field);
      if (auto* yes = google::protobuf::DynamicCastToGenerated<google::protobuf::BoolValue>(held)) yes->set_value(true);
      break;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      many ? reflection.AddString(out.get(), &field, "x") : reflection.SetString(out.get(), &field, "x");
      break;
    case FieldDescriptor::CPPTYPE_BOOL: reflection.SetBool(out.get(), &field, true); break;
    case FieldDescriptor::CPPTYPE_ENUM:
      many ? reflection.AddEnumValue(out.get(), &field, 1) : reflection.SetEnumValue(out.get(), &field, 1);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      many ? reflection.AddUInt32(out.get(), &field, 1) : reflection.SetUInt32(out.get(), &field, 1);
      break;
    case FieldDescriptor::CPPTYPE_UINT64: reflection.SetUInt64(out.get(), &field, 1); break;
    case FieldDescriptor::CPPTYPE_INT32: reflection.SetInt32(out.get(), &field, 1); break;
    case FieldDescriptor::CPPTYPE_INT64: reflection.SetInt64(out.get(), &field, 1); break;
    case FieldDescriptor::CPPTYPE_DOUBLE: reflection.SetDouble(out.get(), &field, 1); break;
    case FieldDescriptor::CPPTYPE_FLOAT: reflection.SetFloat(out.get(), &field, 1); break;
  }
  return out;
}

TEST(CheckFields, RefusesEveryRefusedFieldByNameAndListsEveryHarmlessOne) {
  std::size_t refused = 0;
  for (const auto& row : field_table()) {
    if (row.status == FieldStatus::kActs) continue;
    const std::string field(row.field);
    Diagnostics diagnostics;
    check_fields(*with_field(*find(row.message)->FindFieldByName(field)), "", diagnostics);
    const auto& named = row.status == FieldStatus::kRefused ? diagnostics.errors() : diagnostics.harmless_fields();
    ASSERT_EQ(named.size(), 1u) << row.message << "." << field;
    EXPECT_EQ(named[0].path, field) << row.message;
    refused += row.status == FieldStatus::kRefused ? 1 : 0;
  }
  EXPECT_GT(refused, 150u);
}

TEST(CheckFields, NamesRefusedFieldsAndListsHarmlessOnes) {
  const auto found = check<envoy::config::route::v3::RouteAction>("{cluster: a, cors: {}, early_data_policy: {name: x}}");
  EXPECT_THAT(found.errors, ElementsAre("cors: is not supported: give a CorsPolicy in typed_per_filter_config"));
  EXPECT_THAT(found.harmless, ElementsAre("early_data_policy"));
}

TEST(CheckFields, RefusesMessagesWithoutRows) {
  const auto found = check<envoy::config::route::v3::Decorator>("{operation: a}");
  EXPECT_THAT(found.errors, ElementsAre("operation: is not supported: unknown to Millrace"));
}

TEST(CheckFields, PassesRefusedBooleansThatSayFalse) {
  const auto off = check<envoy::config::listener::v3::Listener>("{transparent: false, freebind: false}");
  EXPECT_THAT(off.errors, ElementsAre());
  const auto on = check<envoy::config::listener::v3::Listener>("{transparent: true}");
  EXPECT_THAT(on.errors, ElementsAre("transparent: is not supported yet"));
}

TEST(CheckFields, RefusesAnysByType) {
  const auto found = check<envoy::config::listener::v3::Filter>(
      "{name: a, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz, "
      "stat_prefix: a}}");
  EXPECT_THAT(found.errors,
              ElementsAre("typed_config: the type \"type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz\" "
                          "is not supported yet"));
}

TEST(CheckFields, LeavesOutOptionalFilters) {
  using envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
  const std::string wasm = "typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm}";
  const auto required = check<HttpFilter>("{name: wasm, " + wasm + "}");
  EXPECT_THAT(required.errors, ElementsAre(HasSubstr("is not supported yet")));
  const auto optional = check<HttpFilter>("{name: wasm, is_optional: true, " + wasm + "}");
  EXPECT_THAT(optional.errors, ElementsAre());
  EXPECT_THAT(optional.warnings, ElementsAre(HasSubstr("the filter is left out, as it is optional")));
  EXPECT_THAT(check<HttpFilter>("{name: wasm, disabled: true, " + wasm + "}").errors,
              ElementsAre(HasSubstr("is not supported yet")))
      << "a route may enable it";
}

TEST(CheckFields, LeavesOutNoFilterThatDecidesThoughItIsOptional) {
  using envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
  const std::string type = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";
  const std::string refusal = "f: is optional, but cannot be left out: it decides which requests are answered, and the type \"" +
                              type + "\" is not supported yet";
  for (const std::string& config :
       {"typed_config: {\"@type\": " + type + "}",
        "typed_config: {\"@type\": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: " + type + "}",
        "typed_config: {\"@type\": type.googleapis.com/xds.type.v3.TypedStruct, type_url: " + type + "}",
        "config_discovery: {config_source: {ads: {}}, type_urls: [" + type + "]}"}) {
    const auto found = check<HttpFilter>("{name: authz, is_optional: true, " + config + "}");
    EXPECT_THAT(found.errors, ElementsAre(::testing::EndsWith(refusal.substr(3)))) << config;
    EXPECT_THAT(found.warnings, ElementsAre());
  }
}

TEST(FieldTableMarkdown, ShowsEveryRow) {
  const auto text = field_table_markdown();
  EXPECT_THAT(text, HasSubstr("### envoy.config.route.v3.RouteAction\n"));
  EXPECT_THAT(text, HasSubstr("| cluster_specifier_plugin | refused | not yet: name the cluster |\n"));
  EXPECT_THAT(text, HasSubstr("| cluster | acts |  |\n"));
}

}  // namespace
}  // namespace millrace::agent
