#include "control-agent/discovery/resources.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace millrace::agent {
namespace {

ClusterMessage named(const std::string& name) {
  ClusterMessage out;
  out.set_name(name);
  out.mutable_connect_timeout()->set_seconds(7);
  return out;
}

TEST(Resource, SaysWhatItWasMadeOf) {
  const Resource<ClusterMessage> resource(named("web"), ResourceOrigin{.path = "resources[0]"});
  EXPECT_EQ(resource.name, std::string("web"));
  EXPECT_EQ(resource.message().connect_timeout().seconds(), 7);
  EXPECT_EQ(as_message(resource)->name(), "web");
  EXPECT_EQ(resource.content_hash, hash_of(named("web")));
}

TEST(Resource, OfAFileHasItsPathThere) {
  EXPECT_EQ(Resource<ClusterMessage>(named("web"), ResourceOrigin{.path = "resources[0]"}).path(), "resources[0]");
}

TEST(Resource, OfAControlPlaneIsNamedByTypeAndName) {
  EXPECT_EQ(Resource<ClusterMessage>(named("web"), ResourceOrigin()).path(), "Cluster \"web\"");
  AssignmentMessage endpoints;
  endpoints.set_cluster_name("web");
  EXPECT_EQ(Resource<AssignmentMessage>(endpoints, ResourceOrigin()).path(), "ClusterLoadAssignment \"web\"");
}

TEST(Resource, SharesNameAndOriginWithWhoeverHasThem) {
  const SharedName name("a name that is too long to stand within a string");
  const auto origin = std::make_shared<const ResourceOrigin>(ResourceOrigin{.version = "1"});
  const Resource<ClusterMessage> resource(named(name), name, origin);
  EXPECT_EQ(&resource.name.text(), &name.text());
  EXPECT_EQ(&resource.origin(), origin.get());
}

}  // namespace
}  // namespace millrace::agent
