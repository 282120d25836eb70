#include "dataplane/worker/published_counters.h"

namespace millrace::worker {

void PublishedCounters::add(std::string name, bool is_gauge, std::int64_t (*read)(const void*), const void* object) {
  report::NamedValue& value = report_.values.emplace_back();
  value.name = std::move(name);
  value.is_gauge = is_gauge;
  sources_.push_back({read, object});
}

}  // namespace millrace::worker
