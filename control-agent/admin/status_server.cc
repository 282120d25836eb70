#include "control-agent/admin/status_server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <utility>

#include "control-agent/admin/client_status.h"
#include "envoy/service/status/v3/csds.grpc.pb.h"

namespace millrace::agent {

namespace status = envoy::service::status::v3;

namespace {

constexpr int kMostRequestBytes = 1024 * 1024;
constexpr std::string_view kUnix = "unix:";

grpc::Status answer(const GatewayView& gateway, const status::ClientStatusRequest& request, status::ClientStatusResponse& out) {
  auto made = client_status(gateway, request);
  if (!made) return {grpc::StatusCode::INVALID_ARGUMENT, made.error()};
  out = std::move(*made);
  return grpc::Status::OK;
}

/// Answers each request when it comes. The library calls the On...() functions, one after the other.
class StatusStream final : public grpc::ServerBidiReactor<status::ClientStatusRequest, status::ClientStatusResponse> {
 public:
  explicit StatusStream(const GatewayView& gateway) : gateway_(gateway) { StartRead(&request_); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);  // the client has said all, or is gone
    const grpc::Status made = answer(gateway_, request_, response_);
    made.ok() ? StartWrite(&response_) : Finish(made);
  }
  void OnWriteDone(bool ok) override { ok ? StartRead(&request_) : Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

  const GatewayView& gateway_;
  status::ClientStatusRequest request_;
  status::ClientStatusResponse response_;
};

class Service final : public status::ClientStatusDiscoveryService::CallbackService {
 public:
  explicit Service(const GatewayView& gateway) : gateway_(gateway) {}

 private:
  grpc::ServerUnaryReactor* FetchClientStatus(grpc::CallbackServerContext* context, const status::ClientStatusRequest* request,
                                              status::ClientStatusResponse* response) override {
    auto* reactor = context->DefaultReactor();
    reactor->Finish(answer(gateway_, *request, *response));
    return reactor;
  }
  grpc::ServerBidiReactor<status::ClientStatusRequest, status::ClientStatusResponse>* StreamClientStatus(
      grpc::CallbackServerContext*) override {
    return new StatusStream(gateway_);
  }

  const GatewayView& gateway_;
};

}  // namespace

struct StatusServer::Implementation {
  explicit Implementation(const GatewayView& gateway) : service(gateway) {}

  Service service;
  std::unique_ptr<grpc::Server> server;
};

StatusServer::StatusServer(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}

Result<std::unique_ptr<StatusServer>, std::string> StatusServer::start(const std::string& address, const GatewayView& gateway) {
  auto made = std::make_unique<Implementation>(gateway);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a taken port is an error
  builder.SetMaxReceiveMessageSize(kMostRequestBytes);
  builder.RegisterService(&made->service);
  made->server = builder.BuildAndStart();
  if (made->server == nullptr) {
    return Error<std::string>("the client status service cannot listen on " + address +
                              ": is the address taken, and one of this host's?");
  }
  std::unique_ptr<StatusServer> server(new StatusServer(std::move(made)));
  // What it shows is for who runs the gateway.
  if (address.starts_with(kUnix) && chmod(address.c_str() + kUnix.size(), S_IRUSR | S_IWUSR) != 0)
    return Error<std::string>("the client status service cannot protect its socket " + address + ": " + std::strerror(errno));
  spdlog::info("client status (CSDS) at {}", address);
  return server;
}

StatusServer::~StatusServer() {
  implementation_->server->Shutdown(std::chrono::system_clock::now());
  implementation_->server->Wait();
}

}  // namespace millrace::agent
