#include "config/compile/route_table.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace millrace::config {
namespace {

using Wildcards = std::vector<std::pair<std::size_t, RouteTable::ByText<std::uint32_t>>>;

struct Insertion {
  std::uint32_t owner = 0;  ///< who has the domain now
  bool inserted = false;    ///< false: someone had it before
};

Insertion insert_wildcard(Wildcards& wildcards, std::string_view key, std::uint32_t host) {
  auto at = std::ranges::find_if(wildcards, [&](const auto& entry) { return entry.first <= key.size(); });
  if (at == wildcards.end() || at->first != key.size()) at = wildcards.insert(at, {key.size(), {}});
  const auto [entry, inserted] = at->second.emplace(std::string(key), host);
  return {entry->second, inserted};
}

Insertion insert(RouteTable& table, std::string_view domain, std::uint32_t host) {
  if (domain == "*") {
    const bool inserted = !table.default_domain.has_value();
    if (inserted) table.default_domain = host;
    return {*table.default_domain, inserted};
  }
  if (domain.front() == '*') return insert_wildcard(table.suffix_domains, domain.substr(1), host);
  if (domain.back() == '*') return insert_wildcard(table.prefix_domains, domain.substr(0, domain.size() - 1), host);
  const auto [entry, inserted] = table.exact_domains.emplace(std::string(domain), host);
  return {entry->second, inserted};
}

/// Why `domain` cannot be indexed; empty: it is now.
std::string index_domain(RouteTable& table, const std::string& domain, std::uint32_t host) {
  if (domain.empty()) return "a domain must not be empty; \"*\" stands for every host";
  const auto stars = std::ranges::count(domain, '*');
  if (stars > 1 || (stars == 1 && domain.front() != '*' && domain.back() != '*')) {
    return "\"" + domain + "\" may hold one \"*\" only, at its start or at its end";
  }
  const auto result = insert(table, domain, host);
  if (result.inserted) return {};
  return "the domain \"" + domain + "\" is already taken by the virtual host \"" + table.virtual_hosts[result.owner].name +
         "\"; a domain may appear once in a route configuration";
}

}  // namespace

std::vector<DomainError> index_domains(RouteTable& table) {
  std::vector<DomainError> errors;
  table.exact_domains.clear();
  table.suffix_domains.clear();
  table.prefix_domains.clear();
  table.default_domain.reset();
  for (std::size_t host = 0; host < table.virtual_hosts.size(); ++host) {
    auto& domains = table.virtual_hosts[host].domains;
    for (std::size_t i = 0; i < domains.size(); ++i) {
      std::ranges::transform(domains[i], domains[i].begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      auto reason = index_domain(table, domains[i], static_cast<std::uint32_t>(host));
      if (!reason.empty()) errors.push_back({host, i, std::move(reason)});
    }
  }
  return errors;
}

}  // namespace millrace::config
