#include "dataplane/proxy/policy/response_headers.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;
using config::HttpConnectionManager;
constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";

TEST(PrepareUpstreamResponse, StatesTheServiceTimeUnlessSuppressed) {
  HttpConnectionManager manager;
  Response response(200, {{"x-envoy-upstream-service-time", "forged"}});
  ASSERT_TRUE(prepare_upstream_response(manager, {}, response.head, {}, Duration::microseconds(12'900), {}));
  EXPECT_EQ(response.head.headers.value("x-envoy-upstream-service-time"), "12");
  manager.suppress_envoy_headers = true;
  Response suppressed;
  ASSERT_TRUE(prepare_upstream_response(manager, {}, suppressed.head, {}, Duration::seconds(1), {}));
  EXPECT_EQ(suppressed.head.headers.size(), 0u);
}

TEST(PrepareResponse, ServerFieldByTransformation) {
  using ServerHeader = HttpConnectionManager::ServerHeader;
  const auto server = [](ServerHeader transformation, bool there) {
    HttpConnectionManager manager;
    manager.server_name = "millrace";
    manager.server_header = transformation;
    Response response;
    if (there) {
      EXPECT_TRUE(response.head.headers.add_copy("server", "nginx"));
    }
    EXPECT_TRUE(prepare_response(manager, nullptr, response.head, kDate));
    return std::string(response.head.headers.value("server"));
  };
  EXPECT_EQ(server(ServerHeader::kOverwrite, true), "millrace");
  EXPECT_EQ(server(ServerHeader::kOverwrite, false), "millrace");
  EXPECT_EQ(server(ServerHeader::kAppendIfAbsent, true), "nginx");
  EXPECT_EQ(server(ServerHeader::kAppendIfAbsent, false), "millrace");
  EXPECT_EQ(server(ServerHeader::kPassThrough, true), "nginx");
  EXPECT_EQ(server(ServerHeader::kPassThrough, false), "");
}

TEST(PrepareResponse, AddsADateOnlyWhenThereIsNone) {
  Response without;
  ASSERT_TRUE(prepare_response({}, nullptr, without.head, kDate));
  EXPECT_EQ(without.head.headers.value("date"), kDate);
  Response with(200, {{"date", "yesterday"}});
  ASSERT_TRUE(prepare_response({}, nullptr, with.head, kDate));
  EXPECT_EQ(with.head.headers.value("date"), "yesterday");
}

TEST(PrepareResponse, StripsHopByHopFieldsButTheSwitchOfA101) {
  const std::initializer_list<Field> fields = {{"connection", "upgrade, x-hop"},
                                               {"upgrade", "websocket"},
                                               {"x-hop", "1"},
                                               {"transfer-encoding", "chunked"},
                                               {"keep-alive", "1"}};
  Response plain(200, fields);
  ASSERT_TRUE(prepare_response({}, nullptr, plain.head, kDate));
  EXPECT_EQ(plain.head.headers.size(), 2u) << "server and date";
  Response switching(101, fields);
  ASSERT_TRUE(prepare_response({}, nullptr, switching.head, kDate));
  EXPECT_EQ(switching.head.headers.value("upgrade"), "websocket");
  EXPECT_EQ(switching.head.headers.value("connection"), "upgrade");
  EXPECT_EQ(switching.head.headers.find("x-hop"), nullptr);
}

TEST(PrepareResponse, ViaAndRequestIdWhenConfigured) {
  HttpConnectionManager manager;
  Request request("/", {{"x-request-id", "r-1"}});
  Response silent;
  ASSERT_TRUE(prepare_response(manager, &request.head, silent.head, kDate));
  EXPECT_EQ(silent.head.headers.find("x-request-id"), nullptr);
  EXPECT_EQ(silent.head.headers.find("via"), nullptr);
  manager.always_set_request_id_in_response = true;
  manager.via = "1.1 millrace";
  Response telling(200, {{"via", "1.1 origin"}, {"x-request-id", "theirs"}});
  ASSERT_TRUE(prepare_response(manager, &request.head, telling.head, kDate));
  EXPECT_EQ(telling.head.headers.value("x-request-id"), "r-1");
  EXPECT_EQ(telling.head.headers.value("via"), "1.1 origin, 1.1 millrace");
}

TEST(PrepareResponse, FailsWithoutMemory) {
  NoMemory memory;
  http::ResponseHead head(memory.arena, 100);
  EXPECT_FALSE(prepare_response({}, nullptr, head, kDate));
}

}  // namespace
}  // namespace millrace::proxy
