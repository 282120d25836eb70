#include "dataplane/host/errors.h"

#include <cerrno>

namespace millrace::host {

bool is_exhaustion(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS; }

// Of Unix sockets: without a file there is nobody who listens, and EAGAIN says that the listener's queue is full.
stream::CloseReason connect_failure(int error) {
  if (is_exhaustion(error)) return stream::CloseReason::kNoMemory;
  switch (error) {
    case EADDRNOTAVAIL: return stream::CloseReason::kNoPort;
    case ENETUNREACH: return stream::CloseReason::kNoRoute;
    case EHOSTUNREACH:
    case EACCES:
    case EPERM: return stream::CloseReason::kUnreachable;
    case ETIMEDOUT: return stream::CloseReason::kTimeout;
    default: return stream::CloseReason::kRefused;
  }
}

stream::CloseReason stream_failure(int error) {
  if (is_exhaustion(error)) return stream::CloseReason::kNoMemory;
  return error == ETIMEDOUT ? stream::CloseReason::kTimeout : stream::CloseReason::kPeerReset;
}

}  // namespace millrace::host
