#include "dataplane/http/codec.h"

namespace millrace::http {

const char* to_text(ProtocolError error) {
  switch (error) {
    case ProtocolError::kNone: return "none";
#define MR_PROTOCOL_ERROR(name, status, counter, text) \
  case ProtocolError::name: return text;
#include "dataplane/http/protocol_error.def"
#undef MR_PROTOCOL_ERROR
  }
  return "unknown";
}

std::uint16_t status_of(ProtocolError error) {
  switch (error) {
    case ProtocolError::kNone: return 0;
#define MR_PROTOCOL_ERROR(name, status, counter, text) \
  case ProtocolError::name: return status;
#include "dataplane/http/protocol_error.def"
#undef MR_PROTOCOL_ERROR
  }
  return 0;
}

}  // namespace millrace::http
