// One gRPC stream as its server sees it: messages in, messages out in order, then a status. Owned by gRPC and by itself; it is
// gone once StreamUser::on_closed() has returned. Any thread.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

namespace millrace::test {

/// Hears of streams, on threads of gRPC.
class StreamUser {
 public:
  virtual void on_message(std::uint64_t stream, const std::string& bytes) = 0;
  virtual void on_closed(std::uint64_t stream) = 0;

 protected:
  ~StreamUser() = default;
};

class Stream final : public grpc::ServerGenericBidiReactor {
 public:
  Stream(std::uint64_t id, StreamUser& user) : id_(id), user_(user) {}

  /// Reading begins; nothing is heard before.
  void start() { StartRead(&incoming_); }
  /// Without effect once the stream ends.
  void send(const std::string& bytes);
  /// Ends it behind what was sent.
  void finish(const grpc::Status& status);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void finish_now();  // under the lock

  const std::uint64_t id_;
  StreamUser& user_;
  grpc::ByteBuffer incoming_;
  std::mutex lock_;
  std::deque<grpc::ByteBuffer> outgoing_;  // the first is being written
  std::optional<grpc::Status> status_;     // what it is to end with
  bool finished_ = false;
};

}  // namespace millrace::test
