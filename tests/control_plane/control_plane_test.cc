// The control plane over real streams of gRPC, told what to do in its own language.
#include "tests/control_plane/control_plane.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/sync_stream.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "control-agent/scalars.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "envoy/service/load_stats/v3/lrs.grpc.pb.h"
#include "tests/control_plane/commands.h"

namespace millrace::test {
namespace {

namespace xds = envoy::service::discovery::v3;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::ordered_json;

constexpr const char* kAds = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
constexpr const char* kDeltaAds = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const std::string kClusters = *find_type_url("CDS");

/// A client of one stream; reads block until something comes or ten seconds are over.
template <typename Request, typename Response>
class Caller {
 public:
  Caller(const std::shared_ptr<grpc::Channel>& channel, const char* method)
      : method_(method, grpc::internal::RpcMethod::BIDI_STREAMING, channel) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    stream_.reset(grpc::internal::ClientReaderWriterFactory<Request, Response>::Create(channel.get(), method_, &context_));
  }
  ~Caller() {
    context_.TryCancel();
    if (!finished_) stream_->Finish();
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  bool write(const Request& request) { return stream_->Write(request); }
  std::optional<Response> read() {
    Response response;
    if (!stream_->Read(&response)) return std::nullopt;
    last_ = response;
    return response;
  }
  bool ask(const std::string& type, const std::vector<std::string>& names = {}) {
    Request request;
    request.set_type_url(*find_type_url(type));
    for (const std::string& name : names) {
      if constexpr (std::is_same_v<Request, xds::DiscoveryRequest>) {
        request.add_resource_names(name);
      } else {
        request.add_resource_names_subscribe(name);
      }
    }
    return write(request);
  }
  /// Accepts the last response, or rejects it with a text.
  bool answer(const std::string& error = "") {
    Request request;
    request.set_type_url(last_.type_url());
    request.set_response_nonce(last_.nonce());
    if (!error.empty()) {
      request.mutable_error_detail()->set_code(3);
      request.mutable_error_detail()->set_message(error);
    }
    return write(request);
  }
  grpc::Status status() {
    Response response;
    while (stream_->Read(&response)) {
    }
    finished_ = true;
    return stream_->Finish();
  }

 private:
  grpc::internal::RpcMethod method_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream_;
  Response last_;
  bool finished_ = false;
};

using WorldCaller = Caller<xds::DiscoveryRequest, xds::DiscoveryResponse>;
using DeltaCaller = Caller<xds::DeltaDiscoveryRequest, xds::DeltaDiscoveryResponse>;

class ControlPlaneTest : public ::testing::Test {
 protected:
  ControlPlaneTest() : commands_(plane_) {
    address_ = plane_.listen("127.0.0.1:0", {}).value_or("");
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  }

  Json tell(const Json& order) { return Json::parse(commands_.obey(order.dump())); }
  void set_clusters(const std::string& version, const std::vector<std::string>& names) {
    Json order{{"do", "set"}, {"type", "CDS"}, {"version", version}, {"resources", Json::array()}};
    for (const std::string& name : names) order["resources"].push_back({{"name", name}});
    ASSERT_EQ(tell(order), Json::object());
  }
  bool wait(const std::string& type, const std::string& version, const char* what = "ack") {
    return tell({{"do", "wait"}, {"type", type}, {"version", version}, {"for", what}})["came"];
  }

