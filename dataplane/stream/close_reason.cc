#include "dataplane/stream/byte_stream.h"

namespace millrace::stream {

const char* to_text(CloseReason reason) {
  switch (reason) {
#define MR_CLOSE_REASON(name, text) \
  case CloseReason::name: return text;
#include "dataplane/stream/close_reason.def"
#undef MR_CLOSE_REASON
  }
  return "unknown";
}

}  // namespace millrace::stream
