#include "dataplane/worker/listener_set.h"

#include <algorithm>

namespace millrace::worker {

void ListenerSet::follow(const config::Snapshot& snapshot, Instant now) {
  const auto wanted = [&](const Open& open) {
    return std::ranges::any_of(snapshot.listeners, [&](const auto& listener) {
      return listener->name == open.name && std::ranges::find(listener->addresses, open.address) != listener->addresses.end();
    });
  };
  std::erase_if(open_, [&](const Open& open) {
    if (wanted(open)) return false;
    tcp_.close_listener(*open.listener, now);
    return true;
  });
  for (const auto& listener : snapshot.listeners) {
    stream::Acceptor& acceptor = proxy_.acceptor_for(*listener);
    for (const SocketAddress& address : listener->addresses) {
      const auto same = [&](const Open& open) { return open.address == address && open.name == listener->name; };
      if (const auto open = std::ranges::find_if(open_, same); open != open_.end()) {
        open->bypasses_overload = listener->bypasses_overload;
        continue;
      }
      const auto opened = tcp_.listen(address, acceptor);
      if (opened) {
        open_.push_back({address, listener->name, *opened, listener->bypasses_overload});
      } else {
        ++failed_;
      }
    }
  }
  set_accepting(accepting_);
}

void ListenerSet::set_accepting(bool accepting) {
  accepting_ = accepting;
  for (const Open& open : open_) open.listener->set_accepting(accepting || open.bypasses_overload);
}

void ListenerSet::close_all(Instant now) {
  for (const Open& open : open_) tcp_.close_listener(*open.listener, now);
  open_.clear();
}

}  // namespace millrace::worker
