#include "control-agent/admin/connections_page.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <ranges>

namespace millrace::agent {
namespace {

using Json = nlohmann::ordered_json;
using report::ConnectionInfo;
using report::ConnectionState;

constexpr std::array<const char*, report::kConnectionStates> kStateTexts = {
    "CLOSED",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
    "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",      "LAST-ACK",    "TIME-WAIT"};

const char* to_text(ConnectionState state) { return kStateTexts[static_cast<std::size_t>(state)]; }

const char* to_text(ConnectionInfo::Recovery state) {
  switch (state) {
    case ConnectionInfo::Recovery::kOpen: return "open";
    case ConnectionInfo::Recovery::kReduced: return "reduced";
    case ConnectionInfo::Recovery::kFast: return "recovery";
    case ConnectionInfo::Recovery::kTimeout: return "timeout";
  }
  return "unknown";
}

const char* to_text(ConnectionInfo::Congestion control) {
  return control == ConnectionInfo::Congestion::kCubic ? "cubic" : "reno";
}

// "established" -> "ESTABLISHED", "time_wait" -> "TIME-WAIT"
std::string as_state(std::string_view text) {
  std::string state(text);
  std::ranges::transform(state, state.begin(), [](char c) { return c == '_' ? '-' : static_cast<char>(std::toupper(c)); });
  return state;
}

// One or several, with commas between them. Empty: that is not allowed.
std::optional<std::uint16_t> parse_states(const std::string& text) {
  std::uint16_t states = 0;
  for (const auto part : std::views::split(text, ',')) {
    const std::string wanted = as_state(std::string_view(part.begin(), part.end()));
    const auto found =
        std::ranges::find_if(kStateTexts.begin() + 1, kStateTexts.end(), [&](auto name) { return name == wanted; });
    if (found == kStateTexts.end()) return std::nullopt;
    states = static_cast<std::uint16_t>(states | 1u << (found - kStateTexts.begin()));
  }
  return states == 0 ? std::nullopt : std::optional(states);
}

std::optional<report::ConnectionFilter::Side> parse_side(const std::string& text) {
  report::ConnectionFilter::Side side;
  if (const auto ip = IpAddress::parse(text)) {
    side.network = IpPrefix{*ip, static_cast<std::uint8_t>(ip->is_v4() ? 32 : 128)};
  } else if (const auto network = IpPrefix::parse(text)) {
    side.network = *network;
  } else if (const auto address = SocketAddress::parse(text); address && address->port > 0) {
    side.network = IpPrefix{address->ip, static_cast<std::uint8_t>(address->ip.is_v4() ? 32 : 128)};
    side.port = address->port;
  } else {
    return std::nullopt;
  }
  return side;
}

std::string all_states() {
  std::string all;
  for (const char* state : kStateTexts | std::views::drop(1)) all.append(all.empty() ? "" : ", ").append(state);
  return all;
}

// The value of one parameter; an error text, or empty.
std::string take(ConnectionsRequest& request, const std::string& name, const std::string& value, std::size_t workers) {
  const auto wrong = [&](const std::string& allowed) { return name + " must be " + allowed + ", not \"" + value + "\""; };
  if (name == "format") {
    if (value != "text" && value != "json") return wrong("text or json");
    request.json = value == "json";
  } else if (name == "state") {
    const auto states = parse_states(value);
    if (!states) return wrong("one or several, with commas, of " + all_states());
    request.filter.states = *states;
  } else if (name == "local" || name == "peer") {
    const auto side = parse_side(value);
    if (!side)
      return wrong("an address (198.18.0.1), a network (198.18.0.0/24) or an address and port (198.18.0.1:80, [2001:db8::1]:80)");
    (name == "local" ? request.filter.local : request.filter.peer) = *side;
  } else if (name == "port") {
    const auto port = parse_number(value, 1, 65'535);
    if (!port) return wrong("a port, 1 to 65535");
    request.filter.port = static_cast<std::uint16_t>(*port);
  } else if (name == "worker") {
    const auto worker = parse_number(value, 0, workers - 1);
    if (!worker) return wrong("a worker, 0 to " + std::to_string(workers - 1));
    request.worker = static_cast<std::uint32_t>(*worker);
  } else if (name == "limit") {
    const auto limit = parse_number(value, 1, ConnectionsRequest::kMaxLimit);
    if (!limit) return wrong("a number of connections, 1 to " + std::to_string(ConnectionsRequest::kMaxLimit));
    request.limit = *limit;
  }
  return {};
}

std::string milliseconds(Duration time) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.3f", static_cast<double>(time.to_nanoseconds()) / 1e6);
  return text.data();
}

std::string seconds(Duration time) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.1f", static_cast<double>(time.to_milliseconds()) / 1e3);
  return text.data();
}

// What follows the addresses in ss's order and words where it has them.
std::string details(const ConnectionInfo& info) {
  std::string text;
  const auto word = [&](const std::string& what) { text.append(" ").append(what); };
  const auto number = [&](const char* name, std::uint64_t value) { word(std::string(name) + ":" + std::to_string(value)); };
  word(info.opened ? "opened" : "accepted");
  number("worker", info.worker);
  const bool connection = info.kind == ConnectionInfo::Kind::kConnection;
  if (connection && info.mss > 0) word(to_text(info.congestion));
  if (info.timestamps) word("ts");
  if (info.sack) word("sack");
  if (info.ecn) word("ecn");
  if (info.window_scaling) word("wscale:" + std::to_string(info.peer_scale) + "," + std::to_string(info.own_scale));
  if (info.rto > Duration()) word("rto:" + std::to_string(info.rto.to_milliseconds()));
  if (info.srtt) word("rtt:" + milliseconds(*info.srtt) + "/" + milliseconds(info.rtt_variance));
  if (info.min_rtt) word("minrtt:" + milliseconds(*info.min_rtt));
  if (info.mss > 0) number("mss", info.mss);
  if (connection && info.mss > 0) {
    number("cwnd", info.cwnd);
    if (info.ssthresh) number("ssthresh", *info.ssthresh);
    word(std::string("ca_state:") + to_text(info.recovery));
    number("in_flight", info.in_flight);
    number("unacked", info.unacked);
    number("notsent", info.unsent);
    if (info.out_of_order > 0) number("rcv_ooo", info.out_of_order);
    if (info.pacing_rate > 0) number("pacing_rate", info.pacing_rate);
    number("rcv_wnd", info.receive_window);
    number("snd_wnd", info.peer_window);
    number("retrans", info.retransmissions);
    number("losses", info.losses);
  }
  if (info.kind != ConnectionInfo::Kind::kTimeWait) number("timeouts", info.timeouts);
  if (info.idle) word("lastrcv:" + std::to_string(info.idle->to_milliseconds()));
  word("age:" + seconds(info.age));
  return text;
}

std::string unheard(const ConnectionList& list) {
  std::string text;
  for (const std::uint32_t worker : list.silent) {
    text += "# worker " + std::to_string(worker) + " does not answer: its connections are not listed\n";
  }
  return text;
}

Json to_json(const ConnectionInfo& info) {
  Json json = {{"worker", info.worker},
               {"state", to_text(info.state)},
               {"local", info.local.to_string()},
               {"peer", info.peer.to_string()},
               {"direction", info.opened ? "opened" : "accepted"},
               {"age_seconds", static_cast<double>(info.age.to_milliseconds()) / 1e3},
               {"timestamps", info.timestamps}};
  if (info.kind == ConnectionInfo::Kind::kTimeWait) return json;
  json.update({{"sack", info.sack}, {"ecn", info.ecn}, {"timeouts", info.timeouts}, {"mss", info.mss}});
  if (info.window_scaling) json["window_scale"] = {{"local", info.own_scale}, {"peer", info.peer_scale}};
  if (info.rto > Duration()) json["rto_us"] = info.rto.to_microseconds();
  if (info.kind == ConnectionInfo::Kind::kHalfOpen) return json;
  if (info.idle) json["idle_ms"] = info.idle->to_milliseconds();
  if (info.srtt) {
    json["rtt_us"] = info.srtt->to_microseconds();
    json["rtt_variance_us"] = info.rtt_variance.to_microseconds();
  }
  if (info.min_rtt) json["min_rtt_us"] = info.min_rtt->to_microseconds();
  json.update(
      {{"congestion_control", to_text(info.congestion)}, {"congestion_state", to_text(info.recovery)}, {"cwnd", info.cwnd}});
  if (info.ssthresh) json["ssthresh"] = *info.ssthresh;
  if (info.pacing_rate > 0) json["pacing_bytes_per_second"] = info.pacing_rate;
  json.update({{"in_flight", info.in_flight},
               {"send_queue", {{"unacked", info.unacked}, {"unsent", info.unsent}}},
               {"receive_queue", {{"readable", info.readable}, {"out_of_order", info.out_of_order}}},
               {"receive_window", info.receive_window},
               {"peer_window", info.peer_window},
               {"retransmissions", info.retransmissions},
               {"losses", info.losses}});
  return json;
}

}  // namespace

