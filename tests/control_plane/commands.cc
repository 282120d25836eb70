#include "tests/control_plane/commands.h"

#include <array>
#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "control-agent/loader.h"
#include "control-agent/scalars.h"
#include "control-agent/to_json.h"
#include "tests/control_plane/client_status.h"

namespace millrace::test {
namespace {

using Json = nlohmann::ordered_json;

/// What is wrong with an order; caught in Commands::obey().
struct BadOrder : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string url_of(const std::string& name) {
  const auto url = find_type_url(name);
  if (!url) throw BadOrder("\"" + name + "\" is no type: CDS, EDS, LDS, RDS, SDS, ..., or a type URL");
  return *url;
}

std::string type_of(const Json& order) { return url_of(order.at("type").get<std::string>()); }

std::vector<std::string> types_of(const Json& order) {
  std::vector<std::string> urls;
  for (const auto& name : order.value("types", Json::array())) urls.push_back(url_of(name.get<std::string>()));
  return urls;
}

std::string bytes_of(const Json& text) {
  auto bytes = agent::decode_base64(text.get<std::string>());
  if (!bytes) throw BadOrder("not base64");
  return *bytes;
}

std::optional<std::uint64_t> stream_of(const Json& order) {
  if (!order.contains("stream")) return std::nullopt;
  return order["stream"].get<std::uint64_t>();
}

grpc::Status status_of(const Json& order) {
  return {static_cast<grpc::StatusCode>(order.value("code", static_cast<int>(grpc::StatusCode::UNAVAILABLE))),
          order.value("message", "")};
}

/// `text` as a message of `type_url`, by the gateway's own loader.
google::protobuf::Any parse_body(const std::string& type_url, const std::string& text) {
  const google::protobuf::Descriptor* type = agent::find_any_type(type_url);
  if (type == nullptr) throw BadOrder(type_url + ": no such message is linked");
  const std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  agent::SourceMap places;
  agent::Diagnostics found(&places);
  if (!agent::parse_text(text, "resource", {}, *message, places, found)) throw BadOrder(found.errors().front().to_string());
  google::protobuf::Any any;
  any.PackFrom(*message);
  return any;
}

google::protobuf::Any body_of(const Json& value, const std::string& type_url) {
  if (value.is_string()) return parse_body(type_url, value.get<std::string>());
  Json content = value;
  const std::string own_url = content.value("@type", type_url);
  content.erase("@type");
  return parse_body(own_url, content.dump());
}

std::optional<google::protobuf::Duration> ttl_of(const Json& entry) {
  if (!entry.contains("ttl_seconds")) return std::nullopt;
  const std::chrono::duration<double> ttl(entry["ttl_seconds"].get<double>());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(ttl);
  google::protobuf::Duration message;
  message.set_seconds(seconds.count());
  message.set_nanos(static_cast<std::int32_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(ttl - seconds).count()));
  return message;
}

/// A resource stands there itself (an object, or a text in YAML), or as {"resource": ...} or {"any": {"type_url", "value"}}
/// beside what else is to be said of it.
Resource resource_of(const Json& entry, const std::string& type_url) {
  if (!entry.is_object() || (!entry.contains("resource") && !entry.contains("any"))) {
    const google::protobuf::Any body = body_of(entry, type_url);
    return {.name = name_of_resource(body), .version = {}, .body = body, .ttl = {}};
  }
  google::protobuf::Any body;
  if (entry.contains("any")) {
    body.set_type_url(entry["any"].at("type_url").get<std::string>());
    body.set_value(bytes_of(entry["any"].at("value")));
  } else {
    body = body_of(entry["resource"], type_url);
  }
  return {.name = entry.value("name", name_of_resource(body)),
          .version = entry.value("version", ""),
          .body = body,
          .ttl = ttl_of(entry)};
}

Form form_of(const Json& order) { return order.value("form", "sotw") == "delta" ? Form::kDelta : Form::kStateOfTheWorld; }

/// A response that was recorded: "file" and its "form".
Response recorded_response(const Json& order) {
  const std::string path = order.at("file").get<std::string>();
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  auto response = decode_response(form_of(order), bytes);
  if (!file || !response) throw BadOrder(path + ": cannot be read as a response of this form: is \"form\" sotw or delta?");
  return std::move(*response);
}

std::vector<Resource> resources_of(const Json& order, const std::string& type_url) {
  if (order.contains("file")) return recorded_response(order).resources;
  std::vector<Resource> resources;
  for (const auto& entry : order.value("resources", Json::array())) resources.push_back(resource_of(entry, type_url));
  return resources;
}

std::vector<std::string> texts_of(const Json& order, const char* field) {
  return order.value(field, Json::array()).get<std::vector<std::string>>();
}

Response response_of(const Json& order) {
  const std::string url = type_of(order);
  return {.type_url = url,
          .version = order.value("version", ""),
          .nonce = order.value("nonce", ""),
          .resources = resources_of(order, url),
          .removed = texts_of(order, "remove")};
}

// --- what is served

Json set(ControlPlane& plane, const Json& order) {
  const std::string url = type_of(order);
  plane.replace(url, order.at("version").get<std::string>(), resources_of(order, url), order.value("touch", false));
  return Json::object();
}

Json update(ControlPlane& plane, const Json& order) {
  const std::string url = type_of(order);
  plane.update(url, order.at("version").get<std::string>(), resources_of(order, url), texts_of(order, "remove"),
               order.value("touch", false));
  return Json::object();
}

Json forget(ControlPlane& plane, const Json& order) {
  plane.forget(type_of(order));
  return Json::object();
}

Json replay(ControlPlane& plane, const Json& order) {
  if (order.contains("folder")) {
    const std::vector<std::string> skipped = texts_of(order, "skip");
    std::set<std::string> urls;
    for (const std::string& name : skipped) urls.insert(url_of(name));
    std::string error;
    auto capture = Capture::read(order["folder"].get<std::string>(), urls, error);
    if (!capture) throw BadOrder(error);
    if (order.contains("until")) capture->allow(order["until"].get<std::size_t>());
    plane.replay(std::move(capture));
    return Json::object();
  }
  if (!order.contains("until")) {
    plane.replay(std::nullopt);
    return Json::object();
  }
  const auto left = plane.replay_until(order["until"].get<std::size_t>());
  if (!left) throw BadOrder("there is no replay: give a folder first");
  return {{"left", *left}};
}

// --- recordings

Json read(ControlPlane&, const Json& order) {
  const Response response = recorded_response(order);
  Json resources = Json::array();
  for (const Resource& resource : response.resources) {
    if (!resource.body) throw BadOrder("\"" + resource.name + "\" is a heartbeat: it has no content to read");
    resources.push_back({{"name", resource.name}, {"version", resource.version}, {"resource", agent::to_json(*resource.body)}});
  }
  return {{"type", short_name(response.type_url)},
          {"version", response.version},
          {"nonce", response.nonce},
          {"resources", std::move(resources)},
          {"remove", response.removed}};
}

Json write(ControlPlane&, const Json& order) {
  const std::string path = order.at("into").get<std::string>();
  std::ofstream file(path, std::ios::binary);
  file << encode_response(form_of(order), response_of(order));
  if (!file.flush()) throw BadOrder(path + ": cannot be written");
  return Json::object();
}

// --- what goes wrong

Json style(ControlPlane& plane, const Json& order) {
  plane.set_style({.resends_after_nack = order.value("resends_after_nack", false),
                   .skips_known_version = order.value("skips_known_version", false)});
  return Json::object();
}

Json new_streams(ControlPlane& plane, const Json& order) {
  const std::string how = order.at("as").get<std::string>();
  if (how != "serve" && how != "hang" && how != "refuse") throw BadOrder("\"as\" is serve, hang or refuse");
  plane.welcome(how == "serve" ? Welcome::kServe : how == "hang" ? Welcome::kHang : Welcome::kRefuse, status_of(order));
  return Json::object();
}

Json hold(ControlPlane& plane, const Json& order) {
  const std::vector<std::string> urls = types_of(order);
  plane.hold({urls.begin(), urls.end()});
  return Json::object();
}

Json release(ControlPlane& plane, const Json& order) {
  plane.release(types_of(order));
  return Json::object();
}

Json send(ControlPlane& plane, const Json& order) {
  const std::string url = type_of(order);
  if (order.contains("bytes")) return {{"streams", plane.say_bytes(url, bytes_of(order["bytes"]), stream_of(order))}};
  return {{"streams", plane.say(response_of(order), stream_of(order))}};
}

Json heartbeat(ControlPlane& plane, const Json& order) {
  const std::vector<std::string> names = texts_of(order, "names");
  return {{"streams", plane.prolong(type_of(order), {names.begin(), names.end()})}};
}

Json loads(ControlPlane& plane, const Json& order) {
  envoy::service::load_stats::v3::LoadStatsResponse wanted;
  for (const std::string& name : texts_of(order, "clusters")) wanted.add_clusters(name);
  wanted.set_send_all_clusters(order.value("all", false));
  wanted.set_report_endpoint_granularity(order.value("by_endpoint", false));
  const std::chrono::duration<double> interval(order.value("seconds", 0.0));
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(interval).count();
  wanted.mutable_load_reporting_interval()->set_seconds(nanoseconds / 1'000'000'000);
  wanted.mutable_load_reporting_interval()->set_nanos(static_cast<int>(nanoseconds % 1'000'000'000));
  return {{"streams", plane.loads().ask(wanted)}};
}

Json load_reports(ControlPlane& plane, const Json& order) {
  return {{"reports", plane.loads().reports(order.value("first", std::size_t{0}))}};
}

Json client_status(ControlPlane&, const Json& order) {
  envoy::service::status::v3::ClientStatusRequest request;
  agent::SourceMap places;
  agent::Diagnostics diagnostics(&places);
  if (!agent::parse_text(order.value("request", Json::object()).dump(), "request", {}, request, places, diagnostics))
    throw BadOrder(diagnostics.errors().at(0).to_string());
  return ask_for_status(order.at("address").get<std::string>(), request, order.value("streamed", false));
}

Json close(ControlPlane& plane, const Json& order) {
  return {{"streams", plane.end_streams(status_of(order), stream_of(order))}};
}

Json stop(ControlPlane& plane, const Json& order) {
  if (!plane.stop_listening(order.value("address", ""))) throw BadOrder("no such address");
  return Json::object();
}

Json start(ControlPlane& plane, const Json& order) {
  if (!plane.start_listening(order.value("address", ""))) throw BadOrder("no such address, or it is taken");
  return Json::object();
}

// --- what was heard

Json requests(ControlPlane& plane, const Json& order) {
  return {{"requests", plane.requests(order.value("first", std::size_t{0}))}};
}

Json last(ControlPlane& plane, const Json& order) { return plane.last(type_of(order)); }

Json streams(ControlPlane& plane, const Json&) { return plane.streams(); }

Json wait(ControlPlane& plane, const Json& order) {
  const std::string what = order.value("for", "ack");
  if (what != "ack" && what != "nack") throw BadOrder("\"for\" is ack or nack");
  const std::chrono::duration<double> limit(order.value("seconds", 10.0));
  const bool came = plane.wait_for_verdict(type_of(order), order.at("version").get<std::string>(), what == "ack",
                                           std::chrono::duration_cast<std::chrono::milliseconds>(limit));
  return {{"came", came}, {"last", plane.last(type_of(order))}};
}

struct Command {
  std::string_view name;
  Json (*run)(ControlPlane& plane, const Json& order);
};

constexpr std::array kCommands{
    Command{"set", set},
    Command{"update", update},
    Command{"forget", forget},
    Command{"replay", replay},
    Command{"read", read},
    Command{"write", write},
    Command{"style", style},
    Command{"hold", hold},
    Command{"release", release},
    Command{"new_streams", new_streams},
    Command{"send", send},
    Command{"loads", loads},
    Command{"load_reports", load_reports},
    Command{"client_status", client_status},
    Command{"close", close},
    Command{"stop", stop},
    Command{"start", start},
    Command{"requests", requests},
    Command{"last", last},
    Command{"streams", streams},
    Command{"wait", wait},
    Command{"heartbeat", heartbeat},
};

}  // namespace

std::string Commands::obey(const std::string& line) {
  try {
    const Json order = Json::parse(line);
    const std::string name = order.at("do").get<std::string>();
    for (const Command& command : kCommands) {
      if (command.name == name) return command.run(plane_, order).dump();
    }
    throw BadOrder("there is no order \"" + name + "\"");
  } catch (const BadOrder& error) {
    return Json{{"error", error.what()}}.dump();
  } catch (const nlohmann::json::exception& error) {
    return Json{{"error", error.what()}}.dump();
  }
}

}  // namespace millrace::test
