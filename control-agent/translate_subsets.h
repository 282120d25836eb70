// LbSubsetConfig (of a cluster, or the extension's Subset) -> config::Subsets without its index, and metadata as subsets see it.
#pragma once

#include <google/protobuf/struct.pb.h>

#include <memory>
#include <string>

#include "config/compile/subset_index.h"
#include "config/model/subsets.h"
#include "control-agent/diagnostics.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/load_balancing_policies/subset/v3/subset.pb.h"

namespace millrace::agent {

using SubsetPolicy = envoy::extensions::load_balancing_policies::subset::v3::Subset;

/// Null: there are no selectors, and so no subsets.
[[nodiscard]] std::shared_ptr<config::Subsets> translate_subsets(
    const envoy::config::cluster::v3::Cluster::LbSubsetConfig& config, const std::string& path, Diagnostics& diagnostics);
[[nodiscard]] std::shared_ptr<config::Subsets> translate_subsets(const SubsetPolicy& config, const std::string& path,
                                                                 Diagnostics& diagnostics);

/// What an endpoint has under "envoy.lb".
[[nodiscard]] config::EndpointMetadata translate_endpoint_metadata(const envoy::config::core::v3::Metadata& metadata,
                                                                   bool list_as_any);

/// What a route asks for, under "envoy.lb"; what its weighted cluster asks for of the same key counts instead.
[[nodiscard]] std::shared_ptr<const config::MetadataMatch> translate_metadata_match(
    const envoy::config::core::v3::Metadata& route, const envoy::config::core::v3::Metadata& cluster);

}  // namespace millrace::agent
