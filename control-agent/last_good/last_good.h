// What control planes have said, as they would say it again: the resources that are in use, by type and source. A value, which
// last_good_file.h keeps on disk and stand_in.h answers from.
#pragma once

#include <google/protobuf/any.pb.h>

#include <compare>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "control-agent/discovery/resources.h"

namespace millrace::agent {

class DiscoveredSecrets;
struct World;

/// A type of resources from a control plane: what one subscription is about.
struct KindKey {
  ResourceType type;
  std::string source;  ///< source_key()
  auto operator<=>(const KindKey&) const = default;
};

struct LastGood {
  struct Saved {
    std::string version;
    google::protobuf::Any body;
  };
  using Kind = std::map<std::string, Saved>;  ///< by name

  std::string node_id;  ///< of the gateway that it was said to
  std::string node_cluster;
  std::map<KindKey, Kind> kinds;

  [[nodiscard]] bool empty() const { return kinds.empty(); }
  [[nodiscard]] std::size_t resources() const;
};

/// Of what runs. Resources that hold private keys or passwords are left out, and named, unless `with_private_data`.
struct CollectedGood {
  LastGood last_good;
  std::vector<std::string> left_out;  ///< Listener "edge"
};
[[nodiscard]] CollectedGood collect_last_good(const World& world, const DiscoveredSecrets& secrets, bool with_private_data);

}  // namespace millrace::agent
