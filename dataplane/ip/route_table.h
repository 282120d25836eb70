// Longest prefix match over the networks on link and the configured routes. Constant after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/ip/interface.h"
#include "dataplane/ip/local_addresses.h"

namespace millrace::ip {

class RouteTable {
 public:
  struct Hop {
    IpAddress next;  ///< the neighbour to hand the packet to: the gateway, or the destination itself
    std::uint8_t interface = 0;
    bool learned = false;  ///< from a router's advertisement, which may be taken back
  };

  /// A configured route wins over an on-link network of the same prefix; of equal ones the first wins. A route is unusable when
  /// no interface has an address of its family, or its gateway is not on a network of ours. At most limits::kMaxRoutes are taken.
  RouteTable(const LocalAddresses& addresses, std::span<const RouteConfig> routes);

  [[nodiscard]] std::optional<Hop> lookup(const IpAddress& destination) const;
  /// A configured route to ::/0 leads there.
  [[nodiscard]] bool has_ipv6_default(std::uint8_t interface) const;
  [[nodiscard]] std::size_t unusable() const { return unusable_; }

 private:
  struct Route {
    IpPrefix to;    // host bits zero
    IpAddress via;  // meaningful unless on_link
    bool on_link = true;
    std::uint8_t interface = 0;
  };
  struct Group {  // routes_[begin, end): one family and prefix length, sorted by address
    bool v4 = false;
    unsigned bits = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  void build_groups();

  std::vector<Route> routes_;
  std::vector<Group> groups_;  // longest first within a family
  std::size_t unusable_ = 0;
};

}  // namespace millrace::ip
