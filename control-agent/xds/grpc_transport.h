// Streams to management servers over gRPC. The library's threads read; what came is fetched by take_events(). Every other call is
// made by one thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control-agent/xds/transport.h"

namespace grpc {
class Channel;
}

namespace millrace::agent {

class GrpcTransport final : public XdsTransport {
 public:
  /// `wake` is called by the library's threads when there are events; it must not call back.
  explicit GrpcTransport(std::function<void()> wake);
  /// Ends all streams and waits for the library to let go of them, also of those that were closed before.
  ~GrpcTransport() override;

  [[nodiscard]] XdsStreamId open(const XdsServer& server, const std::string& method, XdsProtocol protocol) override;
  [[nodiscard]] XdsStreamId open_load_reports(const XdsServer& server) override;
  void send(XdsStreamId stream, XdsRequest request) override;
  void close(XdsStreamId stream) override;
  [[nodiscard]] std::vector<XdsStreamEvent> take_events() override;

 private:
  class Stream;
  template <typename Request, typename Response>
  class TypedStream;
  /// What the library's threads write to: it lives as long as any of them does.
  struct Inbox {
    std::mutex mutex;
    std::vector<XdsStreamEvent> events;
    std::function<void()> wake;
    std::size_t streams = 0;  // that the library has not let go of
    std::condition_variable left;
    void put(XdsStreamEvent event);
    void enter();
    void leave();
    void wait_until_left();
  };

  [[nodiscard]] std::shared_ptr<grpc::Channel> channel(const XdsServer& server);

  std::shared_ptr<Inbox> inbox_;
  XdsStreamId next_ = 1;
  std::map<XdsStreamId, std::shared_ptr<Stream>> streams_;
  std::vector<std::pair<XdsServer, std::shared_ptr<grpc::Channel>>> channels_;  // shared by the streams to one server
};

}  // namespace millrace::agent
