// One address on which a control plane takes streams, of any gRPC method: who takes them decides by the method's name. Opened and
// closed again and again at the same address. One thread.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include <functional>
#include <memory>
#include <string>

namespace millrace::test {

/// PEM texts; without a certificate the address is plain text.
struct Security {
  std::string certificate;
  std::string key;
  std::string client_ca;  ///< empty: clients need no certificate
};

using StreamAcceptor = std::function<grpc::ServerGenericBidiReactor*(grpc::GenericCallbackServerContext&)>;

class Front {
 public:
  /// `address`: "127.0.0.1:0" (any port), "unix:/path".
  Front(std::string address, Security security, StreamAcceptor acceptor)
      : address_(std::move(address)), security_(std::move(security)), acceptor_(std::move(acceptor)) {}
  ~Front() { close(); }
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  /// False: the address cannot be had.
  bool open();
  /// Cancels its streams and waits until they are gone: call without a lock that they take.
  void close();
  [[nodiscard]] bool is_open() const { return server_ != nullptr; }
  /// With the port that was chosen, once it was open.
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  class Service final : public grpc::CallbackGenericService {
   public:
    explicit Service(const StreamAcceptor& acceptor) : acceptor_(acceptor) {}

   private:
    grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
      return acceptor_(*context);
    }

    const StreamAcceptor& acceptor_;
  };

  std::string address_;
  Security security_;
  StreamAcceptor acceptor_;
  std::unique_ptr<Service> service_;  // of server_ alone: gRPC wants a new one for each
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace millrace::test
