#include "tests/control_plane/stream.h"

#include <grpcpp/support/slice.h>

#include <utility>
#include <vector>

namespace millrace::test {
namespace {

std::string flatten(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

}  // namespace

void Stream::send(const std::string& bytes) {
  const std::scoped_lock hold(lock_);
  if (status_) return;
  const grpc::Slice slice(bytes);
  outgoing_.emplace_back(&slice, 1);
  if (outgoing_.size() == 1) StartWrite(&outgoing_.front());
}

void Stream::finish(const grpc::Status& status) {
  const std::scoped_lock hold(lock_);
  if (status_) return;
  status_ = status;
  if (outgoing_.empty()) finish_now();
}

void Stream::OnReadDone(bool ok) {
  if (!ok) return finish(grpc::Status::OK);  // the client has said all, or is gone
  user_.on_message(id_, flatten(incoming_));
  StartRead(&incoming_);
}

void Stream::OnWriteDone(bool ok) {
  const std::scoped_lock hold(lock_);
  outgoing_.pop_front();
  if (!ok) {
    outgoing_.clear();
    if (!status_) status_ = grpc::Status::CANCELLED;
  }
  if (!outgoing_.empty()) {
    StartWrite(&outgoing_.front());
  } else if (status_) {
    finish_now();
  }
}

void Stream::OnCancel() { finish(grpc::Status::CANCELLED); }

void Stream::OnDone() {
  user_.on_closed(id_);
  delete this;
}

void Stream::finish_now() {
  if (!std::exchange(finished_, true)) Finish(*status_);
}

}  // namespace millrace::test
