#include "control-agent/discovery/cares_resolver.h"

#include <ares.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace millrace::agent {
namespace {

/// Initialised once, for the life of the process.
int library_status() {
  static const int kStatus = ares_library_init(ARES_LIB_INIT_ALL);
  return kStatus;
}

template <std::size_t N>
IpAddress from_bytes(const void* bytes) {
  std::array<std::uint8_t, N> out;
  std::memcpy(out.data(), bytes, N);
  if constexpr (N == 4) return IpAddress::v4(out);
  if constexpr (N == 16) return IpAddress::v6(out);
}

NameAnswer::Status status_of(int status) {
  switch (status) {
    case ARES_SUCCESS: return NameAnswer::Status::kFound;
    case ARES_ENODATA:
    case ARES_ENOTFOUND: return NameAnswer::Status::kEmpty;
    default: return NameAnswer::Status::kFailed;
  }
}

NameAnswer read_answer(int status, const ares_addrinfo* info) {
  NameAnswer answer{.status = status_of(status)};
  if (info == nullptr) return answer;
  std::optional<int> ttl;
  for (const ares_addrinfo_node* node = info->nodes; node != nullptr; node = node->ai_next) {
    if (node->ai_family == AF_INET) {
      answer.addresses.push_back(from_bytes<4>(&reinterpret_cast<const sockaddr_in*>(node->ai_addr)->sin_addr));
    } else if (node->ai_family == AF_INET6) {
      answer.addresses.push_back(from_bytes<16>(&reinterpret_cast<const sockaddr_in6*>(node->ai_addr)->sin6_addr));
    }
    ttl = std::min(ttl.value_or(node->ai_ttl), node->ai_ttl);
  }
  answer.ttl = Duration::seconds(ttl.value_or(0));
  if (answer.status == NameAnswer::Status::kFound && answer.addresses.empty()) answer.status = NameAnswer::Status::kEmpty;
  return answer;
}

void on_answer(void* argument, int status, int, ares_addrinfo* info) {
  const std::unique_ptr<NameResolver::Done> done(static_cast<NameResolver::Done*>(argument));
  if (status != ARES_EDESTRUCTION && status != ARES_ECANCELLED) (*done)(read_answer(status, info));
  if (info != nullptr) ares_freeaddrinfo(info);
}

std::string servers_text(const std::vector<SocketAddress>& servers) {
  std::string text;
  for (const SocketAddress& server : servers) text += (text.empty() ? "" : ",") + server.to_string();
  return text;
}

/// Where the system names no server, c-ares asks the host itself.
bool has_system_servers(ares_channel channel) {
  ares_addr_port_node* servers = nullptr;
  if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS) return false;
  const bool only_default = servers == nullptr || (servers->next == nullptr && servers->family == AF_INET &&
                                                   servers->addr.addr4.s_addr == htonl(INADDR_LOOPBACK));
  ares_free_data(servers);
  return !only_default;
}

}  // namespace

Result<std::unique_ptr<CaresResolver>, std::string> CaresResolver::create(const ResolverSettings& settings) {
  std::unique_ptr<CaresResolver> out(new CaresResolver);
  ares_options options{};
  if (settings.use_tcp) options.flags |= ARES_FLAG_USEVC;
  if (settings.no_search_domains) options.flags |= ARES_FLAG_NOSEARCH;
  int status = library_status();
  if (status == ARES_SUCCESS) status = ares_init_options(&out->channel_, &options, ARES_OPT_FLAGS);
  if (status != ARES_SUCCESS) return Error<std::string>(std::string("names cannot be resolved: ") + ares_strerror(status));
  if (settings.servers.empty() || (settings.servers_as_fallback && has_system_servers(out->channel_))) return out;
  const std::string servers = servers_text(settings.servers);
  status = ares_set_servers_ports_csv(out->channel_, servers.c_str());
  if (status != ARES_SUCCESS) return Error<std::string>("the resolvers " + servers + " cannot be used: " + ares_strerror(status));
  return out;
}

CaresResolver::~CaresResolver() {
  if (channel_ != nullptr) ares_destroy(channel_);
}

void CaresResolver::resolve(const std::string& name, IpFamily family, Done done) {
  ares_addrinfo_hints hints{};
  hints.ai_family = family == IpFamily::kV4 ? AF_INET : AF_INET6;
  hints.ai_flags = ARES_AI_NOSORT;
  ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, on_answer, new Done(std::move(done)));
}

void CaresResolver::add_descriptors(std::vector<pollfd>& out) const {
  std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets;
  const int bits = ares_getsock(channel_, sockets.data(), static_cast<int>(sockets.size()));
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    short events = 0;
    if (ARES_GETSOCK_READABLE(bits, i)) events |= POLLIN;
    if (ARES_GETSOCK_WRITABLE(bits, i)) events |= POLLOUT;
    if (events != 0) out.push_back({.fd = sockets[i], .events = events, .revents = 0});
  }
}

std::optional<Duration> CaresResolver::timeout() const {
  timeval left{};
  if (ares_timeout(channel_, nullptr, &left) == nullptr) return std::nullopt;
  return Duration::seconds(left.tv_sec) + Duration::microseconds(left.tv_usec);
}

void CaresResolver::process(const std::vector<pollfd>& ready) {
  for (const pollfd& one : ready) {
    if (one.revents == 0) continue;
    const bool readable = (one.revents & (POLLIN | POLLERR | POLLHUP)) != 0;
    const bool writable = (one.revents & (POLLOUT | POLLERR | POLLHUP)) != 0;
    ares_process_fd(channel_, readable ? one.fd : ARES_SOCKET_BAD, writable ? one.fd : ARES_SOCKET_BAD);
  }
  ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

}  // namespace millrace::agent