  ControlPlane plane_;
  Commands commands_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
};

std::vector<std::string> names(const xds::DiscoveryResponse& response) {
  std::vector<std::string> list;
  for (const auto& any : response.resources()) list.push_back(name_of_resource(any));
  return list;
}

std::vector<std::string> names(const xds::DeltaDiscoveryResponse& response) {
  std::vector<std::string> list;
  for (const auto& resource : response.resources()) list.push_back(resource.name());
  return list;
}

TEST_F(ControlPlaneTest, ServesTheStateOfTheWorld) {
  set_clusters("1", {"a", "b"});
  WorldCaller client(channel_, kAds);
  client.ask("CDS");
  const auto first = client.read();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->version_info(), "1");
  EXPECT_EQ(first->nonce(), "1-1");
  EXPECT_THAT(names(*first), ElementsAre("a", "b"));
  client.answer();
  EXPECT_TRUE(wait("CDS", "1"));
  set_clusters("2", {"b"});
  EXPECT_THAT(names(client.read().value()), ElementsAre("b"));
  client.answer("bad cluster");
  EXPECT_TRUE(wait("CDS", "2", "nack"));
  const Json last = tell({{"do", "last"}, {"type", "CDS"}});
  EXPECT_EQ(last["ack"]["version"], "1");
  EXPECT_EQ(last["nack"], (Json{{"version", "2"}, {"code", 3}, {"message", "bad cluster"}}));
}

TEST_F(ControlPlaneTest, ServesDeltaWithRemovals) {
  set_clusters("1", {"a", "b"});
  DeltaCaller client(channel_, kDeltaAds);
  client.ask("CDS");
  EXPECT_THAT(names(client.read().value()), ElementsAre("a", "b"));
  client.answer();
  ASSERT_TRUE(wait("CDS", "1"));
  tell({{"do", "update"}, {"type", "CDS"}, {"version", "2"}, {"resources", {"name: c"}}, {"remove", {"a"}}});
  const auto second = client.read();
  EXPECT_THAT(names(second.value()), ElementsAre("c"));
  EXPECT_THAT(second->removed_resources(), ElementsAre("a"));
}

TEST_F(ControlPlaneTest, ServesEachTypeByItsOwnMethod) {
  set_clusters("1", {"a"});
  WorldCaller world(channel_, "/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters");
  world.write({});  // its type needs no saying
  EXPECT_THAT(names(world.read().value()), ElementsAre("a"));
  tell({{"do", "set"}, {"type", "SDS"}, {"version", "1"}, {"resources", {{{"name", "s"}}}}});
  DeltaCaller delta(channel_, "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets");
  delta.ask("SDS", {"s"});
  EXPECT_THAT(names(delta.read().value()), ElementsAre("s"));
  const Json streams = tell({{"do", "streams"}});
  EXPECT_EQ(streams["open"][0]["type"], "CDS");
  EXPECT_EQ(streams["open"][1]["type"], "SDS");
  EXPECT_EQ(WorldCaller(channel_, "/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters").status().error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(ControlPlaneTest, RemembersRequestsInOrder) {
  set_clusters("1", {"a"});
  WorldCaller client(channel_, kAds);
  client.ask("CDS");
  ASSERT_TRUE(client.read());
  client.answer();
  ASSERT_TRUE(wait("CDS", "1"));
  const Json requests = tell({{"do", "requests"}})["requests"];
  ASSERT_EQ(requests.size(), 2);
  EXPECT_EQ(requests[0], (Json{{"stream", 1}, {"form", "sotw"}, {"request", {{"type_url", kClusters}}}}));
  EXPECT_EQ(requests[1]["request"]["response_nonce"], "1-1");
  EXPECT_EQ(tell({{"do", "requests"}, {"first", 1}})["requests"].size(), 1);
}

TEST_F(ControlPlaneTest, HoldsAnswersAndReleasesThemInAnOrder) {
  tell({{"do", "hold"}});
  set_clusters("1", {"a"});
  tell({{"do", "set"}, {"type", "LDS"}, {"version", "1"}, {"resources", Json::array()}});
  WorldCaller client(channel_, kAds);
  client.ask("CDS");
  client.ask("LDS");
  while (tell({{"do", "requests"}})["requests"].size() < 2) std::this_thread::yield();
  tell({{"do", "release"}});
  tell({{"do", "hold"}, {"types", {"CDS", "LDS"}}});
  EXPECT_EQ(client.read()->type_url(), kClusters);
  client.answer();
  EXPECT_EQ(client.read()->type_url(), *find_type_url("LDS"));
  client.answer();
  ASSERT_TRUE(wait("LDS", "1"));
  set_clusters("2", {"b"});
  tell({{"do", "set"}, {"type", "LDS"}, {"version", "2"}, {"resources", Json::array()}});
  tell({{"do", "release"}, {"types", {"LDS", "CDS"}}});
  EXPECT_EQ(client.read()->type_url(), *find_type_url("LDS"));
  EXPECT_EQ(client.read()->type_url(), kClusters);
}

TEST_F(ControlPlaneTest, SaysWhateverItIsTold) {
  WorldCaller client(channel_, kAds);
  client.ask("CDS");
  while (tell({{"do", "requests"}})["requests"].empty()) std::this_thread::yield();
  const Json garbage{{"any", {{"type_url", "type.googleapis.com/no.such.Type"}, {"value", "/////w=="}}}};
  EXPECT_EQ(tell({{"do", "send"},
                  {"type", "CDS"},
                  {"version", ""},
                  {"nonce", "odd"},
                  {"resources", {garbage, {{"name", "a"}}, {{"name", "a"}}}}}),
            (Json{{"streams", 1}}));
  const auto response = client.read();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->nonce(), "odd");
  EXPECT_EQ(response->version_info(), "");
  EXPECT_EQ(response->resources(0).value(), "\xff\xff\xff\xff");
  EXPECT_THAT(names(*response), ElementsAre("", "a", "a"));
  tell({{"do", "send"}, {"type", "CDS"}, {"bytes", "/////w=="}, {"stream", 1}});
  EXPECT_FALSE(client.read()) << "not even a message";
}

TEST_F(ControlPlaneTest, LeasesAndProlongsThem) {
  tell(
      {{"do", "set"}, {"type", "CDS"}, {"version", "1"}, {"resources", {{{"resource", {{"name", "a"}}}, {"ttl_seconds", 1.5}}}}});
  DeltaCaller delta(channel_, kDeltaAds);
  delta.ask("CDS");
  const auto first = delta.read();
  EXPECT_EQ(first->resources(0).ttl().nanos(), 500'000'000);
  WorldCaller world(channel_, kAds);
  world.ask("CDS");
  xds::Resource wrapped;
  ASSERT_TRUE(world.read()->resources(0).UnpackTo(&wrapped));
  EXPECT_EQ(wrapped.name(), "a");
  EXPECT_EQ(wrapped.ttl().seconds(), 1);
  EXPECT_EQ(tell({{"do", "heartbeat"}, {"type", "CDS"}, {"names", {"a"}}}), (Json{{"streams", 2}}));
  const auto beat = delta.read();
  EXPECT_FALSE(beat->resources(0).has_resource());
  EXPECT_EQ(beat->resources(0).version(), first->resources(0).version());
}

TEST_F(ControlPlaneTest, EndsStreamsWithAStatus) {
  WorldCaller client(channel_, kAds);
  client.ask("CDS");
  while (tell({{"do", "requests"}})["requests"].empty()) std::this_thread::yield();
  EXPECT_EQ(tell({{"do", "close"}, {"code", 8}, {"message", "enough"}}), (Json{{"streams", 1}}));
  const grpc::Status status = client.status();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "enough");
}

TEST_F(ControlPlaneTest, RefusesOrHangsOrServesNewStreams) {
  set_clusters("1", {"a"});
  tell({{"do", "new_streams"}, {"as", "refuse"}, {"code", 7}});
  EXPECT_EQ(WorldCaller(channel_, kAds).status().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  tell({{"do", "new_streams"}, {"as", "hang"}});
  WorldCaller hung(channel_, kAds);
  hung.ask("CDS");
  while (tell({{"do", "requests"}})["requests"].empty()) std::this_thread::yield();
  tell({{"do", "new_streams"}, {"as", "serve"}});
  WorldCaller served(channel_, kAds);
  served.ask("CDS");
  EXPECT_TRUE(served.read());
  set_clusters("2", {"b"});
  tell({{"do", "close"}, {"stream", 1}});
  EXPECT_FALSE(hung.read()) << "nothing was ever said";
  EXPECT_EQ(tell({{"do", "streams"}})["refused"], 1);
}

TEST_F(ControlPlaneTest, StopsAndStartsListening) {
  WorldCaller client(channel_, kAds);
  client.ask("CDS");
  tell({{"do", "stop"}});
  EXPECT_FALSE(client.status().ok()) << "UNAVAILABLE, or CANCELLED where the call is ended before its connection";
  EXPECT_FALSE(WorldCaller(channel_, kAds).status().ok());
  EXPECT_EQ(tell({{"do", "start"}, {"address", address_}}), Json::object());
  set_clusters("1", {"a"});
  const auto channel = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  WorldCaller again(channel, kAds);
  again.ask("CDS");
  EXPECT_TRUE(again.read());
  EXPECT_THAT(tell({{"do", "stop"}, {"address", "127.0.0.1:1"}})["error"].get<std::string>(), HasSubstr("no such address"));
}

TEST_F(ControlPlaneTest, ListensOnUnixSockets) {
  const std::string path = (std::filesystem::temp_directory_path() / ("mr-plane-" + std::to_string(getpid()))).string();
  ASSERT_TRUE(plane_.listen("unix:" + path, {}));
  set_clusters("1", {"a"});
  WorldCaller client(grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()), kAds);
  client.ask("CDS");
  EXPECT_TRUE(client.read());
}

TEST_F(ControlPlaneTest, RepeatsWhatAnotherSaid) {
  const std::string folder = std::string(MILLRACE_SOURCE_DIR) + "/tests/data/xds/go-control-plane-delta";
  EXPECT_EQ(tell({{"do", "replay"}, {"folder", folder}, {"skip", {"SRDS", "RTDS"}}, {"until", 4}}), Json::object());
  DeltaCaller client(channel_, kDeltaAds);
  client.ask("CDS");
  const auto first = client.read();
  EXPECT_EQ(first->nonce(), "1");
  EXPECT_EQ(first->system_version_info(), "v0");
  client.answer();
  client.ask("EDS", names(*first));
  EXPECT_EQ(client.read()->type_url(), *find_type_url("EDS"));
  EXPECT_GT(tell({{"do", "replay"}, {"until", 4}})["left"], 0);
  EXPECT_EQ(tell({{"do", "replay"}}), Json::object());
}

TEST_F(ControlPlaneTest, ServesFromItsSnapshotWhatAReplaySkips) {
  const std::string folder = std::string(MILLRACE_SOURCE_DIR) + "/tests/data/xds/go-control-plane-delta";
  set_clusters("1", {"mine"});
  tell({{"do", "set"}, {"type", "EDS"}, {"version", "1"}, {"resources", {{{"cluster_name", "mine"}}}}});
  tell({{"do", "replay"}, {"folder", folder}, {"skip", {"CDS", "SRDS", "RTDS"}}});
  DeltaCaller client(channel_, kDeltaAds);
  client.ask("CDS");
  EXPECT_THAT(names(client.read().value()), ElementsAre("mine"));
  client.ask("EDS", {"mine"});
  EXPECT_EQ(client.read()->system_version_info(), "v0") << "what is replayed is not served";
}

TEST_F(ControlPlaneTest, WritesWhatItHasReadOfARecording) {
  const auto copy = std::filesystem::temp_directory_path() / ("mr-response-" + std::to_string(getpid()));
  for (const std::string name : {"go-control-plane-sotw/001-CDS", "istiod-gateway-sotw/002-EDS", "istiod-gateway-delta/003-LDS",
                                 "istiod-gateway-delta/004-RDS", "istiod-update-gateway-delta/015-CDS"}) {
    SCOPED_TRACE(name);
    const std::string file = std::string(MILLRACE_SOURCE_DIR) + "/tests/data/xds/" + name + ".pb";
    const std::string form = name.find("-delta") == std::string::npos ? "sotw" : "delta";
    const Json read = tell({{"do", "read"}, {"file", file}, {"form", form}});
    ASSERT_FALSE(read.contains("error")) << read;
    Json order = read;
    order.update({{"do", "write"}, {"into", copy}, {"form", form}});
    EXPECT_EQ(tell(order), Json::object());
    EXPECT_EQ(tell({{"do", "read"}, {"file", copy}, {"form", form}}), read);
    EXPECT_EQ(std::filesystem::file_size(copy), std::filesystem::file_size(file)) << "nothing is lost";
  }
  std::filesystem::remove(copy);
}

TEST_F(ControlPlaneTest, ServesTheResourcesOfARecordedResponse) {
  const std::string file = std::string(MILLRACE_SOURCE_DIR) + "/tests/data/xds/go-control-plane-delta/001-CDS.pb";
  EXPECT_EQ(tell({{"do", "set"}, {"type", "CDS"}, {"version", "1"}, {"file", file}, {"form", "delta"}}), Json::object());
  WorldCaller client(channel_, kAds);
  client.ask("CDS");
  EXPECT_THAT(names(client.read().value()), ElementsAre("cluster-v0-0", "cluster-v0-1", "cluster-v0-2", "cluster-v0-3"));
  EXPECT_THAT(tell({{"do", "set"}, {"type", "CDS"}, {"version", "1"}, {"file", "/none"}})["error"].get<std::string>(),
              HasSubstr("/none"));
}

TEST_F(ControlPlaneTest, AsksForLoadAndRemembersWhatItIsTold) {
  using load_stats = envoy::service::load_stats::v3::LoadReportingService;
  const auto stub = load_stats::NewStub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  const auto stream = stub->StreamLoadStats(&context);
  tell({{"do", "loads"}, {"clusters", {"a", "b"}}, {"seconds", 1.5}, {"by_endpoint", true}});
  envoy::service::load_stats::v3::LoadStatsRequest report;
  report.mutable_node()->set_id("me");
  ASSERT_TRUE(stream->Write(report));
  envoy::service::load_stats::v3::LoadStatsResponse order;
  ASSERT_TRUE(stream->Read(&order));
  EXPECT_THAT(order.clusters(), ElementsAre("a", "b"));
  EXPECT_EQ(order.load_reporting_interval().seconds(), 1);
  EXPECT_EQ(order.load_reporting_interval().nanos(), 500'000'000);
  EXPECT_TRUE(order.report_endpoint_granularity());
  EXPECT_EQ(tell({{"do", "loads"}, {"all", true}})["streams"], 1);
  ASSERT_TRUE(stream->Read(&order));
  EXPECT_TRUE(order.send_all_clusters());
  EXPECT_EQ(tell({{"do", "load_reports"}})["reports"][0]["report"]["node"]["id"], "me");
  EXPECT_THAT(tell({{"do", "load_reports"}, {"first", 1}})["reports"], IsEmpty());
  EXPECT_EQ(tell({{"do", "close"}, {"code", 14}})["streams"], 1);
  EXPECT_FALSE(stream->Read(&order));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ControlPlaneTest, SaysWhatIsWrongWithAnOrder) {
  EXPECT_THAT(tell({{"do", "dance"}})["error"].get<std::string>(), HasSubstr("dance"));
  EXPECT_THAT(tell({{"do", "forget"}, {"type", "XDS"}})["error"].get<std::string>(), HasSubstr("XDS"));
  EXPECT_THAT(
      tell({{"do", "set"}, {"type", "CDS"}, {"version", "1"}, {"resources", {{{"nmae", "a"}}}}})["error"].get<std::string>(),
      HasSubstr("nmae"));
  EXPECT_THAT(Json::parse(commands_.obey("{"))["error"].get<std::string>(), HasSubstr("parse error"));
}

}  // namespace
}  // namespace millrace::test
