#include "tests/control_plane/client_status.h"

#include <grpcpp/create_channel.h>

#include <chrono>

#include "control-agent/to_json.h"
#include "envoy/service/status/v3/csds.grpc.pb.h"

namespace millrace::test {

namespace status = envoy::service::status::v3;

nlohmann::ordered_json ask_for_status(const std::string& address, const status::ClientStatusRequest& request, bool streamed) {
  const auto stub =
      status::ClientStatusDiscoveryService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  status::ClientStatusResponse response;
  grpc::Status ended;
  if (streamed) {
    const auto stream = stub->StreamClientStatus(&context);
    for (int i = 0; i < 2; ++i) {
      stream->Write(request);
      if (!stream->Read(&response)) break;
    }
    stream->WritesDone();
    ended = stream->Finish();
  } else {
    ended = stub->FetchClientStatus(&context, request, &response);
  }
  if (!ended.ok()) return {{"code", static_cast<int>(ended.error_code())}, {"message", ended.error_message()}};
  return {{"response", agent::to_json(response)}};
}

}  // namespace millrace::test
