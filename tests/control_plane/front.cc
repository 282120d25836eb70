#include "tests/control_plane/front.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <chrono>

namespace millrace::test {
namespace {

std::shared_ptr<grpc::ServerCredentials> credentials(const Security& security) {
  if (security.certificate.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(security.client_ca.empty()
                                                ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = security.client_ca;
  options.pem_key_cert_pairs.push_back({.private_key = security.key, .cert_chain = security.certificate});
  return grpc::SslServerCredentials(options);
}

}  // namespace

bool Front::open() {
  if (server_) return true;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address_, credentials(security_), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);         // a taken port is an error
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);  // clients may ask as often as they like whether it lives
  builder.SetMaxReceiveMessageSize(-1);
  service_ = std::make_unique<Service>(acceptor_);
  builder.RegisterCallbackGenericService(service_.get());
  server_ = builder.BuildAndStart();
  if (!server_) return false;
  if (!address_.starts_with("unix:")) address_ = address_.substr(0, address_.rfind(':') + 1) + std::to_string(port);
  return true;
}

void Front::close() {
  if (!server_) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

}  // namespace millrace::test
