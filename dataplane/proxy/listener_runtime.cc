#include "dataplane/proxy/listener_runtime.h"

#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

ListenerRuntime::ListenerRuntime(Runtime& runtime, std::shared_ptr<const config::Listener> listener) : runtime_(runtime) {
  versions_.push_back(std::make_unique<ListenerVersion>(std::move(listener), runtime.worker()));
}

void ListenerRuntime::update(std::shared_ptr<const config::Listener> listener, Instant now) {
  if (current().is(listener)) return;
  if (current().listener().content_hash != listener->content_hash) drain_connections(now);
  versions_.push_back(std::make_unique<ListenerVersion>(std::move(listener), runtime_.worker()));
  sweep();
}

void ListenerRuntime::sweep() {
  const ListenerVersion* newest = &current();
  std::erase_if(versions_, [newest](const auto& version) { return version.get() != newest && !version->is_pinned(); });
}

void ListenerRuntime::retire(Instant now) { drain_connections(now); }

bool ListenerRuntime::is_unused() const {
  for (const auto& version : versions_) {
    if (version->is_pinned()) return false;
  }
  return true;
}

void ListenerRuntime::drain_connections(Instant now) {
  for (auto at = runtime_.downstreams.begin(); at != runtime_.downstreams.end();) {
    DownstreamConnection& connection = *at;
    ++at;  // draining an idle connection takes it out of the list
    if (&connection.listener() == this) connection.start_drain(now);
  }
}

void ListenerRuntime::on_accept(stream::ByteStream& stream, Instant now) {
  if (runtime_.downstream_pool.make(runtime_, *this, stream, now) == nullptr) {
    current().listener_stats().downstream_cx_overflow.add();
    stream.reset(now);
  }
}

}  // namespace millrace::proxy
