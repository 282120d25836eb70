#include "dataplane/wire/drop_reason.h"

namespace millrace::wire {

const char* counter_name(DropReason reason) {
  switch (reason) {
#define MR_DROP_REASON(name, counter, text) \
  case DropReason::name: return counter;
#include "dataplane/wire/drop_reason.def"
#undef MR_DROP_REASON
  }
  return "unknown";
}

const char* to_text(DropReason reason) {
  switch (reason) {
#define MR_DROP_REASON(name, counter, text) \
  case DropReason::name: return text;
#include "dataplane/wire/drop_reason.def"
#undef MR_DROP_REASON
  }
  return "unknown";
}

}  // namespace millrace::wire
