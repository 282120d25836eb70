#include "dataplane/worker/listener_set.h"

#include <algorithm>
#include <array>

namespace millrace::worker {
namespace {

// Of the same family. The other addresses of 127.0.0.0/8 stay with whoever has them.
IpAddress loopback_of(const IpAddress& unspecified) {
  if (unspecified.is_v4()) return IpAddress::v4(127, 0, 0, 1);
  std::array<std::uint8_t, 16> bytes{};
  bytes.back() = 1;
  return IpAddress::v6(bytes);
}

bool names(const config::Snapshot& snapshot, const SocketAddress& address) {
  return std::ranges::any_of(snapshot.listeners, [&](const auto& listener) {
    return std::ranges::find(listener->addresses, address) != listener->addresses.end();
  });
}

}  // namespace

/// One address of a listener, by one transport.
struct ListenerSet::Wanted {
  const config::Listener& listener;
  host::Place place;
};

// A listener of the very loopback address goes before one of all addresses, as on ports.
std::vector<ListenerSet::Wanted> ListenerSet::wanted_by(const config::Snapshot& snapshot) {
  std::vector<Wanted> out;
  for (const auto& listener : snapshot.listeners) {
    for (const SocketAddress& address : listener->addresses) {
      out.push_back({*listener, {.address = address}});
      if (const config::Pipe* pipe = listener->pipe_at(address)) {
        out.back().place.pipe = pipe->path;
        out.back().place.mode = pipe->mode;
      }
      if (!address.ip.is_unspecified()) continue;
      const SocketAddress loopback{loopback_of(address.ip), address.port};
      if (!names(snapshot, loopback)) out.push_back({*listener, {.address = loopback, .is_half = true}});
    }
  }
  return out;
}

void ListenerSet::follow(const config::Snapshot& snapshot, Instant now) {
  const std::vector<Wanted> all = wanted_by(snapshot);
  const auto same = [](const Open& open, const Wanted& wanted) {
    return open.address == wanted.place.address && open.name == wanted.listener.name;
  };
  for (Open& open : open_) {
    auto* const* of_host = std::get_if<host::Listener*>(&open.listener);
    if (of_host == nullptr || std::ranges::any_of(all, [&](const Wanted& wanted) { return same(open, wanted); })) continue;
    const auto heir = std::ranges::find(all, open.address, [](const Wanted& wanted) { return wanted.place.address; });
    if (heir == all.end()) continue;
    transports_.host->hand_over(**of_host, proxy_.acceptor_for(heir->listener));
    open.name = heir->listener.name;
  }
  std::erase_if(open_, [&](const Open& open) {
    if (std::ranges::any_of(all, [&](const Wanted& wanted) { return same(open, wanted); })) return false;
    close(open, now);
    return true;
  });
  for (const Wanted& wanted : all) {
    const auto at = std::ranges::find_if(open_, [&](const Open& open) { return same(open, wanted); });
    if (at == open_.end()) {
      open(wanted, now);
    } else {
      at->bypasses_overload = wanted.listener.bypasses_overload;
    }
  }
  set_accepting(accepting_, now);
}

void ListenerSet::open(const Wanted& wanted, Instant now) {
  const host::Place& place = wanted.place;
  Open opened{place.address, wanted.listener.name, {}, wanted.listener.bypasses_overload};
  stream::Acceptor& acceptor = proxy_.acceptor_for(wanted.listener);
  bool done = false;
  if (!is_of_host(place.address)) {
    if (const auto listener = transports_.tcp.listen(place.address, acceptor); (done = listener.has_value())) {
      opened.listener = *listener;
    }
  } else if (transports_.host != nullptr) {
    if (const auto listener = transports_.host->listen(place, acceptor, now); (done = listener.has_value())) {
      opened.listener = *listener;
    }
  }
  if (done) {
    open_.push_back(std::move(opened));
  } else if (!place.is_half) {
    ++failed_;
  }
}

void ListenerSet::close(const Open& open, Instant now) {
  if (auto* const* of_tcp = std::get_if<tcp::Listener*>(&open.listener)) {
    transports_.tcp.close_listener(**of_tcp, now);
  } else {
    transports_.host->close_listener(*std::get<host::Listener*>(open.listener));
  }
}

void ListenerSet::set_accepting(bool accepting, Instant now) {
  accepting_ = accepting;
  for (const Open& open : open_) {
    const bool on = accepting || open.bypasses_overload;
    if (auto* const* of_tcp = std::get_if<tcp::Listener*>(&open.listener)) {
      (*of_tcp)->set_accepting(on);
    } else {
      transports_.host->set_accepting(*std::get<host::Listener*>(open.listener), on, now);
    }
  }
}

void ListenerSet::close_all(Instant now) {
  for (const Open& open : open_) close(open, now);
  open_.clear();
}

}  // namespace millrace::worker
