#include "dataplane/tcp/counters.h"

namespace millrace::tcp {

const char* counter_name(Counter counter) {
  switch (counter) {
#define MR_TCP_COUNTER(name, counter_text, text) \
  case Counter::name: return counter_text;
#include "dataplane/tcp/tcp_counter.def"
#undef MR_TCP_COUNTER
  }
  return "unknown";
}

const char* to_text(Counter counter) {
  switch (counter) {
#define MR_TCP_COUNTER(name, counter_text, text) \
  case Counter::name: return text;
#include "dataplane/tcp/tcp_counter.def"
#undef MR_TCP_COUNTER
  }
  return "unknown";
}

}  // namespace millrace::tcp
