// What /millrace/connections may be asked, and how it answers.
#include "control-agent/admin/connections_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::agent {
namespace {

using report::ConnectionInfo;
using report::ConnectionState;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::size_t kWorkers = 2;
const SocketAddress kUs = *SocketAddress::parse("198.18.0.2:80");
const SocketAddress kClient = *SocketAddress::parse("198.18.0.1:41000");

Result<ConnectionsRequest, std::string> parse(Parameters parameters) { return parse_connections_request(parameters, kWorkers); }
std::string error_of(Parameters parameters) {
  const auto request = parse(std::move(parameters));
  return request ? "no error" : request.error();
}
bool matches(Parameters parameters, ConnectionState state = ConnectionState::kEstablished) {
  return parse(std::move(parameters)).value().filter.matches(state, kUs, kClient);
}

ConnectionInfo busy_connection() {
  ConnectionInfo info;
  info.state = ConnectionState::kEstablished;
  info.local = kUs;
  info.peer = kClient;
  info.timestamps = info.sack = info.window_scaling = true;
  info.own_scale = 7;
  info.peer_scale = 9;
  info.recovery = ConnectionInfo::Recovery::kFast;
  info.age = Duration::milliseconds(12'300);
  info.idle = Duration::milliseconds(4);
  info.mss = 1'448;
  info.cwnd = 14'480;
  info.ssthresh = 20'000;
  info.in_flight = 2'896;
  info.unacked = 4'344;
  info.unsent = 100;
  info.readable = 5;
  info.receive_window = 65'535;
  info.peer_window = 32'000;
  info.srtt = Duration::microseconds(20'125);
  info.rtt_variance = Duration::microseconds(750);
  info.min_rtt = Duration::microseconds(19'000);
  info.rto = Duration::milliseconds(223);
  info.retransmissions = 3;
  info.timeouts = 1;
  info.losses = 2;
  return info;
}

TEST(ConnectionsRequest, WithoutParametersWantsAThousandOfAll) {
  const auto request = parse({});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->limit, 1'000u);
  EXPECT_FALSE(request->worker);
  EXPECT_FALSE(request->json);
  EXPECT_TRUE(matches({}));
  EXPECT_TRUE(matches({}, ConnectionState::kTimeWait));
}

TEST(ConnectionsRequest, FiltersByStateInAnyWriting) {
  EXPECT_TRUE(matches({{"state", "established"}}));
  EXPECT_TRUE(matches({{"state", "TIME_WAIT,ESTABLISHED"}}));
  EXPECT_FALSE(matches({{"state", "fin-wait-1"}}));
  EXPECT_TRUE(matches({{"state", "fin-wait-1,syn-received"}}, ConnectionState::kSynReceived));
}

TEST(ConnectionsRequest, FiltersByEitherSide) {
  EXPECT_TRUE(matches({{"peer", "198.18.0.1"}}));
  EXPECT_FALSE(matches({{"peer", "198.18.0.3"}}));
  EXPECT_TRUE(matches({{"peer", "198.18.0.0/24"}}));
  EXPECT_FALSE(matches({{"peer", "198.18.1.0/24"}}));
  EXPECT_TRUE(matches({{"local", "198.18.0.2:80"}}));
  EXPECT_FALSE(matches({{"local", "198.18.0.2:81"}}));
  EXPECT_TRUE(matches({{"port", "80"}}));
  EXPECT_TRUE(matches({{"port", "41000"}}));
  EXPECT_FALSE(matches({{"port", "81"}}));
  EXPECT_TRUE(parse({{"peer", "[2001:db8::1]:443"}}));
  EXPECT_TRUE(parse({{"peer", "2001:db8::/32"}}));
}

TEST(ConnectionsRequest, SaysWhatIsAllowed) {
  EXPECT_THAT(error_of({{"stat", "established"}}), HasSubstr("unknown parameter \"stat\"; there are format, state"));
  EXPECT_THAT(error_of({{"state", "open"}}), HasSubstr("SYN-RECEIVED"));
  EXPECT_THAT(error_of({{"state", ""}}), HasSubstr("state must be"));
  EXPECT_THAT(error_of({{"peer", "example.org"}}), HasSubstr("198.18.0.0/24"));
  EXPECT_THAT(error_of({{"port", "0"}}), HasSubstr("1 to 65535"));
  EXPECT_THAT(error_of({{"worker", "2"}}), HasSubstr("0 to 1"));
  EXPECT_THAT(error_of({{"limit", "100001"}}), HasSubstr("1 to 100000"));
  EXPECT_THAT(error_of({{"format", "xml"}}), HasSubstr("\"xml\""));
  EXPECT_THAT(error_of({{"port", "1"}, {"port", "2"}}), HasSubstr("given twice"));
}

TEST(ConnectionsText, HasALineForEachWithSsesWords) {
  ConnectionList list;
  list.connections = {busy_connection()};
  EXPECT_EQ(
      connections_text(list),
      "State         Recv-Q  Send-Q Local Address:Port Peer Address:Port\n"
      "ESTABLISHED        5    4444 198.18.0.2:80      198.18.0.1:41000  accepted worker:0 cubic ts sack wscale:9,7 rto:223 "
      "rtt:20.125/0.750 minrtt:19.000 mss:1448 cwnd:14480 ssthresh:20000 ca_state:recovery in_flight:2896 unacked:4344 "
      "notsent:100 rcv_wnd:65535 snd_wnd:32000 retrans:3 losses:2 timeouts:1 lastrcv:4 age:12.3\n");
}

TEST(ConnectionsText, SaysWhatIsMissing) {
  ConnectionList list;
  list.left_out = 12;
  list.silent = {1};
  EXPECT_THAT(connections_text(list), HasSubstr("# 12 more are not shown"));
  EXPECT_THAT(connections_text(list), HasSubstr("# worker 1 does not answer"));
}

TEST(ConnectionsJson, HasWhatTheTextHas) {
  ConnectionList list;
  list.connections = {busy_connection()};
  list.left_out = 1;
  const auto json = nlohmann::json::parse(connections_json(list));
  EXPECT_EQ(json["left_out"], 1);
  const auto& one = json["connections"][0];
  EXPECT_EQ(one["state"], "ESTABLISHED");
  EXPECT_EQ(one["peer"], "198.18.0.1:41000");
  EXPECT_EQ(one["direction"], "accepted");
  EXPECT_EQ(one["rtt_us"], 20'125);
  EXPECT_EQ(one["rto_us"], 223'000);
  EXPECT_EQ(one["window_scale"]["peer"], 9);
  EXPECT_EQ(one["send_queue"]["unacked"], 4'344);
  EXPECT_EQ(one["receive_queue"]["readable"], 5);
  EXPECT_EQ(one["retransmissions"], 3);
  EXPECT_EQ(one["congestion_state"], "recovery");
}

TEST(ConnectionsJson, OfWhatHasNoQueuesHasNone) {
  ConnectionList list;
  list.connections.resize(2);
  list.connections[0].kind = ConnectionInfo::Kind::kHalfOpen;
  list.connections[0].state = ConnectionState::kSynReceived;
  list.connections[1].kind = ConnectionInfo::Kind::kTimeWait;
  list.connections[1].state = ConnectionState::kTimeWait;
  const auto json = nlohmann::json::parse(connections_json(list));
  for (const auto& one : json["connections"]) EXPECT_FALSE(one.contains("cwnd")) << one;
  EXPECT_THAT(connections_text(list), Not(HasSubstr("cwnd")));
}

}  // namespace
}  // namespace millrace::agent
