// What a control plane has to say: the resources of each type, with versions. Pure; knows no stream.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/control_plane/messages.h"

namespace millrace::test {

struct TypeState {
  std::string version;
  std::uint64_t generation = 0;  ///< counts changes: a version may be given twice
  std::map<std::string, Resource> resources;
};

class Snapshot {
 public:
  /// All of a type. A resource without a version of its own keeps the one it has if its content is the same, else it gets
  /// `version`; `touch`: it gets that in any case, as istiod does on unrelated changes.
  void replace(const std::string& type_url, const std::string& version, std::vector<Resource> resources, bool touch);
  /// Puts some, takes others away.
  void update(const std::string& type_url, const std::string& version, std::vector<Resource> resources,
              const std::vector<std::string>& removed, bool touch);
  /// As if nothing had ever been said about the type: requests for it stay unanswered.
  void forget(const std::string& type_url) { types_.erase(type_url); }

  /// Null: never set.
  [[nodiscard]] const TypeState* find(const std::string& type_url) const;

 private:
  TypeState& begin(const std::string& type_url, const std::string& version);

  std::map<std::string, TypeState> types_;
  std::uint64_t generations_ = 0;
};

}  // namespace millrace::test