Result<ConnectionsRequest, std::string> parse_connections_request(const Parameters& parameters, std::size_t workers) {
  ConnectionsRequest request;
  std::string error = check_names(parameters, {"format", "state", "local", "peer", "port", "worker", "limit"});
  for (auto it = parameters.begin(); it != parameters.end() && error.empty(); ++it) {
    error = take(request, it->first, it->second, workers);
  }
  if (!error.empty()) return Error<std::string>(error);
  return request;
}

std::string connections_text(const ConnectionList& list) {
  std::size_t local = std::string_view("Local Address:Port").size();
  std::size_t peer = std::string_view("Peer Address:Port").size();
  for (const ConnectionInfo& info : list.connections) {
    local = std::max(local, info.local.to_string().size());
    peer = std::max(peer, info.peer.to_string().size());
  }
  std::string text;
  std::array<char, 256> line{};
  const auto columns = [&](const char* state, const std::string& receive, const std::string& send, const std::string& ours,
                           const std::string& theirs) {
    const int size = std::snprintf(line.data(), line.size(), "%-12s %7s %7s %-*s %-*s", state, receive.c_str(), send.c_str(),
                                   static_cast<int>(local), ours.c_str(), static_cast<int>(peer), theirs.c_str());
    text.append(line.data(), static_cast<std::size_t>(size));
  };
  columns("State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port");
  text += "\n";
  for (const ConnectionInfo& info : list.connections) {
    columns(to_text(info.state), std::to_string(info.readable), std::to_string(info.unacked + info.unsent),
            info.local.to_string(), info.peer.to_string());
    text += details(info) + "\n";
  }
  if (list.left_out > 0) text += "# " + std::to_string(list.left_out) + " more are not shown: limit=, or a closer filter\n";
  return text + unheard(list);
}

// Connection by connection: a tree of a hundred thousand of them would take more memory than the gateway.
std::string connections_json(const ConnectionList& list) {
  std::string text = "{\"connections\": [";
  for (std::size_t i = 0; i < list.connections.size(); ++i) {
    text.append(i == 0 ? "\n " : ",\n ").append(to_json(list.connections[i]).dump());
  }
  return text + "\n], \"left_out\": " + std::to_string(list.left_out) + ", \"silent_workers\": " + Json(list.silent).dump() +
         "}\n";
}

}  // namespace millrace::agent
