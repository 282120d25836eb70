// Streams of the library itself, to servers that are not there.
#include "control-agent/xds/grpc_transport.h"

#include <gtest/gtest.h>

namespace millrace::agent {
namespace {

TEST(GrpcTransport_End, LeavesNothingToTheThreadsOfTheLibrary) {
  XdsServer server;
  server.name = "nobody";
  server.target = "unix:/nowhere";
  for (int round = 0; round < 200; ++round) {
    GrpcTransport transport([] {});
    for (int stream = 0; stream < 2; ++stream)
      (void)transport.open(server, aggregated_method(XdsProtocol::kDelta), XdsProtocol::kDelta);
  }
}

}  // namespace
}  // namespace millrace::agent
