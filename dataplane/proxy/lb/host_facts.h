// What policies ask about an endpoint while they choose. Whoever calls them answers; endpoints are indices into
// config::Cluster::endpoints.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "config/model/cluster.h"

namespace millrace::proxy {

template <typename T>
concept HostFacts = requires(const T& facts, std::uint32_t endpoint) {
  { facts.active_requests(endpoint) } -> std::convertible_to<std::size_t>;
  { facts.weight(endpoint) } -> std::convertible_to<double>;  ///< now, of the one that is new less than configured; above 0
  { facts.some_are_new() } -> std::convertible_to<bool>;      ///< weight() says less than configured of at least one
  { facts.all_active_requests() } -> std::convertible_to<std::size_t>;  ///< the cluster's
};

using HostHealth = config::EndpointHealth;

}  // namespace millrace::proxy
